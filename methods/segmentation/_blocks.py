"""Pieces of which the networks of this folder are made. b images, c channels, h w pixels."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def conv_bn(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution without bias that keeps h and w but for its stride, and batch normalisation."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False), nn.BatchNorm2d(outputs)
    )


def conv_bn_relu(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    layers = conv_bn(inputs, outputs, kernel, stride, dilation=dilation, groups=groups)
    return layers.append(nn.ReLU(inplace=True))


def resized(maps: Float[Tensor, "b c _ _"], size: Sequence[int]) -> Float[Tensor, "b c _ _"]:
    """Bilinear, with the corners of both sizes on one another."""
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


def blown_up(maps: Float[Tensor, "b c _ _"], size: Sequence[int]) -> Float[Tensor, "b c _ _"]:
    """Bilinear, with the edges of both sizes on one another: off the border, a fixed transposed convolution."""
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


class Basic(nn.Module):
    """ResNet's block of two 3 x 3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_bn_relu(inputs, outputs, 3, stride, dilation=dilation), conv_bn(outputs, outputs, dilation=dilation)
        )
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, maps: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ _ _"]:
        return functional.relu(self.branch(maps) + self.shortcut(maps))


class Bottleneck(nn.Module):
    """ResNet's block of 1 x 1, 3 x 3 and 1 x 1 convolutions; the stride is that of the 1 x 1 or of the 3 x 3."""

    def __init__(
        self, inputs: int, inner: int, outputs: int, strides: tuple[int, int] = (1, 1), dilation: int = 1
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_bn_relu(inputs, inner, 1, strides[0]),
            conv_bn_relu(inner, inner, 3, strides[1], dilation=dilation),
            conv_bn(inner, outputs, 1),
        )
        self.shortcut = _shortcut(inputs, outputs, strides[0] * strides[1])

    def forward(self, maps: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ _ _"]:
        return functional.relu(self.branch(maps) + self.shortcut(maps))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Identity() if inputs == outputs and stride == 1 else conv_bn(inputs, outputs, 1, stride)


class Inverted(nn.Module):
    """MobileNetV2's block: widened `expansion` times, filtered channel by channel, narrowed without a non-linearity."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        *,
        expansion: int = 6,
        dilation: int = 1,
        activation: type[nn.ReLU | nn.ReLU6] = nn.ReLU6,
    ) -> None:
        super().__init__()
        inner = expansion * inputs
        widen = [] if expansion == 1 else [*conv_bn(inputs, inner, 1), activation(inplace=True)]
        depthwise = conv_bn(inner, inner, 3, stride, dilation=dilation, groups=inner)
        narrow = conv_bn(inner, outputs, 1)
        self.branch = nn.Sequential(*widen, *depthwise, activation(inplace=True), *narrow)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, maps: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ _ _"]:
        return maps + self.branch(maps) if self.residual else self.branch(maps)


class Pyramid(nn.Module):
    """The maps, and beside them their means over grids of `bins` cells, each narrowed to `inner` channels (PSPNet)."""

    def __init__(self, inputs: int, inner: int, bins: Sequence[int]) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.branches = nn.ModuleList(conv_bn_relu(inputs, inner, 1) for _ in bins)

    def forward(self, maps: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        size = maps.shape[2:]
        means = [
            resized(branch(functional.adaptive_avg_pool2d(maps, bins)), size)
            for branch, bins in zip(self.branches, self.bins, strict=True)
        ]
        return torch.cat([maps, *means], dim=1)
