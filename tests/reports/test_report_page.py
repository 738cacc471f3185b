import html.parser
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest
from record_factory import cost, curve, failed, profile, record, skipped

from bench.errors import CAUSES
from reports.build import FIGURES, write_report

KINDS = {"mnist5k": "embedded", "sparse": "generated"}
VOID = {"meta", "link", "input", "br"}
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}\x00\u202e'


class Page(html.parser.HTMLParser):
    """Tags, attributes and text as a browser would see them; complains about tags that do not match."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = [], [], [], []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def ids(self):
        return [value for _, name, value in self.attributes if name == "id"]

    def links(self):
        return [value for tag, name, value in self.attributes if name == "href" and tag == "a"]


def small_set():
    records = []
    for seed in range(3):
        for index, method in enumerate(("pn", "nnpu", "upu")):
            curves = {"risk": curve([1.0, 0.5 - seed / 10, 0.2])}
            records.append(
                record(method, seed, error=5.0 + 5 * index + seed / 10, costs=profile(1.0 + index, 1e6), curves=curves)
            )
    records += [failed("hangs", seed, "timeout", "over 60 s", traceback=f"stopped at step {seed}") for seed in range(3)]
    return [*records, skipped("absent", 1, "no data here")]


def written(records, folder, kinds=None):
    paths = write_report(records, folder, "Quick suite", KINDS if kinds is None else kinds)
    return paths, paths.index.read_text(encoding="utf-8")


def drawings(paths):
    return [path for path in paths.figures if path.suffix == ".svg"]


def test_a_report_is_one_page_with_tables_for_other_programs_and_its_figures_beside_it(tmp_path):
    paths, _ = written(small_set(), tmp_path)
    assert [path.name for path in (paths.index, paths.markdown, paths.csv, paths.latex)] == [
        "index.html",
        "report.md",
        "leaderboard.csv",
        "leaderboard.tex",
    ]
    assert sorted((tmp_path / "figures").iterdir()) == sorted(paths.figures)
    for figure in drawings(paths):
        assert f"figures/{figure.name}" in paths.markdown.read_text()
        ET.parse(figure)
        assert figure.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
        assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_same_records_in_any_order_give_the_same_bytes(tmp_path):
    first, _ = written(small_set(), tmp_path / "a")
    second, _ = written(list(reversed(small_set())), tmp_path / "b")
    for one, other in zip((tmp_path / "a").rglob("*.*"), (tmp_path / "b").rglob("*.*"), strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert len(first.figures) == len(second.figures)


def test_the_page_asks_nothing_of_any_other_place(tmp_path):
    _, source = written(small_set(), tmp_path)
    page = Page(source)
    assert "://" not in source
    loading = {(tag, value) for tag, name, value in page.attributes if name in ("src", "srcset", "data", "action")}
    assert loading == set()
    assert {value for tag, name, value in page.attributes if tag == "link" and name == "href"} == {"data:,"}
    assert "@import" not in source
    assert "url(" not in source.partition("</style>")[0]


def test_ids_are_unique_and_links_inside_the_page_lead_somewhere(tmp_path):
    page = Page(written(small_set(), tmp_path)[1])
    assert len(page.ids()) == len(set(page.ids()))
    assert page.links()
    assert {link.removeprefix("#") for link in page.links()} <= set(page.ids())


def test_failures_show_their_cause_message_and_traceback(tmp_path):
    records = [
        failed(f"method-{cause}", 0, cause, f"because of {cause}", traceback=f"trace of {cause}") for cause in CAUSES
    ]
    text = "".join(Page(written(records, tmp_path)[1]).texts)
    for cause in CAUSES:
        assert f"because of {cause}" in text
        assert f"trace of {cause}" in text


def test_generated_data_is_named_as_such_and_other_data_is_not(tmp_path):
    generated = written([record(dataset="sparse", task="l2o")], tmp_path / "a")[1]
    assert "Generated data:" in generated
    assert "generated data</span>" in generated
    embedded = written([record()], tmp_path / "b")[1]
    assert "Generated data:" not in embedded
    assert "embedded data</span>" in embedded


def test_every_trial_is_listed_with_its_environment(tmp_path):
    records = [*small_set(), record("older", hardware="H200", git_dirty=True)]
    text = "".join(Page(written(records, tmp_path)[1]).texts)
    for trial in records:
        assert trial.key[:12] in text
    assert "commit 0123456789, with changes" in text
    assert "numpy 2.4.0, torch 2.15.0" in text
    assert "H200, 1 trials" not in text
    assert "H200, 1 trial" in text


def test_rows_tell_their_claim_level_where_they_differ_in_it_and_else_the_board_does(tmp_path):
    records = [record("here", error=1.0), record("there", error=2.0)]
    alike = Page(written(records, tmp_path / "a")[1])
    assert "claim level" not in alike.texts
    assert "All figures: reproduced by this harness." in "".join(alike.texts)
    records[1] = records[1].model_copy(update={"claim_level": "self-reported"})
    differing = Page(written(records, tmp_path / "b")[1])
    assert {"claim level", "reproduced", "self-reported"} <= set(differing.texts)


def test_several_data_sets_of_a_task_are_taken_together(tmp_path):
    records = [
        record(method, seed, error=error, dataset=dataset)
        for dataset in ("first", "second", "third")
        for method, error in (("a", 1.0), ("b", 2.0), ("c", 3.0))
        for seed in range(2)
    ]
    text = " ".join("".join(Page(written(records, tmp_path)[1]).texts).split())
    # Each method has the same rank on all three, which is its average.
    assert "pu over 3 data sets" in text
    assert "Average ranks over first, second, third" in text


def test_a_reason_why_something_was_not_measured_is_a_footnote_that_the_cell_links_to(tmp_path):
    page = Page(written(small_set(), tmp_path)[1])
    assert "#board-1-note-1" in page.links()
    assert "energy: no RAPL zones here; run on bare metal" in page.texts


@pytest.mark.parametrize("records", [[], [failed()], [skipped()], [record()], [record(costs={"macs": cost(0, "MAC")})]])
def test_the_smallest_sets_of_records_make_a_page(tmp_path, records):
    Page(written(records, tmp_path)[1])


def test_a_hostile_record_stays_text(tmp_path):
    records = [
        record(
            HOSTILE,
            seed,
            task=HOSTILE,
            dataset=HOSTILE,
            parameters={HOSTILE: HOSTILE, "seed": seed // 2},
            settings={HOSTILE: HOSTILE},
            hardware=HOSTILE,
            suite=HOSTILE,
            error=10.0 + seed,
            costs={**profile(1.0 + seed, 1e6, energy=HOSTILE), HOSTILE: cost(1.0, HOSTILE)},
            curves={HOSTILE: curve([1.0, 2.0], x_name=HOSTILE, unit=HOSTILE)},
            command=HOSTILE,
            packages={HOSTILE: HOSTILE},
            platform=HOSTILE,
            cpu=HOSTILE,
            ended=HOSTILE,
            flags={HOSTILE: HOSTILE},
        )
        for seed in range(4)
    ]
    records.append(failed(HOSTILE, message=HOSTILE, traceback=HOSTILE, task=HOSTILE))
    paths, source = written(records, tmp_path, kinds={HOSTILE: HOSTILE})
    page = Page(source)
    kinds_of_script = {value for tag, name, value in page.attributes if tag == "script" and name == "type"}
    assert kinds_of_script == {"application/json"}
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "49" not in "".join(page.texts).split("alert(2)")[1][:10]
    assert "\x00" not in source
    assert "\u202e" not in source
    for figure in drawings(paths):
        ET.parse(figure)
        assert figure.parent == tmp_path / "figures"


def test_huge_texts_do_not_make_a_huge_page(tmp_path):
    huge = "x" * 2_000_000
    records = [record(huge, seed, parameters={huge: seed}, command=huge) for seed in range(3)]
    records += [failed(message=huge, traceback=huge)]
    assert len(written(records, tmp_path)[1]) < 200_000


def test_a_thousand_records_make_a_page_below_two_megabytes_in_ten_seconds(tmp_path):
    records = []
    for index in range(1000):
        method, seed, board = index % 20, index // 20 % 5, index // 100
        fields = {"dataset": f"data-{board}", "ended": f"2026-11-23T06:{seed:02d}:00+00:00"}
        if index % 19 == 0:
            records.append(
                failed(f"method-{method}", seed, message=f"bad thing {index}", traceback="line\n" * 2000, **fields)
            )
            continue
        wave = [1.0 + (step * (method + 3) % 17) / 40 - step / 250 + seed / 100 for step in range(200)]
        costs = profile(1.0 + method / 3 + seed / 50, 1e6 * (method + 1))
        curves = {"risk": curve(wave), "loss": curve(wave), "roc": curve(wave[:100], origin="evaluate")}
        records.append(
            record(f"method-{method}", seed, error=5 + method + seed / 7, costs=costs, curves=curves, **fields)
        )
    start = time.process_time()
    paths, source = written(records, tmp_path)
    assert time.process_time() - start < 10
    assert len(source.encode()) < 2_000_000
    assert 0 < len(drawings(paths)) <= FIGURES
    assert "Curves not drawn: " in source


def test_a_report_is_built_without_torch_or_ray():
    seen = "import sys, reports.build; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
