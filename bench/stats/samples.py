"""What every statistic asks of its values."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def finite(values: Sequence[float]) -> Any:
    """The values as an array. Raises `ValueError` for none, or for one that is not finite."""
    array = np.asarray(values, dtype=float)
    if not array.size:
        raise ValueError("there are no values; leave the quantity out")
    if not np.isfinite(array).all():
        bad = next(value for value in array.ravel().tolist() if not math.isfinite(value))
        raise ValueError(f"values must be finite, got {bad}; leave out what is missing, in sight")
    return array
