"""How far a method is from itself: an A/A comparison, the floor below which a difference says nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from bench.stats.paired import LEVEL
from bench.stats.samples import finite

LEAST_SEEDS = 4
"""Two halves of two each: below that a half has no spread of its own."""


@dataclass(frozen=True)
class Noise:
    """Two runs of one method over `seeds` seeds each differ by less than `floor` 95 times in 100, in their own unit."""

    floor: float
    seeds: int
    methods: int
    """How many had seeds enough to tell."""


def noise_floor(samples: Sequence[Sequence[float]], seeds: int) -> Noise | None:
    """The floor for means over `seeds` seeds; None if no sample has four values. One sample is one method's values.

    Split the n = 2m seeds of one method into two halves: the difference of their means is zero but for noise. The mean
    of its square over all splits is 2 s²/m, with s² the sample variance (sampling m of 2m without replacement gives a
    half's mean the variance s²/2m, and the halves' difference is twice its distance from the whole). So all splits at
    once say what s says, and nothing is left to a draw: for means over `seeds` seeds the squared difference is 2
    s²/seeds, and |difference| stays below t s sqrt(2/seeds) 95 times in 100, t with as many degrees as s has. Methods
    are pooled: the root of their mean variance, weighted by degrees.

    What two methods share by running with the same seeds cancels in a paired test, which may therefore tell apart what
    lies below the floor. Raises `ValueError` for a value that is not finite.
    """
    told: list[Any] = [finite(sample) for sample in samples if len(sample) >= LEAST_SEEDS]
    if not told:
        return None
    degrees = np.array([len(sample) - 1 for sample in told])
    variances = np.array([sample.var(ddof=1) for sample in told])
    pooled = math.sqrt(float(np.average(variances, weights=degrees)))
    t = float(stats.t.ppf((1 + LEVEL) / 2, degrees.sum()))
    return Noise(t * pooled * math.sqrt(2 / seeds), seeds, len(told))
