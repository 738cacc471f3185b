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
    judged = dict(zip(placed, _against_best([rows[i] for i in placed], [values[i] for i in placed]), strict=True))
    for position, index in enumerate(placed):
        before = judged[placed[position - 1]] if position else None
        tied = before is not None and mean(before) == mean(rows[index])
        judged[index] = replace(judged[index], rank=before.rank if before and tied else position + 1)
    ordered = [judged.get(index, rows[index]) for index in order]
    for cost in FRONT_COSTS:
        ordered = _with_front(ordered, ranking, cost)
    return ordered


def _against_best(rows: Sequence[Row], values: Sequence[Mapping[int, float]]) -> list[Row]:
    """The first row is the best; the others get their difference from it, and a p where five pairs allow one."""
    if not rows:
        return []
    best = values[0]
    differences: list[Difference | None] = [None]
    for other in values[1:]:
        seeds = sorted(best.keys() & other.keys())
        differences.append(paired_difference([other[s] for s in seeds], [best[s] for s in seeds]) if seeds else None)
    ps = {i: difference.p for i, difference in enumerate(differences) if difference and difference.p is not None}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    judged = []
    for index, (row, difference) in enumerate(zip(rows, differences, strict=True)):
        standing: Standing
        if index == 0:
            standing = "best" if corrected else "untested"
        elif index not in corrected:
            standing = "untested"
        else:
            standing = "behind" if corrected[index] < ALPHA else "not distinguishable"
        judged.append(replace(row, standing=standing, difference=difference, p=corrected.get(index)))
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
    untested = [row for row in placed[1:] if row.p is None]
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
