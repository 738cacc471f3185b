"""Attentional pooling: a map is averaged with more weight where it agrees with its own mean.

CSG (Chen and others, ICLR 2021).

    attention a[i, j] = <v[:, i, j], mean v> / sum of all      `attention`; no softmax, no temperature
    A-pool(v) = sum of a[i, j] v[:, i, j]                      `attentional_pool`, by the attention of any map
    an N x N grid of patches, Eq. 6                            `patches`, before pooling

Maps must not be negative, as those after a ReLU; `Backbone.maps` gives such.

b batch, c channels, h w pixels
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

LEAST_TOTAL = 1e-12
"""A map of zeros has attention zero everywhere, and no division by zero."""


def attention(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """How well each place agrees with the mean of its map; sums to 1 over places. Gradients pass."""
    places = maps.flatten(2)  # b, c, hw
    agreement = torch.bmm(places.mean(2, keepdim=True).transpose(1, 2), places)  # b, 1, hw
    total = agreement.sum(2, keepdim=True).clamp(min=LEAST_TOTAL)
    return (agreement / total).reshape(len(maps), *maps.shape[2:])


def attentional_pool(
    maps: Float[Tensor, "b c h w"], attention_from: Float[Tensor, "b d h w"] | None = None
) -> Float[Tensor, "b c"]:
    """The mean of a map under the attention of another, of the same places; by default under its own."""
    weights = attention(maps if attention_from is None else attention_from)
    return torch.bmm(maps.flatten(2), weights.flatten(1)[:, :, None])[:, :, 0]


def patches(maps: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "bp c i j"]:
    """Each map in a grid of side x side patches, row by row: b side^2 smaller maps."""
    if maps.shape[2] % side or maps.shape[3] % side:
        raise ValueError(
            f"maps of {maps.shape[2]} x {maps.shape[3]} places cannot be cut into {side} x {side} equal patches; "
            "choose a number that divides both"
        )
    return rearrange(maps, "b c (n h) (m w) -> (b n m) c h w", n=side, m=side)
