"""Intervals by the bootstrap, and how far two quantities order the same things alike."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from bench.stats.paired import LEVEL
from bench.stats.samples import finite

RESAMPLES = 999

LEAST_POINTS = 4
"""Fewer points have so few orders that an interval of their correlation would say nothing."""

UNDEFINED = 0.05
"""Share of resamples without a correlation (all points alike) above which there is no interval."""

TESTS = {"spearman": stats.spearmanr, "kendall": stats.kendalltau}


@dataclass(frozen=True)
class Association:
    """A rank correlation over `n` points; the interval is None where there are too few points, or too few distinct."""

    value: float
    low: float | None
    high: float | None
    n: int


def bootstrap_interval(
    values: Sequence[float], statistic: Callable[..., Any] = np.mean, seed: int = 0
) -> tuple[float, float]:
    """The ends of the 95 % interval of a statistic that takes `axis`: BCa, or percentiles where BCa has none.

    BCa needs a jackknife that varies: equal values, or a statistic that leaving one out never moves, have none. Raises
    `ValueError` for fewer than two values, or for one that is not finite.
    """
    sample = finite(values)
    if len(sample) < 2:
        raise ValueError(f"a bootstrap needs two values or more, got {len(sample)}")
    low, high, _ = _resampled((sample,), statistic, seed, vectorized=True)
    return low, high


def correlation(
    x: Sequence[float], y: Sequence[float], kind: Literal["spearman", "kendall"] = "spearman"
) -> float | None:
    """Spearman's rho or Kendall's tau-b; None where a side is constant.

    Raises `ValueError` for lengths that differ, fewer than two points, or a value that is not finite.
    """
    first, second = finite(x), finite(y)
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"a correlation needs two or more pairs, got {len(first)} and {len(second)} values")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(TESTS[kind](first, second).statistic)


def association(
    x: Sequence[float], y: Sequence[float], kind: Literal["spearman", "kendall"] = "spearman", seed: int = 0
) -> Association | None:
    """Spearman's rho or Kendall's tau-b with the bootstrap interval over points; None where a side is constant.

    A resample that draws one value only has no ranks and is left out of the interval, unless that befalls more than one
    in twenty: then there is no interval. Raises `ValueError` for lengths that differ, fewer than two points, or a value
    that is not finite.
    """
    value = correlation(x, y, kind)
    if value is None:
        return None
    first, second = finite(x), finite(y)

    def coefficient(a: Any, b: Any) -> float:
        return float(TESTS[kind](a, b).statistic)

    if len(first) < LEAST_POINTS:
        return Association(value, None, None, len(first))
    low, high, undefined = _resampled((first, second), coefficient, seed, vectorized=False)
    if undefined > UNDEFINED:
        return Association(value, None, None, len(first))
    return Association(value, low, high, len(first))


def _resampled(data: tuple[Any, ...], statistic: Any, seed: int, vectorized: bool) -> tuple[float, float, float]:
    """Ends of the interval, and the share of resamples on which the statistic is not defined."""
    with warnings.catch_warnings():
        # What these warn of is what is looked for below: a constant resample, a jackknife without spread.
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        result = stats.bootstrap(
            data,
            statistic,
            n_resamples=RESAMPLES,
            paired=len(data) > 1,
            vectorized=vectorized,
            confidence_level=LEVEL,
            method="BCa",
            random_state=np.random.default_rng(seed),
        )
    interval, drawn = result.confidence_interval, np.asarray(result.bootstrap_distribution)
    defined = drawn[np.isfinite(drawn)]
    undefined = 1 - len(defined) / len(drawn)
    if np.isfinite([interval.low, interval.high]).all() or not len(defined):
        return float(interval.low), float(interval.high), undefined
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high), undefined
