"""Shrinkage that the methods of the LASSO family share: soft thresholds, with and without support selection."""

import torch
from jaxtyping import Float
from torch import Tensor


def soft_threshold(z: Float[Tensor, "b n"], theta: Float[Tensor, ""]) -> Float[Tensor, "b n"]:
    """S_theta(z): entries move towards zero by theta, and no further."""
    return z.sign() * (z.abs() - theta).clamp(min=0)


def select_support(z: Float[Tensor, "b n"], theta: Float[Tensor, ""], percent: float) -> Float[Tensor, "b n"]:
    """SS_{theta, percent}(z): that part of an instance's entries, the largest, passes unshrunk where above theta.

    The number of entries is rounded; entries of equal magnitude pass together. Which ones pass has no gradient.
    """
    shrunk = soft_threshold(z, theta)
    count = round(z.shape[-1] * percent / 100)
    if count == 0:
        return shrunk
    magnitude = z.detach().abs()
    least = magnitude.topk(count, sorted=False).values.amin(dim=-1, keepdim=True)
    return torch.where((magnitude >= least) & (magnitude > theta), z, shrunk)


def selection_percents(layers: int, rate: float, limit: float) -> list[float]:
    """What each layer selects, in percent: min(rate k, limit) in layer k."""
    return [min(rate * k, limit) for k in range(1, layers + 1)]
