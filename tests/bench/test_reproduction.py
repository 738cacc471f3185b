"""Verdicts on published figures: each rule on figures worked out by hand, and the gaps that leave nothing to judge."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_factory import cost, percent, record

from bench import registry
from bench.claims import findings
from bench.contracts import BUDGETS
from bench.errors import UserError
from bench.evidence import Ask, Evidence, Measured
from bench.grid import Cell
from bench.papers import Figure, Paper, Recipe, parse_paper
from bench.record import Failure, Record
from bench.reproduction import Reproduction, in_print, judge, reproductions
from bench.stats import Interval
from bench.strict_yaml import parse_yaml

KNOWN = registry.load()

RUN = {"task": "toy", "method": "sample-mean", "quantity": "metric.distance", "kind": "full", "seeds": 1}


def paper_of(run: dict[str, Any], cell: dict[str, Any] | None = None) -> Paper:
    """One table of one cell."""
    table = {
        "id": "main",
        "title": "t",
        "place": "table 1",
        "run": run,
        "columns": [{"id": "distance", "title": "Distance"}],
        "rows": [
            {
                "id": "mean",
                "title": "Mean",
                "cells": {"distance": {"printed": "0.50", "certainty": "paper"} | (cell or {})},
            }
        ],
    }
    head = {"title": "Means", "authors": "Gauss", "venue": "1809", "reference": "none"}
    return parse_paper(head | {"tables": [table], "claims": []}, "means", "means.yaml")


def reproduced(paper: Paper, records: list[Record] = [], budget: str = "smoke") -> Reproduction:  # noqa: B006
    (one,) = reproductions(paper, paper.tables, budget, Evidence(KNOWN, records))
    return one


def cells_of(**changes: Any) -> list[Cell]:
    """The cells that `RUN` with these changes asks for."""
    words = {name: value for name, value in (RUN | changes).items() if name != "kind"}
    return list(Evidence(KNOWN, []).measured(Ask(**words), "smoke").cells)


def standing(cell: Cell, distance: float = 0.5, **changes: Any) -> Record:
    """An ok record of a cell."""
    made = record(metrics={"distance": percent(distance)})
    return made.model_copy(update={"key": cell.key, "parts": cell.parts, "spec": cell.spec} | changes)


def failed(cell: Cell, cause: str, status: str = "failed") -> Record:
    told = Failure(cause=cause, message="it\nbroke", stage="fit")
    return standing(cell, status=status, failure=told, metrics={})


# Verdicts on what was measured ----------------------------------------------------------------------------------------


def figure(printed: str, certainty: str = "paper", spread: str | None = None) -> Figure:
    return Figure(printed=printed, certainty=certainty, spread=spread)


@pytest.mark.parametrize(
    ("measured", "printed", "verdict"),
    [
        (4.43, "4.4", "reproduced"),
        (4.46, "4.4", "not reproduced"),
        # Halves go to the even digit.
        (4.45, "4.4", "reproduced"),
        (4.35, "4.4", "reproduced"),
        (4.55, "4.6", "reproduced"),
        (4.55, "4.5", "not reproduced"),
        (507_901.0, "507,901", "reproduced"),
        (507_902.0, "507,901", "not reproduced"),
        (-0.42, "-0.4", "reproduced"),
        (0.04, "0.0", "reproduced"),
        (1.2e149, "0.10", "not reproduced"),
    ],
)
def test_an_exact_figure_must_round_to_the_printed_digits(measured: float, printed: str, verdict: str) -> None:
    # A tolerance is for full figures: here it changes nothing.
    assert judge(figure(printed), Recipe(kind="exact"), Interval(measured, None, 1))[0] == verdict


def test_an_exact_figure_that_its_source_cut_off_may_be_off_by_what_it_leaves_open() -> None:
    def verdict(measured: float) -> str:
        return judge(figure("4.84"), Recipe(kind="exact", tolerance=0.01), Interval(measured, None, 1))[0]

    assert (verdict(4.849), verdict(4.851)) == ("reproduced", "not reproduced")


@pytest.mark.parametrize(
    ("measured", "half_width", "spread", "tolerance", "verdict", "bar"),
    [
        # 94.21 - 93.21 = 1, just within; in binary it would be a little more.
        (93.21, None, None, 1.0, "reproduced", "the tolerance of 1"),
        (93.20, None, None, 1.0, "not reproduced", "the tolerance of 1"),
        # A tolerance wins over the spread, whichever is wider.
        (93.91, None, "0.54", 0.2, "not reproduced", "the tolerance of 0.2"),
        (93.41, None, "0.54", 1.0, "reproduced", "the tolerance of 1"),
        (93.91, 9.0, "0.54", None, "reproduced", "the published spread of 0.54"),
        (93.61, 9.0, "0.54", None, "not reproduced", "the published spread of 0.54"),
        (93.91, 0.4, None, None, "reproduced", "the measured interval's half width of 0.4"),
        (93.91, 0.2, None, None, "not reproduced", "the measured interval's half width of 0.2"),
        # 94.21 was anything from 94.205 to 94.215.
        (94.215, None, None, None, "reproduced", "half a unit of the last printed place of 0.005"),
        (94.216, 0.001, None, None, "not reproduced", "half a unit of the last printed place of 0.005"),
        # A spread of nothing is no bar.
        (94.213, None, "0.00", None, "reproduced", "half a unit of the last printed place of 0.005"),
    ],
)
def test_a_full_figure_must_come_within_its_bar(
    measured: float, half_width: float | None, spread: str | None, tolerance: float | None, verdict: str, bar: str
) -> None:
    recipe = Recipe(kind="full", tolerance=tolerance)
    found, why = judge(figure("94.21", spread=spread), recipe, Interval(measured, half_width, 5))
    assert found == verdict
    assert why.endswith(("within " if verdict == "reproduced" else "beyond ") + bar)


@pytest.mark.parametrize("kind", ["exact", "full"])
def test_a_recalled_figure_judges_nothing_even_where_it_agrees(kind: str) -> None:
    verdict, why = judge(figure("4.4", "recalled"), Recipe(kind=kind), Interval(4.4, None, 1))
    assert (verdict, why) == ("not attempted", "recalled figure: no bar to pass")


@pytest.mark.parametrize("certainty", ["paper", "recalled"])
def test_a_scaled_measurement_reproduces_nothing_even_where_it_agrees(certainty: str) -> None:
    verdict, why = judge(figure("4.4", certainty), Recipe(kind="scaled"), Interval(4.4, None, 1), "mnist5k")
    assert (verdict, why) == (
        "not attempted",
        "scaled: measured on mnist5k, which can support a claim, not reproduce a figure",
    )


@given(st.floats(-100, 100), st.floats(0, 50), st.floats(0, 50))
def test_a_wider_tolerance_never_turns_reproduced_into_not(measured: float, one: float, other: float) -> None:
    verdicts = [
        judge(figure("3.1"), Recipe(kind="full", tolerance=tolerance), Interval(measured, None, 1))[0]
        for tolerance in sorted((one, other))
    ]
    assert verdicts != ["reproduced", "not reproduced"]


def test_a_share_of_errors_is_compared_as_the_accuracy_that_was_printed() -> None:
    # 100 - 10, 100 - 12 and 100 - 14; deviation 2, t(0.975, 2) = 4.30265, so 4.30265 x 2 / sqrt(3) = 4.96828.
    interval = in_print(Measured({0: 10.0, 1: 12.0, 2: 14.0}, ()), Recipe(scale=-1.0, offset=100.0))
    assert interval is not None
    assert (interval.mean, interval.n) == (88.0, 3)
    assert interval.half_width == pytest.approx(4.96828, abs=1e-5)


def test_a_count_in_millions_keeps_its_decimal_digits() -> None:
    # In binary 1_195_000 x 1e-6 is 1.1949999999999998, which would round to 1.19 where the exact 1.195 goes to 1.20.
    assert 1_195_000 * 1e-6 < 1.195
    interval = in_print(Measured({0: 1_195_000.0}, ()), Recipe(scale=1e-6))
    assert interval == Interval(1.195, None, 1)
    assert judge(figure("1.20"), Recipe(kind="exact"), interval)[0] == "reproduced"


# Where there is nothing to judge --------------------------------------------------------------------------------------

QUANTITIES = "write metric.NAME, cost.NAME, training.NAME, or curve.NAME@X with a number X"


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ({"impossible": "nobody has\nthe data"}, "nobody has the data"),
        ({"at": {"paper": {}, "gpu": {}}}, "nothing at smoke budget; it has gpu, paper"),
        ({"task": "guessing"}, "no task guessing here yet"),
        ({"method": "fasterseg"}, "no method fasterseg of task toy here yet"),
        ({"method": "shrunk(fasterseg)"}, "no method fasterseg of task toy here yet"),
        ({"dataset": "cityscapes"}, "no data set cityscapes of task toy here yet"),
        ({"parameters": {"soft": True}}, "no parameter soft of method toy/sample-mean here yet"),
        ({"settings": {"positives": 3}}, "no setting positives of task toy here yet"),
        ({"quantity": "metric.miou"}, "no metric miou of task toy on normal here yet"),
        ({"quantity": "distance"}, f"distance is no quantity: {QUANTITIES}"),
        ({"quantity": "metric."}, f"metric. is no quantity: {QUANTITIES}"),
        ({"quantity": "curve.risk"}, f"curve.risk is no quantity: {QUANTITIES}"),
        ({"quantity": "curve.@8"}, f"curve.@8 is no quantity: {QUANTITIES}"),
        ({"quantity": "curve.risk@"}, f"curve.risk@ is no quantity: {QUANTITIES}"),
        ({"quantity": "curve.risk@last"}, f"curve.risk@last is no quantity: {QUANTITIES}"),
        ({"quantity": "curve.risk@nan"}, f"curve.risk@nan is no quantity: {QUANTITIES}"),
        ({"quantity": "curve.risk@inf"}, f"curve.risk@inf is no quantity: {QUANTITIES}"),
        ({"quantity": "loss.risk@8"}, f"loss.risk@8 is no quantity: {QUANTITIES}"),
        ({"settings": {"draws": -1}}, "toy: draws must be above 0"),
        ({"settings": {"draws": [3, 4]}}, "a list of values is a sweep"),
        ({"quantity": None}, "its paper's file does not say how it is measured: no quantity"),
        ({"kind": None}, "its paper's file does not say how it is measured: no kind"),
    ],
)
def test_a_figure_that_nothing_can_measure_is_not_attempted(run: dict[str, Any], why: str) -> None:
    one = reproduced(paper_of({name: value for name, value in (RUN | run).items() if value is not None}))
    assert (one.verdict, one.measured, one.cells) == ("not attempted", None, ())
    assert why in one.why


def test_a_blank_of_the_table_is_not_attempted() -> None:
    one = reproduced(paper_of(RUN, {"printed": None}), [standing(cell) for cell in cells_of()])
    assert (one.verdict, one.why, one.cells) == ("not attempted", "nothing is printed there", ())


def test_what_was_not_run_names_the_command_that_runs_it() -> None:
    one = reproduced(paper_of(RUN))
    assert one.verdict == "not attempted"
    assert one.why == "not run yet; `allwin reproduce means/main --budget smoke` runs it"
    assert [cell.spec.seed for cell in one.cells] == [0]


def test_a_data_set_that_is_not_here_could_not_run() -> None:
    one = reproduced(paper_of(RUN | {"dataset": "absent"}))
    assert one.verdict == "could not run"
    assert one.why.startswith("missing-data: absent is not under ALLWIN_DATA")


def test_a_record_of_data_that_is_elsewhere_counts() -> None:
    records = [standing(cell) for cell in cells_of(dataset="absent")]
    assert reproduced(paper_of(RUN | {"dataset": "absent"}), records).verdict == "reproduced"


def test_data_that_was_missing_and_is_here_now_is_not_held_against_a_figure() -> None:
    (cell,) = cells_of()
    assert "not run yet" in reproduced(paper_of(RUN), [failed(cell, "missing-data", "skipped")]).why


def test_a_method_that_only_profiles_cannot_without_a_build() -> None:
    one = reproduced(paper_of(RUN | {"method": "descent", "stages": ["profile"], "quantity": "cost.macs"}))
    assert (one.verdict, one.why.partition(":")[0]) == ("could not run", "unsupported")


@pytest.mark.parametrize(
    ("cause", "status", "why"),
    [("oom", "failed", "oom: it broke"), ("unsupported", "skipped", "unsupported: it broke")],
)
def test_a_trial_that_left_no_result_could_not_run_and_says_why(cause: str, status: str, why: str) -> None:
    (cell,) = cells_of()
    one = reproduced(paper_of(RUN), [failed(cell, cause, status)])
    assert (one.verdict, one.why, one.measured) == ("could not run", why, None)


def test_only_a_failure_counts_as_failed() -> None:
    (cell,) = cells_of()
    assert Evidence(KNOWN, [failed(cell, "oom")]).failed([cell])
    assert not Evidence(KNOWN, [failed(cell, "unsupported", "skipped")]).failed([cell])
    assert not Evidence(KNOWN, [standing(cell)]).failed([cell])


def test_a_method_that_is_broken_could_not_run_and_says_where_to_mend_it() -> None:
    known = registry.Registry(KNOWN.tasks, KNOWN.methods, [registry.Broken("toy/half", "half.py", "SyntaxError: odd")])
    paper = paper_of(RUN | {"method": "half"})
    (one,) = reproductions(paper, paper.tables, "smoke", Evidence(known, []))
    assert (one.verdict, one.why) == (
        "could not run",
        "toy/half cannot be used: SyntaxError: odd; mend half.py",
    )


def test_a_cost_that_could_not_be_read_says_why() -> None:
    (cell,) = cells_of()
    found = standing(cell, costs={"energy_j": cost(None, "J", "no RAPL zones here")})
    one = reproduced(paper_of(RUN | {"quantity": "cost.energy_j"}), [found])
    assert (one.verdict, one.why) == ("could not run", "energy_j not measured: no RAPL zones here")
    one = reproduced(paper_of(RUN | {"quantity": "training.fit_s"}), [found])
    assert (one.verdict, one.why) == ("could not run", "its record holds no training.fit_s")


def test_costs_and_training_are_read_from_their_own_groups() -> None:
    (cell,) = cells_of()
    found = standing(cell, costs={"macs": cost(0.5, "MAC")}, training={"fit_s": cost(9.0, "s")})
    for quantity, mean in (("cost.macs", 0.5), ("training.fit_s", 9.0)):
        one = reproduced(paper_of(RUN | {"quantity": quantity}), [found])
        assert one.measured == Interval(mean, None, 1)


def test_a_record_that_earlier_code_made_does_not_count_and_says_what_changed() -> None:
    (cell,) = cells_of()
    old = standing(cell, key="0" * 64, parts=cell.parts | {"method source": "before"})
    one = reproduced(paper_of(RUN), [old])
    assert (one.verdict, one.measured) == ("not attempted", None)
    assert one.why.startswith("stale: made by earlier code or elsewhere (method source); `allwin reproduce means/main")


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"parameters": {"lr": 0.5}},
        {"settings": {"draws": 3}},
        {"dataset": "other"},
        {"budget": "small"},
        {"device": "cuda"},
        {"stages": ("fit", "evaluate")},
    ],
)
def test_a_record_of_another_spec_is_not_even_stale(other: dict[str, Any]) -> None:
    (cell,) = cells_of()
    stranger = standing(cell, key="0" * 64, spec=cell.spec.model_copy(update=other))
    assert reproduced(paper_of(RUN), [stranger]).why.startswith("not run yet")


def test_a_figure_is_judged_only_when_every_seed_has_its_value() -> None:
    cells = cells_of(seeds=3)
    two = [standing(cell, 0.5) for cell in cells[:2]]
    one = reproduced(paper_of(RUN | {"seeds": 3}), two)
    assert (one.verdict, one.measured) == ("not attempted", Interval(0.5, 0.0, 2))
    assert one.why.startswith("1 of 3 seeds: not run yet")
    one = reproduced(paper_of(RUN | {"seeds": 3}), [*two[:1], failed(cells[1], "nan")])
    # A failure is told before what a run would fill.
    assert (one.verdict, one.why) == ("could not run", "1 of 3 seeds: nan: it broke")
    assert reproduced(paper_of(RUN | {"seeds": 3}), [standing(cell) for cell in cells]).verdict == "reproduced"


@pytest.mark.parametrize(("kind", "seeds"), [("exact", 1), ("full", 3), ("scaled", 3)])
def test_three_seeds_are_run_unless_said_otherwise_and_one_for_what_no_seed_changes(kind: str, seeds: int) -> None:
    run = {name: value for name, value in RUN.items() if name != "seeds"} | {"kind": kind}
    assert len(reproduced(paper_of(run)).cells) == seeds


def test_the_difference_is_measured_minus_printed() -> None:
    (cell,) = cells_of()
    assert reproduced(paper_of(RUN), [standing(cell, 0.3)]).difference == -0.2


def test_a_data_root_that_does_not_exist_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLWIN_DATA", "nowhere/at/all")
    with pytest.raises(UserError, match="ALLWIN_DATA names"):
        Evidence(KNOWN, [])


def test_the_worked_example_of_the_documentation_is_what_the_text_says_of_it() -> None:
    text = (Path(__file__).parents[2] / "docs" / "papers.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    paper = parse_paper(parse_yaml(example), "nnpu", "papers.md")
    (one,) = reproductions(paper, paper.tables, "small", Evidence(KNOWN, []))
    assert [cell.title for cell in one.cells] == [f"pu/nnpu on mnist5k, seed {seed}" for seed in range(5)]
    assert (one.kind, one.figure.printed) == ("scaled", "93.41")
    (claimed,) = findings(paper, "small", Evidence(KNOWN, []))
    assert len(claimed.cells) == 10


# Merging recipes ------------------------------------------------------------------------------------------------------

VALUES = {
    "task": st.sampled_from(["toy", "pu"]),
    "scale": st.floats(-10, 10),
    "seeds": st.integers(1, 9),
    "kind": st.sampled_from(["exact", "full"]),
    "impossible": st.just("never"),
    "parameters": st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), st.integers())),
    "settings": st.dictionaries(st.sampled_from("abc"), st.integers()),
}
PLAIN = st.fixed_dictionaries({}, optional=VALUES)
RECIPES: Callable[..., st.SearchStrategy[Recipe]] = st.builds(
    lambda plain, at: Recipe.model_validate(plain | {"at": at}),
    PLAIN,
    st.dictionaries(st.sampled_from(BUDGETS), PLAIN, max_size=2),
)


@given(RECIPES, RECIPES)
def test_the_later_recipe_wins_word_by_word(later: Recipe, earlier: Recipe) -> None:
    merged = later.over(earlier)
    for name in ("task", "scale", "seeds", "kind", "impossible"):
        said = getattr(later, name)
        assert getattr(merged, name) == (getattr(earlier, name) if said is None else said)
    for name in ("parameters", "settings"):
        theirs = getattr(merged, name)
        assert theirs == {k: getattr(later, name).get(k, getattr(earlier, name).get(k)) for k in theirs}
        assert set(theirs) == set(getattr(later, name)) | set(getattr(earlier, name))


def test_differences_at_a_budget_are_merged_like_the_rest() -> None:
    cell = Recipe.model_validate({"scale": 2.0, "at": {"small": {"tolerance": 1.0}, "gpu": {"seeds": 2}}})
    column = Recipe.model_validate({"at": {"small": {"dataset": "mnist5k", "tolerance": 3.0, "scale": 4.0}}})
    small = cell.over(column).at_budget("small")
    # What is said for the budget wins over what the cell says for all.
    assert small == Recipe(dataset="mnist5k", tolerance=1.0, scale=4.0)
    assert cell.over(column).at_budget("gpu") == Recipe(scale=2.0, seeds=2)


@given(RECIPES, RECIPES, RECIPES)
def test_it_does_not_matter_which_of_three_recipes_are_merged_first(a: Recipe, b: Recipe, c: Recipe) -> None:
    assert a.over(b).over(c) == a.over(b.over(c))


@given(RECIPES)
def test_an_empty_recipe_changes_nothing(recipe: Recipe) -> None:
    assert Recipe().over(recipe) == recipe == recipe.over(Recipe())


@given(RECIPES, st.sampled_from(BUDGETS))
def test_what_is_said_for_a_budget_wins_over_what_is_said_for_all(recipe: Recipe, budget: str) -> None:
    found = recipe.at_budget(budget)
    if recipe.at and budget not in recipe.at:
        assert found is None
    elif recipe.at:
        assert found == recipe.at[budget].over(recipe.model_copy(update={"at": {}}))
    else:
        assert found == recipe
