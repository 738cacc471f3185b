"""Curves of a board: each row's mean over its seeds, with a 95 % band, point by point.

The curve of an iterative solver is drawn twice more, against what its iterations cost: an even share of a call's cost,
since the harness times and counts whole calls.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bench.record import Curve, Record
from bench.stats import half_widths
from reports.board import Board, Row
from reports.numbers import scale

POINTS = 50
"""Points of a band at most, picked evenly as they are drawn, the ends included: a figure of 5 cm shows no more."""

ITERATION = "iteration"
"""The axis whose steps `Workload.iterations` counts."""

LOG_SPAN = 100.0
"""A cost that spans more than this is drawn on a logarithmic axis."""

MEMBER = re.compile(r"(?P<family>.+)\[(?P<member>.+)\]")
"""`rate[stem]`: one of the curves of `rate`."""

Origin = Literal["fit", "evaluate"]

WHEN: Mapping[Origin, str] = {"fit": "during fit", "evaluate": "at evaluation"}
"""In captions."""


@dataclass(frozen=True)
class Band:
    """One row's curve. `half_widths` are None where it has one seed."""

    label: str
    position: int
    """The row's place on the board, which gives its colour in every figure."""
    oracle: bool
    x: tuple[float, ...]
    """Along the curve's own axis."""
    means: tuple[float, ...]
    half_widths: tuple[float, ...] | None
    n: int
    """Seeds averaged at each point."""
    step_cost: float = 1.0
    """What one of `x` costs, in the unit of the chart's axis, where the chart is drawn against a cost."""

    @property
    def drawn_x(self) -> tuple[float, ...]:
        """Where its points lie along the chart's axis."""
        return tuple(x * self.step_cost for x in self.x)


@dataclass(frozen=True)
class Share:
    """A cost of one call of the workload, shared out evenly among its iterations."""

    cost: str
    """Its key on the board."""
    name: str
    unit: str
    axis: str
    """What the axis says; braces stand for the prefix of its unit."""


SHARES = (
    Share("cost.latency_ms", "time", "ms", "time (ms), an even share of a call's median latency"),
    Share("cost.macs", "MACs", "MAC", "MACs an item{}, an even share of a call's"),
)


@dataclass(frozen=True)
class Chart:
    """One quantity along its axis, a band for each row that has it, in the order of the ranks."""

    name: str
    origin: Origin
    x_name: str
    """Of the curves' own axis."""
    unit: str
    bands: tuple[Band, ...]
    against: str = ""
    """The cost that it is drawn against instead: `time` or `MACs`."""
    axis: str = ""
    """What the axis says then."""
    log_x: bool = False
    left_out: tuple[str, ...] = ()
    """Rows with such a curve, and without that cost of an iteration."""

    @property
    def title(self) -> str:
        return f"{self.name} against {self.against}" if self.against else self.name

    @property
    def axis_text(self) -> str:
        return self.axis or self.x_name

    @property
    def family(self) -> str:
        """`rate` of `rate[stem]`; nothing where the curve stands alone."""
        return _family(self.name)

    @property
    def member(self) -> str:
        """`stem` of `rate[stem]`."""
        return found["member"] if (found := MEMBER.fullmatch(self.name)) else ""


def charts(board: Board, records: Mapping[str, Record]) -> list[Chart]:
    """All curves of a board, those of evaluation first; one along `iteration` is followed by the same against costs.

    By name, members of a family as they were logged.
    """
    # A mapping may read a record's file each time that it is asked.
    of_row = [[records[row.keys[seed]] for seed in row.seeds] for row in board.rows]
    kinds: dict[tuple[str, Origin], Curve] = {}
    for name, curve in ((name, curve) for one in of_row for record in one for name, curve in record.curves.items()):
        kinds.setdefault((name, curve.origin), curve)
    ordered = sorted(kinds.items(), key=lambda item: (item[0][1], _family(item[0][0]) or item[0][0]))
    solved = _solver_curve(board, [name for (name, origin), curve in ordered if _counts_iterations(origin, curve)])
    found = []
    for (name, origin), example in ordered:
        whole = [band for place in range(len(of_row)) if (band := _band(place, board, name, origin, of_row[place]))]
        if not whole:
            continue
        plain = Chart(name, origin, example.x_name, example.unit, tuple(whole))
        found.append(replace(plain, bands=tuple(_picked(band, np.linspace) for band in whole)))
        if origin == "evaluate" and name == solved:
            priced = [_priced(plain, share, board, of_row) for share in SHARES]
            found += [chart for chart in priced if chart]
    return found


