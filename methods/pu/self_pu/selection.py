"""Self-paced selection: which unlabelled images a network is trusted to label itself, and how many at which epoch.

n unlabelled images, t trusted ones, r the rest
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

SHARE_OF_A_CLASS = 0.5
"""Both classes are given half of what is trusted."""
FULL_PACE = 100
"""The epoch, of 200, at which the pace would be at its top."""


def trusted_per_class(unlabelled: int, epoch: int, top: float) -> int:
    """How many images of each class are trusted after an epoch of 200, of which the last share would be `top`."""
    # A share is rounded before it is cut: 60,000 x 0.5 x 0.3 x 0.4 is 3,600, and 3,599.99... in floating point.
    return int(round(unlabelled * SHARE_OF_A_CLASS * min(epoch / FULL_PACE, 1.0) * top, 6))


def trust(scores: Float[Tensor, " n"], per_class: int) -> tuple[Int64[Tensor, " t"], Float[Tensor, " t"]]:
    """Indices of the images with the lowest and the highest scores, and their pseudo-labels, 0 and 1.

    Only the order of the scores matters. Equal scores keep their order, so the choice is the same on every device.
    """
    order = scores.argsort(stable=True)
    indices = torch.cat([order[:per_class], order[len(order) - per_class :]])
    labels = torch.cat([torch.zeros(per_class), torch.ones(per_class)])
    return indices, labels.to(scores.device)


def rest(unlabelled: int, trusted: Int64[Tensor, " t"]) -> Int64[Tensor, " r"]:
    """Indices of the images that are not trusted, in order."""
    left = torch.ones(unlabelled, dtype=torch.bool, device=trusted.device)
    left[trusted] = False
    return left.nonzero().squeeze(1)


def prior_of_rest(prior: float, unlabelled: int, per_class: int) -> float:
    """The share of positives among what is left once equally many of both classes have gone."""
    return (prior * unlabelled - per_class) / (unlabelled - 2 * per_class)
