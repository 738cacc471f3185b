"""Means with intervals, comparisons paired by seed, and a correction for many of them.

Intervals and tests are Student's, at 95 %: they take seeds for a sample of all seeds, and values for roughly normal.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from bench.stats.samples import finite

LEVEL = 0.95
"""Coverage of every interval."""

ALPHA = 0.05
"""Two methods are told apart where the corrected p is below this."""

LEAST_PAIRS = 5
"""Fewer pairs give an interval, but no p."""

ROUNDING = 1e-12
"""Differences that agree this well, relative to what was subtracted, differ by floating-point rounding alone."""

TINY = 1e-150
"""Below this, squares vanish in floating point, and a spread with them."""


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its interval, in the unit of the values. One value alone has no interval."""

    mean: float
    half_width: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """The mean of `a - b` over pairs, and its interval; `p` tests that the mean is zero, and is None below 5 pairs."""

    mean: float
    low: float | None
    high: float | None
    n: int
    p: float | None


def half_widths(deviations: Any, counts: Any) -> Any:
    """Half widths of the intervals of many means: arrays of sample deviations (ddof 1) and counts; NaN where n < 2."""
    counts = np.asarray(counts, dtype=float)
    several = np.where(counts > 1, counts, np.nan)
    return stats.t.ppf((1 + LEVEL) / 2, several - 1) * np.asarray(deviations, dtype=float) / np.sqrt(several)


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean with its 95 % t interval. Raises `ValueError` for no values, or for one that is not finite."""
    sample = finite(values)
    if len(sample) == 1:
        return Interval(float(sample[0]), None, 1)
    return Interval(float(sample.mean()), float(half_widths(sample.std(ddof=1), len(sample))), len(sample))


def paired_difference(a: Sequence[float], b: Sequence[float], test: Literal["t", "wilcoxon"] = "t") -> Difference:
    """`a - b`, pair by pair: mean, 95 % interval and two-sided paired test, the last from 5 pairs on.

    Where all differences are equal there is no spread to hold the mean against: the interval has no width, and the test
    is the sign test, whose p for n pairs of one sign is 2 ** (1 - n). `wilcoxon` is the signed-rank test, which asks
    for symmetric differences instead of normal ones; the interval stays the mean's. Raises `ValueError` for lengths
    that differ, no pairs, or a value that is not finite.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need two values each, got {len(a)} and {len(b)}")
    first, second = finite(a), finite(b)
    (difference,) = paired_differences(first[np.newaxis], second)
    assert difference
    if test == "t" or difference.p is None:
        return difference
    return replace(difference, p=_signed_rank(first, second))


def _signed_rank(first: Any, second: Any) -> float:
    differences = first - second
    rounding = _rounding(first[np.newaxis], second)[0]
    differences[np.abs(differences) <= rounding] = 0.0
    # Pairs without a difference are left out, as Wilcoxon did; if none is left, nothing tells the two apart.
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def paired_differences(rows: Any, reference: Any) -> list[Difference | None]:
    """Each row minus the reference over the pairs that both have: `paired_difference` for many at once.

    `rows` is n x seeds, `reference` one value a seed; NaN marks a gap, and a pair with one is left out of that row's
    comparison alone. None for a row without a pair.
    """
    differences = rows - reference
    present = ~np.isnan(differences)
    counts = present.sum(axis=1)
    found: list[Difference | None] = [None] * len(differences)
    rounding = _rounding(np.where(present, rows, 0.0), np.where(present, reference, 0.0))
    for n in np.unique(counts[counts > 0]).tolist():
        places = np.flatnonzero(counts == n)
        # Rows of equally many pairs, without their gaps, are one matrix and one call of scipy.
        sample = differences[places][present[places]].reshape(len(places), n)
        for place, difference in zip(places.tolist(), _tested(sample, rounding[places]), strict=True):
            found[place] = difference
    return found


def _rounding(rows: Any, reference: Any) -> Any:
    """For each row the differences that floating point alone can make."""
    largest = np.maximum(np.abs(rows), np.abs(reference)).max(axis=1, initial=0.0)
    return np.maximum(TINY, ROUNDING * largest)


def _tested(sample: Any, rounding: Any) -> list[Difference]:
    """One difference for each row of a matrix without gaps."""
    count, n = sample.shape
    means = sample.mean(axis=1)
    # Differences that cancel leave what floating point made of them.
    means = np.where(np.abs(means) <= rounding, 0.0, means).tolist()
    if n == 1:
        return [Difference(mean, None, None, 1, None) for mean in means]
    varied = np.ptp(sample, axis=1) > rounding
    lows, highs, ps = np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan)
    if varied.any():
        test = stats.ttest_1samp(sample[varied], 0.0, axis=1)
        interval = test.confidence_interval(LEVEL)
        lows[varied], highs[varied], ps[varied] = interval.low, interval.high, test.pvalue
    tested = n >= LEAST_PAIRS
    return [
        Difference(mean, low, high, n, p if tested else None)
        if told
        else Difference(mean, mean, mean, n, _sign_test(n, abs(mean) > least) if tested else None)
        for mean, low, high, p, told, least in zip(
            means, lows.tolist(), highs.tolist(), ps.tolist(), varied.tolist(), rounding.tolist(), strict=True
        )
    ]


@functools.cache
def _sign_test(n: int, one_sided: bool) -> float:
    """The p of n differences that are all equal: all of one sign, or all nothing."""
    return float(stats.binomtest(n, n).pvalue) if one_sided else 1.0


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given: the smallest of m is taken m times, the next m - 1 times."""
    for p in ps:
        if not 0 <= p <= 1:
            raise ValueError(f"a p value lies in 0 .. 1, got {p}")
    corrected = [0.0] * len(ps)
    floor = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        # A later p never passes where an earlier one did not.
        floor = max(floor, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = floor
    return corrected
