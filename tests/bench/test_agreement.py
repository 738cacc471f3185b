"""The order of a table's rows as published and as measured: places and coefficients worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_factory import record

from bench.agreement import Agreement, agreements
from bench.grid import Cell
from bench.papers import PaperTable
from bench.reproduction import Reproduction
from bench.stats import Interval


def figures(
    published: Sequence[float | None],
    measured: Sequence[float | None],
    better: str | None = "low",
    changes: dict[int, dict[str, Any]] | None = None,
    certainties: dict[int, str] | None = None,
    column: str = "layer",
) -> list[Reproduction]:
    """One column whose rows are called A, B, C …, each measured with two seeds at small budget."""
    rows = [
        {
            "id": f"row-{place}",
            "title": chr(ord("A") + place),
            "cells": {
                column: {
                    "printed": None if figure is None else str(figure),
                    "certainty": (certainties or {}).get(place, "paper"),
                }
            },
        }
        for place, figure in enumerate(published)
    ]
    columns = [{"id": column, "title": "Layer 16", "better": better}]
    table = PaperTable.model_validate({"id": "t", "title": "T", "place": "t", "columns": columns, "rows": rows})
    made = []
    for place, (row, mean) in enumerate(zip(table.rows, measured, strict=True)):
        words: dict[str, Any] = {
            "measured": None if mean is None else Interval(mean, 0.1, 2),
            "cells": cells("small", 2),
        } | (changes or {}).get(place, {})
        judged = {"kind": "scaled", "difference": None, "verdict": "not attempted", "why": ""}
        made.append(Reproduction(paper="p", table=table, row=row, column=table.columns[0], **judged, **words))
    return made


def cells(budget: str, seeds: int) -> tuple[Cell, ...]:
    return tuple(Cell(record(seed=seed, budget=budget).spec, {}, str(seed)) for seed in range(seeds))


def the(listed: list[Reproduction]) -> Agreement:
    (one,) = agreements(listed)
    return one


def moved(one: Agreement) -> list[tuple[str, int, int]]:
    return [(each.row.title, each.published, each.measured) for each in one.moved]


def test_a_row_that_falls_behind_two_others_is_named_and_they_are_not() -> None:
    # Places 1 to 7 against 1 2 3 5 6 4 7: squares 1, 1 and 4, so 1 - 6 x 6 / (7 x 48) = 0.8929.
    one = the(figures([-70, -60, -50, -40, -30, -20, -10], [-70, -60, -50, -30, -20, -40, -10]))
    assert (one.n, one.rho) == (7, pytest.approx(0.8929, abs=1e-4))
    assert moved(one) == [("F", 6, 4)]
    assert one.told == "Layer 16 at small budget, order over 7 rows: rho 0.89; F published 6th, here 4th"


def test_neighbours_that_change_places_are_not_named() -> None:
    # Squares 1 and 1: 1 - 6 x 2 / (4 x 15) = 0.8.
    one = the(figures([1, 2, 3, 4], [2, 1, 3, 4]))
    assert (one.rho, one.moved) == (pytest.approx(0.8), ())
    assert one.told == "Layer 16 at small budget, order over 4 rows: rho 0.80"


@pytest.mark.parametrize(
    ("better", "places"),
    [
        ("low", [("A", 1, 4), ("D", 4, 1)]),
        ("high", [("A", 4, 1), ("D", 1, 4)]),
        # Where nothing is good the least is first.
        (None, [("A", 1, 4), ("D", 4, 1)]),
    ],
)
def test_the_best_is_first(better: str | None, places: list[tuple[str, int, int]]) -> None:
    one = the(figures([10, 20, 30, 40], [0.4, 0.3, 0.2, 0.1], better))
    # The coefficient is the same whichever way is good.
    assert (one.rho, moved(one)) == (pytest.approx(-1.0), places)


def test_equal_figures_share_a_place_and_the_next_is_as_far_behind_as_they_are_many() -> None:
    # Ranks 2 2 2 4 against 1 2 3 4: products of deviations 0.75 + 0.25 - 0.25 + 2.25 = 3, squares 3 and 5.
    one = the(figures([1, 1, 1, 4], [1, 2, 3, 4]))
    assert one.rho == pytest.approx(3 / 15**0.5)
    assert moved(one) == [("C", 1, 3)]


def test_a_side_without_an_order_has_no_coefficient() -> None:
    one = the(figures([1, 2, 2, 2], [5, 5, 5, 5]))
    assert one.rho is None
    assert one.told == "Layer 16 at small budget, order over 4 rows: no rho, since one side is all equal"


def test_a_coefficient_that_rounds_to_nothing_has_no_sign() -> None:
    one = replace(the(figures([1, 2, 3, 4], [1, 2, 3, 4])), rho=-0.004)
    assert one.told.endswith("rho 0.00")


@pytest.mark.parametrize(
    ("without", "why"),
    [
        ({"certainties": {4: "recalled"}}, "recalled"),
        ({"changes": {4: {"measured": None, "cells": ()}}}, "not measured"),
        # One of its two seeds has no value.
        ({"changes": {4: {"measured": Interval(9.0, None, 1)}}}, "measured in part"),
    ],
)
def test_a_row_counts_if_it_is_sure_and_measured_with_every_seed(without: dict[str, Any], why: str) -> None:
    published, measured = [1, 2, 3, 4, 0], [1.0, 2.0, 3.0, 4.0, 9.0]
    assert the(figures(published, measured)).n == 5, why
    one = the(figures(published, measured, **without))
    assert (one.n, one.rho, one.moved) == (4, pytest.approx(1.0), ()), why
    # Of four rows three would be left, which say nothing.
    rows = figures(published, measured, **without)
    assert agreements(rows[1:]) == [], why


def test_a_blank_of_the_table_does_not_count() -> None:
    assert the(figures([1, 2, None, 3, 4], [1, 2, 0, 3, 4])).n == 4


@pytest.mark.parametrize("certainty", ["repository", "second-hand", "derived"])
def test_every_figure_that_is_not_recalled_counts(certainty: str) -> None:
    assert the(figures([1, 2, 3, 4], [1, 2, 3, 4], certainties={0: certainty})).n == 4


def test_measurements_of_different_budgets_are_not_mixed() -> None:
    at_paper = {place: {"cells": cells("paper", 2)} for place in (0, 2)}
    five = figures([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], changes=at_paper)
    assert agreements(five) == []
    four = figures([1, 2, 3, 4], [4, 3, 2, 1], changes={place: {"cells": cells("paper", 2)} for place in range(4)})
    assert [(one.budget, one.n) for one in agreements([*five[1:2], *four, *figures([1, 2, 3, 4], [1, 2, 3, 4])])] == [
        ("small", 5),
        ("paper", 4),
    ]


def test_columns_come_in_the_order_of_the_page_although_one_begins_in_a_later_row() -> None:
    rows = [
        {"id": f"r{n}", "title": "R", "cells": {c: {"printed": str(n), "certainty": "paper"} for c in ("a", "b")}}
        for n in range(5)
    ]
    columns = [{"id": name, "title": name} for name in ("a", "b")]
    table = PaperTable.model_validate({"id": "t", "title": "T", "place": "t", "columns": columns, "rows": rows})
    listed = [
        Reproduction("p", table, row, column, "scaled", Interval(1.0, None, 2), None, "not attempted", "", two)
        for two in [cells("small", 2)]
        for place, row in enumerate(table.rows)
        for column in table.columns[0 if place else 1 :]
    ]
    assert [(one.column.id, one.n) for one in agreements(listed)] == [("a", 4), ("b", 5)]
    # A second paper may have a table and columns of the same names.
    other = [Reproduction(**{**vars(one), "paper": "q"}) for one in listed]
    assert [(one.paper, one.column.id) for one in agreements([*listed, *other])] == [
        *(("p", "a"), ("p", "b")),
        *(("q", "a"), ("q", "b")),
    ]


def test_places_are_written_as_they_are_spoken() -> None:
    swaps = {1: 11, 2: 12, 3: 13, 4: 21, 5: 22, 6: 23}
    places = {**dict(zip(range(1, 24), range(1, 24), strict=True)), **swaps, **{b: a for a, b in swaps.items()}}
    told = the(figures(range(1, 24), [float(place) for place in places.values()])).told
    for pair in ("1st, here 11th", "2nd, here 12th", "3rd, here 13th", "4th, here 21st", "5th, here 22nd"):
        assert f"published {pair}" in told
    assert "W published 23rd, here 6th" in told


@given(st.lists(st.integers(-50, 50), min_size=4, max_size=9, unique=True), st.sampled_from(["high", "low", None]))
def test_figures_that_are_far_off_in_the_same_order_agree(published: list[int], better: str | None) -> None:
    one = the(figures(published, [3.0 * figure**3 - 1000 for figure in published], better))
    assert (one.n, one.rho, one.moved) == (len(published), pytest.approx(1.0), ())
