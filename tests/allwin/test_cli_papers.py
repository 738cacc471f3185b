"""`allwin reproduce` and `allwin claims`, and what `list`, `show` and the shell say of papers."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from site_factory import ordered_content, ordered_records

from allwin.commands import reproduce
from bench import papers
from bench.store import Store

PAPER = """
title: Means
authors: Gauss and Cauchy
venue: "1809"
reference: none
note: Not a real paper.
discussion: |
  Ours
  are nearer.
tables:
  - id: distances
    title: Distances
    place: table 1
    run: {task: toy, quantity: metric.distance, seeds: 2, stages: [fit, evaluate]}
    columns:
      - {id: near, title: Near, unit: m, run: {kind: full, tolerance: 100.0}}
      - {id: far, title: Far, run: {kind: scaled}}
    rows:
      - id: mean
        title: Sample mean
        run: {method: sample-mean}
        cells:
          near: {printed: "0.50", spread: "0.10", certainty: paper}
          far: {printed: "0.70", certainty: recalled}
      - id: own
        title: A method that is not here yet
        run: {method: later}
        cells:
          near: {printed: "1,000", certainty: second-hand}
          far: {printed: null, certainty: derived}
  - id: sizes
    title: Parameters
    place: table 2
    run: {task: toy, method: sample-mean, stages: [profile], quantity: cost.parameters, kind: exact}
    columns: [{id: one, title: One}, {id: two, title: Two}]
    rows: [{id: mean, title: Sample mean, cells: {one: {printed: "1", certainty: paper},
                                                  two: {printed: "2", certainty: paper}}}]
  - id: broken
    title: What fails
    place: table 3
    run: {task: toy, method: raises, quantity: metric.distance, kind: full, seeds: 1, stages: [fit, evaluate]}
    columns: [{id: near, title: Near}]
    rows: [{id: raises, title: Raises, cells: {near: {printed: "1", certainty: paper}}}]
claims:
  - id: mean-is-no-worse
    statement: The mean is at most 100 further off than half of it.
    place: section 1
    certainty: paper
    task: toy
    quantity: metric.distance
    test: not-worse
    minimum_effect: 100.0
    first: {method: sample-mean}
    second: {method: shrunk(sample-mean)}
    at: {smoke: {datasets: [normal], seeds: 3}, paper: {datasets: [normal, absent], seeds: 3}}
"""

METHOD = '''"""The method that was not there yet."""

from dataclasses import dataclass
from typing import ClassVar

from allwin_toy.task import Guess, ToyProblem
from bench import Presets, Run, method


@method("toy", paper="means")
@dataclass(frozen=True)
class Later:
    """Guesses the median."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        return Guess(problem.draws.median())
