"""Whether published and measured figures put the rows of a table into the same order.

The figures themselves need not agree: this is what a `scaled` measurement can say of a table. It is no verdict.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from bench.contracts import Budget
from bench.papers import PaperTable, TableColumn, TableRow
from bench.reproduction import Reproduction
from bench.stats import correlation

LEAST_ROWS = 4
"""The order of fewer is soon alike by chance."""

FAR = 2
"""Places: what moved by one has changed with a neighbour."""


@dataclass(frozen=True)
class Moved:
    """A row, and its two places: 1 is the best, and each is one more than the number of rows that are better."""

    row: TableRow
    published: int
    measured: int


@dataclass(frozen=True)
class Agreement:
    """The order of a column's rows as published and as measured at one budget."""

    paper: str
    table: PaperTable
    column: TableColumn
    budget: Budget
    """Of the trials: what is `exact` is measured at `paper`."""
    n: int
    """Rows that count."""
    rho: float | None
    """Spearman's; None where a side has no order, all its figures being equal."""
    moved: tuple[Moved, ...]
    """Rows whose places differ by two or more, in the order of the table."""

    @property
    def told(self) -> str:
        """`Layer 16 at small budget, order over 7 rows: rho 0.89; LFISTA published 6th, here 4th`."""
        order = f"{self.column.title} at {self.budget} budget, order over {self.n} rows"
        rho = "no rho, since one side is all equal" if self.rho is None else f"rho {self.rho:z.2f}"
        moved = [f"{m.row.title} published {_ordinal(m.published)}, here {_ordinal(m.measured)}" for m in self.moved]
        return "; ".join([f"{order}: {rho}", *moved])


def agreements(figures: Iterable[Reproduction]) -> list[Agreement]:
    """Of each column, in the order of the page, for each budget that has at least `LEAST_ROWS` rows that count.

    A row counts if its figure is printed, not recalled, and measured with every seed.
    """
    columns: dict[tuple[str, str, str, Budget], list[Reproduction]] = {}
    for one in figures:
        if _counts(one):
            key = (one.paper, one.table.id, one.column.id, one.cells[0].spec.budget)
            columns.setdefault(key, []).append(one)
    # A table's figures come row by row, and its columns may begin in different rows.
    found = [_agreement(rows) for rows in columns.values() if len(rows) >= LEAST_ROWS]
    tables = list(dict.fromkeys((paper, table) for paper, table, *_ in columns))
    return sorted(
        found,
        key=lambda one: (tables.index((one.paper, one.table.id)), one.table.columns.index(one.column)),
    )


def _counts(one: Reproduction) -> bool:
    certain = one.figure.printed is not None and one.figure.certainty != "recalled"
    return certain and one.measured is not None and one.measured.n == len(one.cells)


def _agreement(rows: Sequence[Reproduction]) -> Agreement:
    first = rows[0]
    published = [one.figure.value for one in rows if one.figure.value is not None]
    measured = [one.measured.mean for one in rows if one.measured]
    better = first.column.better
    places = zip(rows, _places(published, better), _places(measured, better), strict=True)
    return Agreement(
        first.paper,
        first.table,
        first.column,
        first.cells[0].spec.budget,
        len(rows),
        correlation(published, measured),
        tuple(Moved(one.row, theirs, ours) for one, theirs, ours in places if abs(theirs - ours) >= FAR),
    )


def _places(values: Sequence[float], better: Literal["high", "low"] | None) -> list[int]:
    """1 the best, or the least where nothing is good; equal values share a place."""
    sign = -1.0 if better == "high" else 1.0
    placed: list[int] = stats.rankdata([sign * value for value in values], method="min").tolist()
    return [int(place) for place in placed]


def _ordinal(place: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{place}{'th' if place % 100 in (11, 12, 13) else endings.get(place % 10, 'th')}"
