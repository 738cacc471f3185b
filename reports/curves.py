"""Curves of a board: each row's mean over its seeds, with a 95 % band, point by point."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.record import Curve, Record
from bench.stats import half_widths
from reports.board import Board, Row

POINTS = 50
"""Points of a band at most, evenly picked, the ends included: a figure of 5 cm shows no more."""


@dataclass(frozen=True)
class Band:
    """One row's curve. `half_widths` are None where it has one seed."""

    label: str
    position: int
    """The row's place on the board, which gives its colour in every figure."""
    x: tuple[float, ...]
    means: tuple[float, ...]
    half_widths: tuple[float, ...] | None
    n: int
    """Seeds averaged at each point."""


@dataclass(frozen=True)
class Chart:
    """One quantity along its axis, a band for each row that has it, in the order of the ranks."""

    name: str
    origin: Literal["fit", "evaluate"]
    x_name: str
    unit: str
    bands: tuple[Band, ...]


def charts(board: Board, records: Mapping[str, Record]) -> list[Chart]:
    """All curves of a board, those of evaluation first."""
    kinds: dict[tuple[str, Literal["fit", "evaluate"]], Curve] = {}
    for row in board.rows:
        for seed in row.seeds:
            for name, curve in records[row.keys[seed]].curves.items():
                kinds.setdefault((name, curve.origin), curve)
    found = []
    for (name, origin), example in sorted(kinds.items(), key=lambda item: (item[0][1], item[0][0])):
        bands = [
            band for position, row in enumerate(board.rows) if (band := _band(position, row, name, origin, records))
        ]
        if bands:
            found.append(Chart(name, origin, example.x_name, example.unit, tuple(bands)))
    return found


def _band(position: int, row: Row, name: str, origin: str, records: Mapping[str, Record]) -> Band | None:
    curves = [records[row.keys[seed]].curves.get(name) for seed in row.seeds]
    present = [curve for curve in curves if curve and curve.origin == origin]
    by_x: dict[float, list[float]] = {}
    for curve in present:
        for x, y in zip(curve.x, curve.y, strict=True):
            if y is not None:
                by_x.setdefault(x, []).append(y)
    # A point that some seeds lack would jump: the mean there is over other seeds than its neighbours'.
    shared = sorted(x for x, values in by_x.items() if len(values) == len(present))
    if not shared:
        return None
    picked = np.unique(np.linspace(0, len(shared) - 1, min(POINTS, len(shared))).round().astype(int))
    xs = [shared[index] for index in picked]
    values = np.array([by_x[x] for x in xs])
    widths = None
    if len(present) > 1:
        widths = tuple(half_widths(values.std(axis=1, ddof=1), np.full(len(xs), len(present))).tolist())
    return Band(row.label, position, tuple(xs), tuple(values.mean(axis=1).tolist()), widths, len(present))
