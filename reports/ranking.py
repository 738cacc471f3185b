"""Ranks, and how far they may be trusted: each row against the best, paired by seed, with Holm's correction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.stats import ALPHA, LEAST_PAIRS, Difference, holm, paired_difference, pareto
from reports.board import LEVEL_MARK, Quantity, Row, Standing

FRONT_COSTS = ("cost.latency_ms", "cost.macs")
"""Costs against which accuracy is plotted; less is better."""


def ranked(rows: Sequence[Row], values: Sequence[Mapping[int, float]], ranking: Quantity) -> list[Row]:
    """Rows in order of their means of the ranking metric, those without one last.

    `values` are each row's by seed. Equal means share a rank.
    """
    sign = -1.0 if ranking.better == "high" else 1.0

    def mean(row: Row) -> float | None:
        return row.cells[ranking.key].mean

    def place(index: int) -> tuple[bool, float, str, str]:
        value = mean(rows[index])
        return value is None, sign * (value or 0.0), rows[index].method, repr(rows[index].parameters)

    order = sorted(range(len(rows)), key=place)
    placed = [index for index in order if mean(rows[index]) is not None]
    judged = dict(zip(placed, _against_best([rows[i] for i in placed], [values[i] for i in placed], sign), strict=True))
    for position, index in enumerate(placed):
        before = judged[placed[position - 1]] if position else None
        tied = before is not None and mean(before) == mean(rows[index])
        judged[index] = replace(judged[index], rank=before.rank if before and tied else position + 1)
    ordered = [judged.get(index, rows[index]) for index in order]
    for cost in FRONT_COSTS:
        ordered = _with_front(ordered, ranking, cost)
    return ordered


def _against_best(rows: Sequence[Row], values: Sequence[Mapping[int, float]], sign: float) -> list[Row]:
    """Each row's difference from the best one, and a corrected p where five pairs allow one.

    The best is the first of those with the most seeds: a lucky row of one seed would leave nothing to pair with.
    """
    if not rows:
        return []
    best = max(range(len(rows)), key=lambda index: (len(values[index]), -index))
    differences: dict[int, Difference] = {}
    for index, other in enumerate(values):
        seeds = sorted(values[best].keys() & other.keys())
        if index != best and seeds:
            differences[index] = paired_difference([other[s] for s in seeds], [values[best][s] for s in seeds])
    ps = {index: difference.p for index, difference in differences.items() if difference.p is not None}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    judged = []
    for index, row in enumerate(rows):
        standing: Standing
        if index == best:
            standing = "best" if corrected else "untested"
        elif index not in corrected:
            standing = "untested"
        elif corrected[index] >= ALPHA:
            standing = "not distinguishable"
        else:
            standing = "behind" if sign * differences[index].mean > 0 else "ahead"
        judged.append(replace(row, standing=standing, difference=differences.get(index), p=corrected.get(index)))
    return judged


def _with_front(rows: list[Row], ranking: Quantity, cost: str) -> list[Row]:
    points = {}
    for index, row in enumerate(rows):
        value, price = row.cells[ranking.key].mean, row.cells[cost].mean if cost in row.cells else None
        if value is not None and price is not None:
            points[index] = (value, price)
    on_front = dict(zip(points, pareto(list(points.values()), (ranking.better, "low")), strict=True))
    return [
        replace(row, fronts={**row.fronts, cost: on_front[index]}) if index in on_front else row
        for index, row in enumerate(rows)
    ]


def rule(rows: Sequence[Row], ranking: Quantity | None) -> str:
    """How the ranks came about, in sentences."""
    placed = [row for row in rows if row.rank is not None]
    if not ranking or not placed:
        return "No trial gave a result, so nothing is ranked."
    direction = "higher" if ranking.better == "high" else "lower"
    unit = f" ({ranking.unit})" if ranking.unit else ""
    most = max(row.cells[ranking.key].n for row in placed)
    sentences = [f"Ranked by the mean of {ranking.name}{unit} over seeds; {direction} is better."]
    if most > 1:
        sentences.append("± is the half width of a 95 % t interval over seeds.")
    else:
        sentences.append("One seed each: there is no interval, and the order may be chance.")
    tested = [row for row in placed if row.p is not None]
    untested = [row for row in placed if row.difference and row.p is None]
    if tested:
        comparisons = f"{len(tested)} comparison{'s' if len(tested) > 1 else ''}"
        sentences.append(
            f"{LEVEL_MARK} marks what cannot be told from the best: paired t test by seed, Holm's correction over "
            f"{comparisons}, level {ALPHA:.0%}.".replace("%", " %")
        )
    if untested:
        where = "Some rows have" if tested else "There are"
        sentences.append(
            f"n < {LEAST_PAIRS}: no test. {where} fewer than {LEAST_PAIRS} paired seeds, so that the rank there is the "
            "plain order of the means."
        )
    if any(row.failed or row.skipped for row in rows):
        sentences.append("Failed and skipped trials are counted in their row and are in no mean.")
    return " ".join(sentences)
