"""The five operators of a cell, as they are trained and deployed, and the convolution that all else is made of.

Sheet of the released code: 3x3 kernels, padding 1, no bias, no residual connection; batch norm with eps 1e-5 and
momentum 0.1; bilinear interpolation with aligned corners.

b images, c channels, h w pixels
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, relu

Op = Literal["skip", "conv", "zconv", "conv2", "zconv2"]
OPS: tuple[Op, ...] = ("skip", "conv", "zconv", "conv2", "zconv2")
"""In the order of the released tensors."""

SKIP = OPS.index("skip")


def resized(features: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """Bilinear, corners aligned: with them apart the released weights score less."""
    return interpolate(features, size=size, mode="bilinear", align_corners=True)


def halved(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Half the height and width, rounded down."""
    height, width = features.shape[2:]
    return resized(features, (height // 2, width // 2))


def shifted(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Moved by one pixel along both axes. Odd sizes are padded, so that a stride of 2 gives what it gives unshifted."""
    height, width = features.shape[2:]
    return pad(features[:, :, 1:, 1:], (0, width % 2, 0, height % 2))


class ConvBNReLU(nn.Sequential):
    """Convolution, batch norm, ReLU; the size is kept, or halved and rounded up."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class Zoomed(nn.Module):
    """One or two convolutions on a map of half the size, and back up again: a quarter of the multiply-adds.

    With a stride of 2 the map stays at half its size, which is then rounded down.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, double: bool) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Sequential(ConvBNReLU(inputs, outputs)) if double else nn.Sequential()
        self.last = nn.Sequential(
            nn.Conv2d(outputs if double else inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        zoomed = self.last(self.first(halved(features)))
        height, width = features.shape[2:]
        return relu(resized(zoomed, (height, width)) if self.stride == 1 else zoomed)


class Reduction(nn.Module):
    """Skip with a stride of 2: two 1x1 convolutions, the second on the map shifted by one pixel, side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.straight = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.shifted = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return relu(self.norm(torch.cat([self.straight(features), self.shifted(shifted(features))], 1)))


def operator(op: Op, inputs: int, outputs: int, stride: int) -> nn.Module:
    """An operator of a derived network. A skip that keeps the size is the identity, and keeps the width."""
    match op:
        case "skip" if stride == 2:
            return Reduction(inputs, outputs)
        case "skip":
            assert inputs == outputs, "derivation removes what is skipped together with its width"
            return nn.Identity()
        case "conv":
            return ConvBNReLU(inputs, outputs, 3, stride)
        case "conv2":
            return nn.Sequential(ConvBNReLU(inputs, outputs, 3, stride), ConvBNReLU(outputs, outputs))
        case "zconv" | "zconv2":
            return Zoomed(inputs, outputs, stride, double=op == "zconv2")
