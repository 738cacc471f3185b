"""Self-distillation: two students that learn from each other, each with a teacher that averages it over time.

b images of a batch
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

MOST_INERTIA = 0.999
"""A teacher never keeps more than this share of itself in an update."""
RAMP_START, RAMP_LENGTH = 30, 400
"""Epochs, of 200: the weight of the consistency rises until long after the end."""
CONSISTENCY_WEIGHT = 0.3


def distance(
    student: Float[Tensor, " b"], target: Float[Tensor, " b"], form: Literal["sigmoid", "softmax"]
) -> Float[Tensor, ""]:
    """Mean squared distance of two networks' probabilities. No gradient reaches the target.

    "softmax" is what the released code does: the softmax over the classes of a network that has a single score is 1
    whatever the score, so that the distance and its gradient are zero.
    """
    if form == "softmax":
        return (student[:, None].softmax(1) - target.detach()[:, None].softmax(1)).square().mean()
    return (student.sigmoid() - target.detach().sigmoid()).square().mean()


def gated(distance: Float[Tensor, ""], risk: Float[Tensor, ""], gate: float) -> Float[Tensor, ""]:
    """The distance of two students where it is below `gate` times the batch's PU risk, and zero elsewhere."""
    return torch.where(distance < gate * risk, distance, torch.zeros_like(distance))


def consistency_weight(epoch: float) -> float:
    """The weight of a teacher's consistency at an epoch of 200."""
    progress = min(max(epoch - RAMP_START, 0), RAMP_LENGTH) / RAMP_LENGTH
    return CONSISTENCY_WEIGHT * math.exp(-5 * (1 - progress) ** 2)


@torch.no_grad()
def average(teacher: nn.Module, student: nn.Module, updates: int) -> None:
    """Moves a teacher's weights towards the student's, after so many updates before this one.

    The first update copies; up to `MOST_INERTIA` the teacher is the mean of all the students that it saw. Its batch
    statistics are its own: they come from its own passes.
    """
    share = max(1 / (updates + 1), 1 - MOST_INERTIA)
    for mean, weight in zip(teacher.parameters(), student.parameters(), strict=True):
        mean.lerp_(weight, share)
