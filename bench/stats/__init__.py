"""Means with intervals, paired comparisons, ranks over data sets, the noise of a method against itself, and fronts.

No value is dropped in silence: one that is not finite is a `ValueError`, so whoever has gaps leaves them out in sight.
Intervals and tests are at 95 %. The formulas are scipy's.
"""

from bench.stats.fronts import pareto
from bench.stats.noise import LEAST_SEEDS, Noise, noise_floor
from bench.stats.paired import (
    ALPHA,
    LEAST_PAIRS,
    LEVEL,
    Difference,
    Interval,
    half_widths,
    holm,
    mean_interval,
    paired_difference,
    paired_differences,
)
from bench.stats.ranks import (
    RankTest,
    average_ranks,
    cliques,
    critical_difference,
    rank_test,
    ranks,
)
from bench.stats.resampling import Association, association, bootstrap_interval, correlation

__all__ = [
    "ALPHA",
    "LEAST_PAIRS",
    "LEAST_SEEDS",
    "LEVEL",
    "Association",
    "Difference",
    "Interval",
    "Noise",
    "RankTest",
    "association",
    "average_ranks",
    "bootstrap_interval",
    "cliques",
    "correlation",
    "critical_difference",
    "half_widths",
    "holm",
    "mean_interval",
    "noise_floor",
    "paired_difference",
    "paired_differences",
    "pareto",
    "rank_test",
    "ranks",
]
