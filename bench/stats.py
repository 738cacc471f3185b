"""Means with intervals, comparisons paired by seed, a correction for many of them, and fronts.

No value is dropped in silence: one that is not finite is a `ValueError`, so whoever has gaps leaves them out in sight.
Intervals and tests are Student's, at 95 %: they take seeds for a sample of all seeds, and values for roughly normal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

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
    sample = _finite(values)
    if len(sample) == 1:
        return Interval(float(sample[0]), None, 1)
    return Interval(float(sample.mean()), float(half_widths(sample.std(ddof=1), len(sample))), len(sample))


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """`a - b`, pair by pair: mean, 95 % interval and two-sided paired t test, the last from 5 pairs on.

    Where all differences are equal there is no spread to hold the mean against: the interval has no width, and the test
    is the sign test, whose p for n pairs of one sign is 2 ** (1 - n). Raises `ValueError` for lengths that differ, no
    pairs, or a value that is not finite.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need two values each, got {len(a)} and {len(b)}")
    first, second = _finite(a), _finite(b)
    differences = first - second
    n, mean = len(differences), float(differences.mean())
    if n == 1:
        return Difference(mean, None, None, 1, None)
    rounding = max(TINY, ROUNDING * max(np.abs(first).max(), np.abs(second).max()))
    if np.ptp(differences) <= rounding:
        p = float(stats.binomtest(n, n).pvalue) if abs(mean) > rounding else 1.0
        return Difference(mean, mean, mean, n, p if n >= LEAST_PAIRS else None)
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(LEVEL)
    p_value = float(test.pvalue) if n >= LEAST_PAIRS else None
    return Difference(mean, float(interval.low), float(interval.high), n, p_value)


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


def pareto(points: Sequence[Sequence[float]], better: Sequence[Literal["high", "low"]]) -> list[bool]:
    """Which points no other point beats: as good in every direction, and better in one. Equal points stand together.

    Raises `ValueError` for a point that is not finite or has another number of coordinates than `better`.
    """
    signs = [1.0 if direction == "high" else -1.0 for direction in better]
    for point in points:
        if len(point) != len(signs):
            raise ValueError(f"a point needs {len(signs)} coordinates, got {len(point)}")
        _finite(point)
    gains = [[sign * value for sign, value in zip(signs, point, strict=True)] for point in points]

    def beats(other: list[float], one: list[float]) -> bool:
        return other != one and all(theirs >= ours for theirs, ours in zip(other, one, strict=True))

    return [not any(beats(other, one) for other in gains) for one in gains]


def _finite(values: Sequence[float]) -> Any:
    array = np.asarray(values, dtype=float)
    if not array.size:
        raise ValueError("there are no values; leave the quantity out")
    if not np.isfinite(array).all():
        bad = next(value for value in values if not math.isfinite(value))
        raise ValueError(f"values must be finite, got {bad}; leave out what is missing, in sight")
    return array