def spread_of(bands: Sequence[Band]) -> str:
    """What a figure's text says of its bands."""
    several = max(band.n for band in bands)
    return f"Mean and 95 % band over {several} seeds" if several > 1 else "One seed"


def _family(name: str) -> str:
    return found["family"] if (found := MEMBER.fullmatch(name)) else ""


def families(charts: Sequence[Chart]) -> list[tuple[Chart, ...]]:
    """Charts that are drawn together, in the place of the first of them: the members of a family, or one alone."""
    found: dict[tuple[str, ...], list[Chart]] = {}
    for number, chart in enumerate(charts):
        alone = not chart.family or bool(chart.against)
        key = (str(number),) if alone else (chart.origin, chart.family, chart.x_name, chart.unit)
        found.setdefault(key, []).append(chart)
    return [tuple(group) for group in found.values()]


def _counts_iterations(origin: Origin, curve: Curve) -> bool:
    return origin == "evaluate" and curve.x_name == ITERATION


def _solver_curve(board: Board, names: Sequence[str]) -> str | None:
    """Of the curves along `iteration` the one that is drawn against costs: the ranking metric's, else the first."""
    ranking = board.ranking.name if board.ranking else None
    return ranking if ranking in names else next(iter(names), None)


def _band(position: int, board: Board, name: str, origin: Origin, records: Sequence[Record]) -> Band | None:
    """All points of a row's curve."""
    curves = [record.curves.get(name) for record in records]
    present = [curve for curve in curves if curve and curve.origin == origin]
    by_x: dict[float, list[float]] = {}
    for curve in present:
        for x, y in zip(curve.x, curve.y, strict=True):
            if y is not None:
                by_x.setdefault(x, []).append(y)
    # A point that some seeds lack would jump: the mean there is over other seeds than its neighbours'.
    xs = sorted(x for x, values in by_x.items() if len(values) == len(present))
    if not xs:
        return None
    values = np.array([by_x[x] for x in xs])
    widths = None
    if len(present) > 1:
        widths = tuple(half_widths(values.std(axis=1, ddof=1), np.full(len(xs), len(present))).tolist())
    row = board.rows[position]
    means = tuple(values.mean(axis=1).tolist())
    return Band(row.drawn_label, position, row.oracle, tuple(xs), means, widths, len(present))


def _picked(band: Band, spaced: Callable[[float, float, int], Any]) -> Band:
    """So many points of a band as a figure shows, their places `spaced` from the first to the last."""
    most = len(band.x)
    if most <= POINTS:
        return band
    return _at(band, np.unique((spaced(1, most, POINTS) - 1).round().astype(int)).tolist())


def _at(band: Band, places: Sequence[int]) -> Band:
    widths = band.half_widths
    return replace(
        band,
        x=tuple(band.x[place] for place in places),
        means=tuple(band.means[place] for place in places),
        half_widths=tuple(widths[place] for place in places) if widths else None,
    )


# Against costs --------------------------------------------------------------------------------------------------------


def _priced(chart: Chart, share: Share, board: Board, records: Sequence[Sequence[Record]]) -> Chart | None:
    """The chart against a cost, which is a mean over seeds as on the board; None where no row knows its iterations."""
    costs = [_step_cost(board.rows[band.position], share, records[band.position]) for band in chart.bands]
    bands = [replace(band, step_cost=cost) for band, cost in zip(chart.bands, costs, strict=True) if cost]
    left_out = tuple(band.label for band, cost in zip(chart.bands, costs, strict=True) if not cost)
    spans = [x for band in bands for x in band.drawn_x if x > 0]
    if not spans:
        return None
    divisor, unit = scale(share.unit, [max(spans)])
    log = max(spans) / min(spans) > LOG_SPAN
    if log:
        # The start costs nothing, which such an axis has no place for.
        above = [_at(band, [place for place, x in enumerate(band.x) if x > 0]) for band in bands]
        bands = [band for band in above if band.x]
    spaced = np.geomspace if log else np.linspace
    shown = tuple(_picked(replace(band, step_cost=band.step_cost / divisor), spaced) for band in bands)
    axis = share.axis.format(f" ({unit})" if unit else "")
    return replace(chart, bands=shown, against=share.name, axis=axis, log_x=log, left_out=left_out)


def _step_cost(row: Row, share: Share, records: Sequence[Record]) -> float | None:
    """Of one iteration; None where it was not measured, or where the row's calls make no one number of them."""
    counts = {record.iterations for record in records}
    cost = row.cells[share.cost].mean if share.cost in row.cells else None
    if len(counts) != 1 or cost is None or not (count := counts.pop()):
        return None
    return cost / count
