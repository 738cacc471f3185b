"""What no other beats in every direction at once."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from bench.stats.samples import finite

CHUNK = 256
"""Points held against all others at once: few enough to fit into memory however many there are."""


def pareto(points: Sequence[Sequence[float]], better: Sequence[Literal["high", "low"]]) -> list[bool]:
    """Which points no other point beats: as good in every direction, and better in one. Equal points stand together.

    Raises `ValueError` for a point that is not finite or has another number of coordinates than `better`.
    """
    for point in points:
        if len(point) != len(better):
            raise ValueError(f"a point needs {len(better)} coordinates, got {len(point)}")
    if not points:
        return []
    gains = finite([value for point in points for value in point]).reshape(len(points), len(better))
    gains = gains * np.array([1.0 if direction == "high" else -1.0 for direction in better])
    beaten: list[bool] = []
    for start in range(0, len(gains), CHUNK):
        some = gains[start : start + CHUNK]
        # Direction by direction: to reduce over an axis of length two costs more than all the comparisons.
        as_good = np.ones((len(some), len(gains)), dtype=bool)
        better_once = np.zeros_like(as_good)
        for ours, theirs in zip(some.T, gains.T, strict=True):
            as_good &= theirs >= ours[:, np.newaxis]
            better_once |= theirs > ours[:, np.newaxis]
        lost: np.ndarray = as_good & better_once
        beaten += np.any(lost, axis=1).tolist()
    return [not lost for lost in beaten]
