import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from record_factory import failed, record, skipped
from site_factory import (
    KNOWN,
    judged_paper,
    ordered_content,
    ordered_records,
    small_paper,
    small_set,
    toy_records,
    write_small_site,
)

from bench.evidence import Evidence
from bench.papers import Recipe, paper_files, parse_paper
from reports.addresses import TRIAL_PAGES, addresses
from reports.build import illustrate
from reports.site import write_site
from reports.site_papers import claim_views, judged, table_views


class Page(HTMLParser):
    """Links, ids and text of a page, and what it would load."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.loads, self.text, self.tags = [], [], [], "", []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.text += " "
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if tag == "a" and name == "href":
                self.links.append(value)
            elif name in ("src", "srcset", "data", "action", "href") and tag != "a" and value[0] != "#":
                self.loads.append((tag, value))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    paths = write_small_site(out)
    return out, {path.relative_to(out).as_posix(): Page(path) for path in paths}


def test_a_site_has_a_page_for_each_task_method_paper_and_trial(site):
    _, pages = site
    folders = {name.rpartition("/")[0] for name in pages}
    assert folders == {"", "tasks", "methods", "papers", "trials"}
    assert {"index.html", "trials.html", "environment.html", "tasks/pu.html", "tasks/toy.html"} <= set(pages)
    assert {"methods/toy-sample-mean.html", "methods/pu-gone.html", "papers/means.html"} <= set(pages)
    assert sum(name.startswith("trials/") for name in pages) == len(small_set())


def test_every_link_leads_to_a_page_that_is_there_and_to_a_place_on_it(site):
    out, pages = site
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            target, _, anchor = link.partition("#")
            path = (out / name).parent / target if target else out / name
            found = path.resolve().relative_to(out.resolve()).as_posix()
            assert found in pages, (name, link)
            assert not anchor or anchor in pages[found].ids, (name, link)


def test_every_page_can_be_reached_from_the_overview(site):
    out, pages = site
    seen, waiting = set(), ["index.html"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for link in pages[name].links:
            path = (out / name).parent / link.partition("#")[0]
            if path.is_file():
                waiting.append(path.resolve().relative_to(out.resolve()).as_posix())
    assert seen == set(pages)


def test_no_page_of_a_site_asks_anything_of_any_other_place(site):
    out, pages = site
    for name, page in pages.items():
        assert page.loads == [("link", "data:,")], name
        source = (out / name).read_text(encoding="utf-8")
        assert "://" not in source, name
        assert "@import" not in source, name


def test_the_same_records_in_any_order_give_the_same_site(tmp_path):
    write_small_site(tmp_path / "a")
    write_small_site(tmp_path / "b", list(reversed(small_set())))
    first, second = (sorted((tmp_path / name).rglob("*.html")) for name in "ab")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_pages_of_what_is_gone_are_removed_and_nothing_else_is(tmp_path):
    write_small_site(tmp_path)
    (tmp_path / "trials" / "notes.txt").write_text("mine")
    (tmp_path / "mine.html").write_text("mine")
    write_small_site(tmp_path, toy_records())
    assert not (tmp_path / "tasks" / "pu.html").exists()
    assert not (tmp_path / "methods" / "pu-gone.html").exists()
    assert (tmp_path / "trials" / "notes.txt").exists()
    assert (tmp_path / "mine.html").exists()


def test_the_overview_counts_verdicts_and_names_leaders(site):
    text = " ".join(site[1]["index.html"].text.split())
    assert "5 figures and 3 claims of 1 paper." in text
    # Reproduced 1 (agrees), not 1 (differs), could not run 0, not attempted 3; claims 1, 1, 0 and 1.
    assert "On means 1809 1 1 0 3 1 1 0 1" in text
    assert "pu on mnist5k pn error 5.20" in text


def test_a_trial_page_tells_costs_with_instruments_and_flags_artefacts_and_key_parts(site):
    _, pages = site
    key = toy_records()[0].key
    text = " ".join(pages[f"trials/{key[:12]}.html"].text.split())
    assert "latency 1.500 ms test contaminated Detail" in text
    assert "no RAPL zones here; run on bare metal" in text
    assert '"genotype"' not in text
    assert re.search(r"genotype \[ \"conv\", 3 \]", text)
    assert key in text
    assert "fingerprint" in text


def test_a_trial_that_failed_tells_why_with_its_traceback(site):
    trial = next(one for one in small_set() if one.status == "failed")
    text = " ".join(site[1][f"trials/{trial.key[:12]}.html"].text.split())
    assert "Why it failed" in text
    assert "timeout in fit: over 60 s" in text
    assert "Traceback: in fit" in text


def test_a_method_page_has_its_texts_settings_places_and_curves(site):
    page = site[1]["methods/toy-sample-mean.html"]
    text = " ".join(page.text.split())
    assert KNOWN.methods["toy"]["sample-mean"].summary in text
    assert "toy on normal" in text
    assert "1 of 2" in text
    assert "2 of 2" not in text
    assert page.tags.count("svg") == 2


def test_a_method_that_is_here_no_more_still_has_its_page(site):
    text = site[1]["methods/pu-gone.html"].text
    assert "The sources here have no method of this name." in text
    assert "3 of 3" in text


# Papers ---------------------------------------------------------------------------------------------------------------


def cells(records=None):
    (view,) = table_views(judged_paper(toy_records() if records is None else records))
    return view, {row["title"].removeprefix("Row "): row["cells"][0] for row in view["rows"]}


def test_published_figures_stand_beside_what_was_measured():
    # 0.50, 0.51 and 0.52 have the mean 0.51 and the deviation 0.01; t(0.975) with 2 degrees of freedom is 4.3027, so
    # that the half width is 4.3027 x 0.01 / sqrt(3) = 0.025.
    _, found = cells()
    assert (found["agrees"]["published"], found["agrees"]["measured"]) == ("0.51", "0.51 ± 0.02, n = 3")
    assert found["agrees"]["verdict"] == "reproduced"
    assert (found["differs"]["published"], found["differs"]["verdict"]) == ("0.90 ± 0.05", "not reproduced")
    assert found["scaled"]["verdict"] == "scaled"
    assert found["blank"]["published"] == "–"


def test_a_recalled_figure_is_marked_wherever_it_stands_and_the_legend_tells_the_mark(site):
    view, found = cells()
    assert found["recalled"]["recalled"]
    assert not found["agrees"]["recalled"]
    assert ("~", "recalled: from memory alone, shown and never a bar to pass") in view["certainties"]
    text = site[1]["papers/means.html"].text
    assert "~0.51" in text
    assert "0.90 ± 0.05†" in text
    assert "0.70‡" in text


def test_why_most_figures_were_not_attempted_is_told_once_and_other_reasons_at_their_figures():
    view, found = cells(records=[])
    assert view["usual"].startswith("not run yet; `allwin reproduce means/main")
    assert found["agrees"]["note"] == 0
    assert view["notes"][found["no-code"]["note"] - 1] == "not attempted: no method nobody of task toy here yet"
    assert view["notes"][found["blank"]["note"] - 1] == "the paper has no number here"


def test_claims_have_verdict_effect_interval_and_seeds():
    lines = {line["claim"]: line for line in claim_views(judged_paper(toy_records()))}
    # Each seed differs by 1.5 - 0.5 = 1, so the interval is a point.
    assert lines["holds"]["verdict"] == "supported"
    assert lines["holds"]["effect"] == "+1.000"
    assert lines["holds"]["interval"] == "1.000 to 1.000"
    assert lines["holds"]["n"] == "3"
    assert lines["fails"]["verdict"] == "contradicted"
    assert lines["waits"]["verdict"] == "not run"
    assert lines["waits"]["effect"] == ""


def test_of_several_budgets_the_judgement_that_says_most_is_shown():
    found = judged(small_paper(), [Evidence(KNOWN, toy_records())], ["paper", "smoke", "gpu"])
    by_row = {one.row.id: (budget, one.verdict) for budget, one in found.figures}
    assert by_row["agrees"] == ("smoke", "reproduced")


def test_a_verdict_says_more_than_a_larger_budget_that_is_only_scaled():
    paper = small_paper()
    (table,) = paper.tables
    at = {"smoke": Recipe(kind="full"), "small": Recipe(kind="scaled")}
    changed = table.model_copy(update={"run": table.run.model_copy(update={"at": at})})
    records = [*toy_records("smoke"), *toy_records("small")]
    found = judged(paper.model_copy(update={"tables": [changed]}), [Evidence(KNOWN, records)], ["smoke", "small"])
    by_row = {one.row.id: (budget, one.verdict) for budget, one in found.figures}
    assert by_row["differs"] == ("smoke", "not reproduced")


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_devices_the_one_that_has_the_trials_speaks_for_a_claim(order):
    evidences = [Evidence(KNOWN, toy_records()), Evidence(KNOWN, [])][::order]
    assert judged(small_paper(), evidences, ["smoke"]).claim_verdicts()["supported"] == 1


def test_a_convention_that_all_columns_share_is_told_once():
    paper = small_paper()
    (table,) = paper.tables
    one, other = (table.columns[0].model_copy(update={"id": name, "title": name}) for name in ("distance", "b"))
    apart = other.model_copy(update={"convention": "squared"})
    for columns, wanted in (
        ([one], [("distance", "absolute")]),
        ([one, other], [("all columns", "absolute")]),
        ([one, apart], [("distance", "absolute"), ("b", "squared")]),
    ):
        changed = paper.model_copy(update={"tables": [table.model_copy(update={"columns": columns})]})
        (view,) = table_views(judged_paper([], changed))
        assert view["conventions"] == wanted


def ordered_paper():
    return parse_paper(ordered_content(), "orders", "orders.yaml")


def test_the_order_of_the_rows_is_told_for_each_budget_that_has_rows_enough_the_largest_first():
    records = [*ordered_records("smoke"), *ordered_records("small")[:8]]
    (view,) = table_views(judged(ordered_paper(), [Evidence(KNOWN, records)], ["smoke", "paper", "small"]))
    # Places 1 2 3 4 against 3 1 2 4: squares 4, 1, 1, so 1 - 6 x 6 / (4 x 15) = 0.4; with a fifth in its place 0.7.
    assert view["orders"] == [
        "Distance at small budget, order over 4 rows: rho 0.40; Row 1 published 1st, here 3rd",
        "Distance at smoke budget, order over 5 rows: rho 0.70; Row 1 published 1st, here 3rd",
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_devices_the_one_with_the_most_rows_tells_their_order(order):
    records = ordered_records()
    evidences = [Evidence(KNOWN, records), Evidence(KNOWN, records[:8])][::order]
    assert [one.n for one in judged(ordered_paper(), evidences, ["smoke"]).orders] == [5]


def test_the_page_of_a_paper_tells_orders_and_what_we_found_and_runs_none_of_it(tmp_path):
    paper = ordered_paper()
    (table,) = paper.tables
    rows = [table.rows[0].model_copy(update={"title": "<b>Row</b>"}), *table.rows[1:]]
    changed = table.model_copy(update={"rows": rows, "discussion": "Ours uses `Adam`, <i>theirs</i> not."})
    paper = paper.model_copy(update={"tables": [changed], "discussion": "Nearer <u>everywhere</u>."})
    records = ordered_records()
    write_site(records, tmp_path, "Orders", KNOWN, [judged_paper(records, paper)], illustrate)
    page = Page(tmp_path / "papers" / "orders.html")
    text = " ".join(page.text.split())
    assert "order over 5 rows: rho 0.70; <b>Row</b> published 1st, here 3rd" in text
    assert "What we found Ours uses Adam, <i>theirs</i> not." in text
    assert "What we found Nearer <u>everywhere</u>." in text
    assert "<code>Adam</code>" in (tmp_path / "papers" / "orders.html").read_text()
    assert not {"i", "u"} & set(page.tags)
    assert "#found" in page.links
    assert "found" in page.ids


def test_a_paper_without_a_discussion_has_no_empty_place_for_one(site):
    page = site[1]["papers/means.html"]
    assert "What we found" not in page.text
    assert "found" not in page.ids


def test_a_published_figure_below_zero_has_a_true_minus_sign():
    paper = small_paper()
    source = paper.model_dump_json().replace('"printed":"0.90"', '"printed":"-0.90"')
    (view,) = table_views(judged_paper([], type(paper).model_validate_json(source)))
    assert view["rows"][1]["cells"][0]["published"] == "−0.90 ± 0.05"


# Sizes and names ------------------------------------------------------------------------------------------------------


def test_only_so_many_trials_have_a_page_the_failed_ones_first_and_the_site_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("reports.addresses.TRIAL_PAGES", 3)
    monkeypatch.setattr("reports.site.TRIAL_PAGES", 3)
    records = [record("pn", seed, ended=f"2026-11-23T06:00:0{seed}+00:00") for seed in range(4)]
    records.append(failed("upu", 0, ended="2026-11-22T00:00:00+00:00"))
    write_small_site(tmp_path, records)
    wanted = {one.key[:12] for one in (records[4], records[3], records[2])}
    assert {path.stem for path in (tmp_path / "trials").iterdir()} == wanted
    text = Page(tmp_path / "trials.html").text
    assert "3 trials have a page of their own, the failed ones first, then the latest; 2 have none here." in text
    assert TRIAL_PAGES == 500


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_attempts_the_last_has_the_page(tmp_path, order):
    first = failed("pn", 0)
    records = [first, record("pn", 0).model_copy(update={"key": first.key, "attempt": 2})]
    write_small_site(tmp_path, records[::order])
    (page,) = (tmp_path / "trials").iterdir()
    assert "Why it failed" not in Page(page).text


def test_names_that_look_alike_in_an_address_get_pages_of_their_own():
    records = [record("a b"), record("a-b"), record("A B"), record("é"), record("ü")]
    found = addresses(records, KNOWN, [])
    methods = [address for (task, name), address in found.methods.items() if name not in KNOWN.methods["pu"]]
    assert len(set(methods)) == 5
    assert all(re.fullmatch(r"methods/[a-z0-9-]+\.html", address) for address in methods)


@pytest.mark.parametrize("records", [[failed()], [skipped()], [record()], [record(task="gone")]])
def test_the_smallest_stores_make_a_site(tmp_path, records):
    assert len(write_small_site(tmp_path, records)) > 5


def test_a_site_is_built_without_torch_or_ray():
    seen = "import sys, reports.site; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The command line -----------------------------------------------------------------------------------------------------


def test_the_command_writes_the_site_with_all_papers(tmp_path, allwin):
    published, store = Path(__file__).parents[2] / "results" / "self-pu" / "records", tmp_path / "store"
    for path in sorted(published.rglob("*.json"))[:20]:
        copy = store / "records" / path.relative_to(published)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    done = allwin("report", "--site", "--store", str(store), "--out", "site", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["records"] == 20
    assert (tmp_path / told["index"]).name == "index.html"
    assert len(list((tmp_path / "site" / "papers").iterdir())) == len(paper_files()) >= 10


def test_a_suite_and_a_site_do_not_go_together(allwin):
    done = allwin("report", "quick", "--site")
    assert done.returncode == 2
    assert "--site is of all that a store holds" in done.stderr
