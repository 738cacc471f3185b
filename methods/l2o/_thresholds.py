"""Shrinkage that the methods of the LASSO family share: soft thresholds, with and without support selection."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor


def soft_threshold(z: Float[Tensor, "b n"], theta: Float[Tensor, "..."]) -> Float[Tensor, "b n"]:
    """S_theta(z): entries move towards zero by theta, which is one for all or one an instance, and no further."""
    return shrink(z, theta, None)


def select_support(z: Float[Tensor, "b n"], theta: Float[Tensor, ""], percent: float) -> Float[Tensor, "b n"]:
    """SS_{theta, percent}(z): the selected entries pass unshrunk. Which ones pass has no gradient."""
    return shrink(z, theta, selected(z, theta, percent))


def shrink(
    z: Float[Tensor, "b n"], theta: Float[Tensor, "..."], passing: Bool[Tensor, "b n"] | None
) -> Float[Tensor, "b n"]:
    """Soft thresholds, except for the entries that pass: sign(z) max(|z| - theta, 0) in three operations with slopes.

    A theta below zero moves entries away from zero. What is not a number stays so.
    """
    known = z.detach()
    towards = known.sign() if passing is None else known.sign().masked_fill(passing, 0)
    return torch.where(known.abs() <= theta, 0.0, z - towards * theta)


def selected(z: Float[Tensor, "b n"], theta: Float[Tensor, ""], percent: float) -> Bool[Tensor, "b n"] | None:
    """The largest `percent` of an instance's entries, where above theta; None where that is not a single entry.

    Their number is rounded; entries of equal magnitude pass together.
    """
    count = round(z.shape[-1] * percent / 100)
    if count == 0:
        return None
    magnitude = z.detach().abs()
    return (magnitude >= least_of_the_largest(magnitude, count)) & (magnitude > theta)


def least_of_the_largest(magnitude: Float[Tensor, "b n"], count: int) -> Float[Tensor, "b 1"]:
    """The `count`-th largest entry of each row."""
    if magnitude.device.type == "cpu":
        # numpy's partition is three to five times as fast here as torch's topk and kthvalue.
        place = magnitude.shape[-1] - count
        return torch.from_numpy(np.partition(magnitude.numpy(), place, axis=-1)[:, place : place + 1])
    return magnitude.topk(count, sorted=False).values.amin(dim=-1, keepdim=True)


def selection_percents(layers: int, rate: float, limit: float) -> list[float]:
    """What each layer selects, in percent: min(rate k, limit) in layer k."""
    return [min(rate * k, limit) for k in range(1, layers + 1)]
