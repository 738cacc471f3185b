"""Ranks, and how far they may be trusted: each row against the best, paired by seed, with Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.stats import ALPHA, LEAST_PAIRS, LEAST_SEEDS, Difference, Noise, holm, paired_differences, pareto
from reports.board import LEVEL_MARK, ORACLE, Quantity, Row, Standing
from reports.numbers import significant
from reports.text import label

FRONT_COSTS = ("cost.latency_ms", "cost.macs", "cost.energy_j", "cost.parameters")
"""Costs against which accuracy is plotted; less is better."""

Better = Literal["high", "low"]


@dataclass(frozen=True)
class Judged:
    """The place of one row among the others."""

    rank: int | None = None
    standing: Standing | None = None
    difference: Difference | None = None
    p: float | None = None


def judged(means: Sequence[float | None], values: Any, better: Better) -> list[Judged]:
    """Rows as they stand, in the order given, which is that of their means with those that have none last.

    `values` are rows x seeds with NaN for gaps. Equal means share a rank.
    """
    placed = sum(mean is not None for mean in means)
    found: list[Judged] = []
    for place, one in enumerate(_against_best(values[:placed], better)):
        tied = place > 0 and means[place] == means[place - 1]
        found.append(Judged(found[-1].rank if tied else place + 1, one.standing, one.difference, one.p))
    return found + [Judged()] * (len(means) - placed)


def _against_best(values: Any, better: Better) -> list[Judged]:
    """Each row's difference from the best one, and a corrected p where five pairs allow one.

    The best is the first of those with the most seeds: a lucky row of one seed would leave nothing to pair with.
    """
    if not len(values):
        return []
    best = int(np.argmax((~np.isnan(values)).sum(axis=1)))
    differences = paired_differences(values, values[best])
    differences[best] = None
    ps = {index: found.p for index, found in enumerate(differences) if found and found.p is not None}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    sign = -1.0 if better == "high" else 1.0
    stand: list[Judged] = []
    for index, difference in enumerate(differences):
        standing: Standing
        if index == best:
            standing = "best" if corrected else "untested"
        elif difference is None or index not in corrected:
            standing = "untested"
        elif corrected[index] >= ALPHA:
            standing = "not distinguishable"
        else:
            standing = "behind" if sign * difference.mean > 0 else "ahead"
        stand.append(Judged(None, standing, difference, corrected.get(index)))
    return stand


def front(values: Sequence[float | None], prices: Sequence[float | None], better: Better) -> dict[int, bool]:
    """By position of a row that has both: whether no other row is both better and cheaper."""
    points = {
        place: (value, price)
        for place, (value, price) in enumerate(zip(values, prices, strict=True))
        if value is not None and price is not None
    }
    return dict(zip(points, pareto(list(points.values()), (better, "low")), strict=True))


def rule(rows: Sequence[Row], ranking: Quantity | None) -> str:
    """How the ranks came about, in sentences."""
    placed = [row for row in rows if row.rank is not None]
    told = f"A row marked {ORACLE} uses what no method may use: it is a reference, in no rank, test or front."
    if not ranking:
        return "No trial gave a result, so nothing is ranked."
    if not placed:
        return f"No trial but those of oracles gave a result, so nothing is ranked. {told}"
    direction = "higher" if ranking.better == "high" else "lower"
    most = max(row.cells[ranking.key].n for row in placed)
    sentences = [f"Ranked by the mean of {label(ranking.name)}{_unit(ranking)} over seeds; {direction} is better."]
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
    if any(row.oracle for row in rows):
        sentences.append(told)
    if any(row.failed or row.skipped for row in rows):
        sentences.append("Failed and skipped trials are counted in their row and are in no mean.")
    if any(row.cells[ranking.key].n < most for row in placed):
        sentences.append("Nothing is filled in for a missing seed: a mean is over the seeds that gave a result.")
    return " ".join(sentences)


def floor_told(noise: Noise | None, ranking: Quantity) -> str:
    """The noise floor of a board in a sentence."""
    if noise is None:
        return f"A/A noise floor: not measured, since it needs {LEAST_SEEDS} seeds of one method."
    methods = f"{noise.methods} rows pooled" if noise.methods > 1 else "of the one row with seeds enough"
    floor = f"{significant(noise.floor, 2)} {label(ranking.unit)}".strip()
    return (
        f"A/A noise floor: differences in {label(ranking.name)} under {floor} are within the noise of one method "
        f"against itself under {noise.seeds} other seeds ({methods}); pairing by seed may resolve less."
    )


def _unit(ranking: Quantity) -> str:
    return f" ({label(ranking.unit)})" if ranking.unit else ""
