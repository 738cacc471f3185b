"""Hyperspherical energy: how closely the features of a set of images crowd together. Lower is more diverse.

CSG (Chen and others, ICLR 2021), Eq. 1, after Liu and others (NeurIPS 2018). A measure, never a loss. The paper prints
means over all pairs; its figures of power 0 agree with those of powers 1 and 2 only if they are the mean of ln(1/d^2),
twice what Eq. 1 says, so that one is here under a name of its own.

n images, d features
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LEAST_DISTANCE = 1e-6
"""Distances are taken to be at least this: features that are all the same give a huge energy and no infinite one."""

ROWS = 1024
"""Rows of the matrix of distances that are in memory at once."""


@dataclass(frozen=True)
class Energy:
    """Means over all pairs of different images, of the distance d of their features on the unit sphere."""

    power_0: float
    """Of -ln d."""
    power_0_published: float
    """Of -2 ln d, which is what the paper's table 1 must hold."""
    power_1: float
    """Of 1 / d."""
    power_2: float
    """Of 1 / d^2."""


def hyperspherical_energy(features: Float[Tensor, "n d"]) -> Energy:
    """The energies of a set of features; their lengths do not matter. Raises `ValueError` for fewer than two."""
    images = len(features)
    if images < 2:
        raise ValueError(f"an energy needs the features of at least 2 images, got {images}")
    # Single precision finds distances below 3e-4 only up to its own rounding, and those weigh most.
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    sums = torch.zeros(3, dtype=torch.float64, device=unit.device)
    for first, rows in zip(range(0, images, ROWS), unit.split(ROWS), strict=True):
        # Each pair once: a block of rows against what comes at or after it.
        distances = (2 - 2 * rows @ unit[first:].T).clamp(min=LEAST_DISTANCE**2).sqrt()
        pairs = torch.ones_like(distances, dtype=torch.bool).triu(1)
        inverse = 1 / distances[pairs]
        sums += torch.stack([inverse.log().sum(), inverse.sum(), inverse.square().sum()])
    zero, one, two = (sums / (images * (images - 1) / 2)).tolist()
    return Energy(power_0=zero, power_0_published=2 * zero, power_1=one, power_2=two)
