"""Several methods over several data sets: average ranks, Friedman's test and Nemenyi's critical difference.

The procedure is that of Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from bench.stats.paired import ALPHA
from bench.stats.samples import finite

LEAST_METHODS = 3
"""Friedman's test needs so many; two methods are a paired test."""

LEAST_BLOCKS = 2


@dataclass(frozen=True)
class RankTest:
    """Average ranks over blocks (data sets), 1 the best, and whether they differ by more than chance."""

    average: tuple[float, ...]
    """One a method, in the order given."""
    blocks: int
    statistic: float | None
    """Friedman's chi-squared, corrected for ties; None below three methods or two blocks."""
    p: float | None
    critical: float | None
    """Average ranks that differ by less cannot be told apart (Nemenyi); None where there is no test."""

    @property
    def differ(self) -> bool:
        """Whether Friedman's test finds any difference: only then does the critical difference tell which."""
        return self.p is not None and self.p < ALPHA


def ranks(table: Sequence[Sequence[float]], better: Sequence[Literal["high", "low"]]) -> Any:
    """Ranks inside each block, 1 the best; equal values share the mean of their ranks. Blocks x methods.

    `better` has one direction a block. Raises `ValueError` for blocks of different lengths or a value not finite.
    """
    if len({len(block) for block in table}) > 1:
        raise ValueError("every block needs a value of every method; leave out the block or the method, in sight")
    signs = [-1.0 if direction == "high" else 1.0 for direction in better]
    values = finite([value for block in table for value in block]).reshape(len(table), -1)
    return stats.rankdata(values * np.array(signs)[:, np.newaxis], axis=1)


def average_ranks(table: Sequence[Sequence[float]], better: Sequence[Literal["high", "low"]]) -> tuple[float, ...]:
    """The mean rank of each method over the blocks, 1 the best."""
    return tuple(ranks(table, better).mean(axis=0).tolist())


def rank_test(table: Sequence[Sequence[float]], better: Sequence[Literal["high", "low"]]) -> RankTest:
    """Average ranks with Friedman's test and the critical difference. A row of `table` is a block, a column a method.

    The p is that of the chi-squared approximation, which is rough below some ten blocks.
    """
    placed = ranks(table, better)
    blocks, methods = placed.shape
    average = tuple(placed.mean(axis=0).tolist())
    if methods < LEAST_METHODS or blocks < LEAST_BLOCKS:
        return RankTest(average, blocks, None, None, None)
    critical = critical_difference(methods, blocks)
    if not np.ptp(placed, axis=1).any():
        # All alike in every block: scipy would divide nothing by nothing.
        return RankTest(average, blocks, 0.0, 1.0, critical)
    test = stats.friedmanchisquare(*placed.T)
    return RankTest(average, blocks, float(test.statistic), float(test.pvalue), critical)


@functools.cache
def critical_difference(methods: int, blocks: int) -> float:
    """Nemenyi's critical difference of average ranks at 5 %, from the studentised range (Demšar, section 3.2.2)."""
    if methods < 2 or blocks < 1:
        raise ValueError(f"a critical difference needs two methods and one block, got {methods} and {blocks}")
    q = stats.studentized_range.ppf(1 - ALPHA, methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * blocks)))


def cliques(average: Sequence[float], critical: float) -> list[tuple[int, ...]]:
    """The largest sets of two or more methods whose average ranks all differ by less than the critical difference.

    Positions as given, each set from its best to its worst, the sets in the order of their best.
    """
    order = sorted(range(len(average)), key=lambda index: average[index])
    found: list[tuple[int, ...]] = []
    for place, best in enumerate(order):
        group = tuple(index for index in order[place:] if average[index] - average[best] < critical)
        # A set inside the one before it says nothing new.
        if len(group) > 1 and not (found and set(group) <= set(found[-1])):
            found.append(group)
    return found
