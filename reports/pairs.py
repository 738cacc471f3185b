"""Any two rows of a board against each other, paired by seed: worked out here, so that a page's script only looks up.

A page that is to compare two methods of the reader's choice carries the differences of all pairs of its first rows.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from bench.record import Record
from bench.stats import Difference, paired_differences
from reports.numbers import fixed, p_value, signed, significant
from reports.sheet import Column, Line, Sheet

ROWS = 12
"""Rows of a board whose pairs are on the page: 66 pairs."""


@dataclass(frozen=True)
class Pairs:
    """What the page's script looks up, as JSON inside of HTML; empty where there is nothing to compare."""

    script: Markup
    rows: int
    """How many rows, from the first, can be picked."""
    count: int
    """Differences inside."""
    told: str
    """Which rows cannot be picked, and what tells their differences instead; empty if all can."""


def pairs(sheet: Sheet, records: Mapping[str, Record], most: int) -> Pairs:
    """Differences upper minus lower of all pairs among the first ranked rows, unless they are more than `most`.

    Means and intervals are of the seeds that both rows have. Only the ranking metric is tested, and the p is of that
    one comparison: whoever picks the pair with the smallest is to know that nothing corrects for the choice.
    """
    ranked = [line for line in sheet.lines if line.row.rank is not None]
    picked = ranked[:ROWS]
    couples = list(itertools.combinations(range(len(picked)), 2))
    count = len(couples) * len(sheet.columns)
    elsewhere = "`allwin compare` tells the differences of any two."
    if not couples:
        return Pairs(Markup(), 0, 0, "")
    if count > most:
        return Pairs(Markup(), 0, 0, f"The pairs of these rows would make the page too large; {elsewhere}")
    by_column = [_differences(column, sheet, picked, couples, records) for column in sheet.columns]
    document = {
        "columns": [column.header for column in sheet.columns],
        "rows": [{"label": line.label, "cells": [cell.text for cell in line.cells]} for line in picked],
        "pairs": {
            f"{upper}-{lower}": [column[place] for column in by_column] for place, (upper, lower) in enumerate(couples)
        },
    }
    told = f"The first {ROWS} rows can be picked; {elsewhere}" if len(ranked) > ROWS else ""
    return Pairs(embedded(document), len(picked), count, told)


def embedded(document: Any) -> Markup:
    """JSON that no text inside can end: `<` never stands in it."""
    return Markup(json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def _differences(
    column: Column, sheet: Sheet, picked: list[Line], couples: list[tuple[int, int]], records: Mapping[str, Record]
) -> list[list[str]]:
    """For each couple: difference, interval, pairs and p, in print; nothing where no seed has both values."""
    board = sheet.board
    values = np.array([[_value(column, line.row.keys.get(seed), records) for seed in board.seeds] for line in picked])
    below = [paired_differences(values[:lower], values[lower]) for lower in range(len(picked))]
    return [_printed(below[lower][upper], column, board.ranking == column.quantity) for upper, lower in couples]


def _printed(found: Difference | None, column: Column, tested: bool) -> list[str]:
    if found is None:
        return []
    known = found.low is not None and found.high is not None
    interval = f"{_plain(found.low or 0.0, column)} to {_plain(found.high or 0.0, column)}" if known else ""
    p = p_value(found.p) if tested and found.p is not None else ""
    return [_signed(found.mean, column), interval, str(found.n), p]


def _value(column: Column, key: str | None, records: Mapping[str, Record]) -> float:
    """NaN where the trial failed or did not measure it: pairs are of what both have."""
    record = records.get(key) if key else None
    if record is None or record.status != "ok":
        return float("nan")
    quantity = column.quantity
    if quantity.group == "metric":
        metric = record.metrics.get(quantity.name)
        return metric.value if metric else float("nan")
    cost = (record.costs if quantity.group == "cost" else record.training).get(quantity.name)
    return cost.value if cost and cost.value is not None else float("nan")


def _plain(value: float, column: Column) -> str:
    value /= column.divisor
    return significant(value) if column.places is None else fixed(value, column.places)


def _signed(value: float, column: Column) -> str:
    if column.places is not None:
        return signed(value / column.divisor, column.places)
    text = _plain(value, column)
    return f"+{text}" if value > 0 else text