'''


@pytest.fixture
def means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A paper that stands beside those of the tree."""
    folder = tmp_path / "site-of-papers" / "papers"
    folder.mkdir(parents=True)
    (folder / "means.yaml").write_text(PAPER)
    monkeypatch.syspath_prepend(folder.parent)
    papers.paper_files.cache_clear()
    yield folder / "means.yaml"
    papers.paper_files.cache_clear()


INLINE = ("--budget", "smoke", "--engine", "inline")


def rows(text: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["table"], row["row"], row["column"]): row for row in json.loads(text)["figures"]}


def test_reproduce_runs_what_is_missing_and_judges_every_figure(call: Callable, means: Path, tmp_path: Path) -> None:
    answer = call("reproduce", "means/distances", *INLINE, "--json")
    assert answer.code == 0, answer.err
    found = rows(answer.out)
    near = found["distances", "mean", "near"]
    assert set(near) == {
        *("paper", "table", "row", "column", "kind"),
        *("published", "certainty", "measured", "verdict", "why"),
    }
    values = [record.metrics["distance"].value for record in Store(tmp_path / "runs").records()]
    assert len(values) == 2
    assert near["measured"] == pytest.approx(sum(values) / 2)
    assert (near["kind"], near["published"], near["certainty"]) == ("full", "0.50", "paper")
    assert near["verdict"] == "reproduced"
    # The same trials, of a kind that reproduces nothing.
    far = found["distances", "mean", "far"]
    assert (far["kind"], far["measured"], far["verdict"]) == ("scaled", near["measured"], "not attempted")
    assert "on normal at smoke budget" in far["why"]
    blank = found["distances", "own", "far"]
    assert (blank["published"], blank["measured"], blank["verdict"]) == (None, None, "not attempted")
    # Once more: nothing is run again.
    files = sorted(path.name for path in Store(tmp_path / "runs").files())
    assert rows(call("reproduce", "means/distances", *INLINE, "--json").out) == found
    assert sorted(path.name for path in Store(tmp_path / "runs").files()) == files


def test_rows_that_were_not_attempted_turn_when_their_method_appears(
    call: Callable, means: Path, tmp_path: Path
) -> None:
    row = ("distances", "own", "near")
    before = rows(call("reproduce", "means/distances", *INLINE, "--json").out)[row]
    assert (before["verdict"], before["measured"]) == ("not attempted", None)
    assert before["why"] == "no method later of task toy here yet"
    (tmp_path / "later.py").write_text(METHOD)
    answer = call("reproduce", "means/distances", *INLINE, "--json", "--method", "later.py")
    after = rows(answer.out)[row]
    # 1,000 was printed, and no distance between guesses of a mean comes within 100 of it.
    assert after["verdict"] == "not reproduced"
    assert after["measured"] < 900
    assert "runs code from outside allwin's tree" in answer.err


def test_an_exact_figure_agrees_to_the_printed_digit(call: Callable, means: Path) -> None:
    found = rows(call("reproduce", "means/sizes", *INLINE, "--json").out)
    one, two = found["sizes", "mean", "one"], found["sizes", "mean", "two"]
    assert (one["verdict"], one["measured"]) == ("reproduced", 1.0)
    assert (two["verdict"], two["why"]) == ("not reproduced", "measured 1, printed 2")


def test_a_trial_that_fails_is_told_and_gives_exit_code_1(call: Callable, means: Path) -> None:
    answer = call("reproduce", "means/broken", *INLINE, "--json")
    (row,) = json.loads(answer.out)["figures"]
    assert (answer.code, row["verdict"]) == (1, "could not run")
    assert row["why"] == "error: RuntimeError: the paper forgot <b>a term</b>"
    # It stands, also for who only looks.
    assert call("reproduce", "means/broken", "--budget", "smoke", "--dry-run").code == 1


def test_a_dry_run_writes_nothing_and_names_the_command(call: Callable, means: Path, tmp_path: Path) -> None:
    answer = call("reproduce", "means", "--budget", "smoke", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert "not run yet; `allwin reproduce means/distances --budget smoke` runs it" in answer.out
    assert not (tmp_path / "runs").exists()


def test_certainty_is_visible_and_verdicts_are_counted_by_kind(call: Callable, means: Path) -> None:
    lines = call("reproduce", "means", "--budget", "smoke", "--dry-run").out.splitlines()
    assert any("0.50 ± 0.10" in line and "~" not in line for line in lines)
    assert any("~0.70" in line for line in lines)
    assert any("1,000†" in line for line in lines)
    assert "~ recalled: from memory alone, shown and never a bar to pass (1)" in lines
    assert "† second-hand: read in somebody else's transcription (1)" in lines
    counts = lines[lines.index("verdicts on 7 figures, by kind") + 1 :]
    assert [line.split() for line in counts if line.startswith(("exact", "full", "scaled"))] == [
        ["exact", "0", "0", "0", "2"],
        ["full", "0", "0", "0", "3"],
        ["scaled", "0", "0", "0", "2"],
    ]


def test_below_a_table_stands_whether_its_rows_come_in_the_published_order(
    call: Callable, means: Path, tmp_path: Path
) -> None:
    (means.parent / "orders.yaml").write_text(json.dumps(ordered_content()))
    papers.paper_files.cache_clear()
    store = Store(tmp_path / "runs")
    for made in ordered_records():
        store.add(made)
    document = json.loads(call("reproduce", "orders", "--budget", "smoke", "--dry-run", "--json").out)
    assert len(document["figures"]) == 5
    # Places 1 2 3 4 5 against 3 1 2 4 5: squares 4, 1, 1, so 1 - 6 x 6 / (5 x 24) = 0.7.
    assert document["orders"] == [
        {
            "paper": "orders",
            "table": "main",
            "column": "distance",
            "budget": "smoke",
            "n": 5,
            "rho": pytest.approx(0.7),
            "moved": [{"row": "row-1", "published": 1, "measured": 3}],
        }
    ]
    lines = call("reproduce", "orders", "--budget", "smoke", "--dry-run").out.splitlines()
    place = lines.index("Distance at smoke budget, order over 5 rows: rho 0.70; Row 1 published 1st, here 3rd")
    assert lines[place - 1].startswith("Row 5")
    assert lines[place + 1] == ""
    # Nothing is there to compare at another budget.
    other = call("reproduce", "orders", "--budget", "small", "--dry-run", "--json")
    assert json.loads(other.out)["orders"] == []


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0.5, 2, "0.50"), (507901.0, 0, "507,901"), (0.0001, 2, "0.0001"), (0.0, 1, "0.0"), (-0.004, 1, "-0.004")],
)
def test_a_measured_figure_has_the_printed_decimals_unless_those_are_all_zero(
    value: float, decimals: int, text: str
) -> None:
    assert reproduce.number(value, decimals) == text


@pytest.mark.parametrize("target", ["menas", "means/distance", "means/", "/", "all/distances"])
def test_a_paper_or_table_that_does_not_exist_is_one_line(call: Callable, means: Path, target: str) -> None:
    answer = call("reproduce", target)
    assert (answer.code, answer.err.count("\n")) == (2, 1)


# Claims ---------------------------------------------------------------------------------------------------------------


def test_claims_judge_what_stands_and_run_only_when_asked(call: Callable, means: Path, tmp_path: Path) -> None:
    (smoke, paper) = json.loads(call("claims", "means", "--json").out)
    assert not (tmp_path / "runs").exists()
    assert set(smoke) == {"paper", "claim", "statement", "budget", "verdict", "effect", "low", "high", "n"}
    assert (smoke["budget"], paper["budget"]) == ("smoke", "paper")
    assert [smoke[name] for name in ("verdict", "effect", "low", "high", "n")] == ["not run", None, None, None, 0]
    assert "`allwin claims means --budget smoke --run` runs it" in call("claims", "means").out
    answer = call("claims", "means", "--run", *INLINE, "--json")
    (ran,) = json.loads(answer.out)
    distances: dict[str, dict[int, float]] = {}
    for record in Store(tmp_path / "runs").records():
        distances.setdefault(record.spec.method, {})[record.spec.seed] = record.metrics["distance"].value
    gains = [distances["shrunk(sample-mean)"][seed] - distances["sample-mean"][seed] for seed in range(3)]
    assert ran["effect"] == pytest.approx(sum(gains) / 3)
    assert (answer.code, ran["verdict"], ran["n"]) == (0, "supported", 3)
    assert ran["low"] < ran["effect"] < ran["high"]
    # From the store alone it is the same.
    assert json.loads(call("claims", "means", "--budget", "smoke", "--json").out) == [ran]
    printed = call("claims", "means", "--budget", "smoke").out
    assert "verdicts on 1 claims, by budget" in printed
    assert "verdicts are per claim" in printed


def test_nothing_is_run_of_a_claim_that_has_no_data_here(call: Callable, means: Path, tmp_path: Path) -> None:
    answer = call("claims", "means", "--run", "--budget", "paper", "--engine", "inline", "--json")
    assert (answer.code, json.loads(answer.out)[0]["verdict"]) == (0, "not run")
    assert not (tmp_path / "runs").exists()


# All papers of the tree -----------------------------------------------------------------------------------------------


def test_every_figure_of_every_paper_has_a_verdict_and_no_recalled_one_is_judged(call: Callable) -> None:
    answer = call("reproduce", "all", "--dry-run", "--json")
    document = json.loads(answer.out)["figures"]
    assert answer.code == 0
    assert {row["paper"] for row in document} >= {"fasterseg", "self_pu", "sabn"}
    assert {row["verdict"] for row in document} <= {"reproduced", "not reproduced", "could not run", "not attempted"}
    assert all(row["why"] and "\n" not in row["why"] for row in document)
    assert any(row["certainty"] == "recalled" for row in document)


def test_every_claim_of_every_paper_has_a_verdict_at_each_budget_that_it_offers(call: Callable) -> None:
    document = json.loads(call("claims", "--json").out)
    offered = sum(len(claim.at) for name in papers.paper_files() for claim in papers.load_paper(name).claims)
    assert len(document) == offered


# list, show and completion --------------------------------------------------------------------------------------------


def test_list_names_the_papers_and_those_that_cannot_be_read(call: Callable, means: Path) -> None:
    (means.parent / "torn.yaml").write_text("title: [\n")
    papers.paper_files.cache_clear()
    document = json.loads(call("list", "--json").out)
    (listed,) = [paper for paper in document["papers"] if paper["name"] == "means"]
    assert (listed["title"], listed["venue"]) == ("Means", "1809")
    assert "torn" in [item["name"] for item in document["broken"]]
    assert "\nmeans " in call("list").out


def test_show_counts_the_figures_of_a_paper_by_certainty(call: Callable, means: Path) -> None:
    document = json.loads(call("show", "means", "--json").out)
    assert (document["kind"], document["name"], document["reference"]) == ("paper", "means", "none")
    distances = document["tables"][0]
    assert distances["figures"] == {"paper": 1, "repository": 0, "second-hand": 1, "derived": 0, "recalled": 1}
    assert [claim["budgets"] for claim in document["claims"]] == [["smoke", "paper"]]
    printed = call("show", "means").out
    assert printed.startswith("means (paper): Means\n")
    assert "\nNot a real paper.\n\nWhat we found: Ours are nearer.\n\n" in printed
    assert document["discussion"] == "Ours are nearer."
    assert "What we found" not in call("show", "dance").out
    # Four of the paper itself: one distance, two sizes, one of what fails.
    (total,) = [line.split() for line in printed.splitlines() if line.split()[:1] == ["all"]]
    assert total == ["all", "4", "0", "1", "0", "1"]


def test_the_shell_completes_papers_and_then_their_tables(means: Path) -> None:
    command = reproduce.command
    (target,) = [parameter for parameter in command.params if parameter.name == "target"]
    context = command.make_context("reproduce", ["means"])

    def offered(typed: str) -> list[str]:
        return [item.value for item in target.shell_complete(context, typed)]

    assert offered("mea") == ["means"]
    assert offered("al") == ["all"]
    assert offered("means/") == ["means/distances", "means/sizes", "means/broken"]
    assert offered("means/s") == ["means/sizes"]


@pytest.mark.parametrize("words", [["show", "self_pu"], ["reproduce", "--help"], ["claims", "--help"]], ids=" ".join)
def test_what_only_tells_of_papers_imports_nothing_heavy(words: list[str], imports_told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", imports_told, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"


def test_every_certainty_but_the_papers_own_has_a_mark() -> None:
    assert set(get_args(papers.Certainty)) - set(papers.CERTAINTY_MARKS) == {"paper", "repository"}
