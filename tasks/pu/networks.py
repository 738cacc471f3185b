"""The networks that all methods of a data set share.

Kiryo, Niu, du Plessis and Sugiyama, NeurIPS 2017, used again by Self-PU (Chen and others, ICML 2020).

    6-layer MLP, for MNIST        `mlp-6`, 507,901 parameters on 28 x 28
    13-layer CNN, for CIFAR-10    `cnn-13`, 3,015,255 parameters on 3 x 32 x 32
    small MLP, for 8 x 8 digits   `mlp-small`: ours, 64-64-1

Every weight starts from He's normal initialisation and every bias from zero, as in Self-PU's code.

b batch, c channels, h w pixels
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Architecture = Literal["mlp-6", "mlp-small", "cnn-13"]

HIDDEN = {"mlp-6": (300, 300, 300, 300), "mlp-small": (64,)}
"""Units of the hidden layers of the MLPs."""

CONVOLUTIONS = ((96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1))
"""Channels, kernel and stride of `cnn-13` up to its last convolution, which has `LAST_CHANNELS`."""

LAST_CHANNELS = 10
DENSE = 1000
"""Units of each of the two dense layers of `cnn-13`."""


class MLP(nn.Module):
    """Dense layers without bias, each with batch norm and ReLU, then one score an image."""

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for units in hidden:
            layers += [nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()]
            inputs = units
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        return self.layers(images).squeeze(1)


class CNN(nn.Module):
    """Nine convolutions, each with bias, batch norm and ReLU, then three dense layers to one score an image."""

    def __init__(self, channels: int, pixels: tuple[int, int], width: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        height, across = pixels
        blocks = [(scaled(outputs, width), kernel, stride) for outputs, kernel, stride in CONVOLUTIONS]
        for outputs, kernel, stride in [*blocks, (LAST_CHANNELS, 1, 1)]:
            convolution = nn.Conv2d(channels, outputs, kernel, stride, padding=kernel // 2)
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
            channels, height, across = outputs, -(-height // stride), -(-across // stride)
        dense = scaled(DENSE, width)
        layers += [nn.Flatten(), nn.Linear(LAST_CHANNELS * height * across, dense), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(dense, dense), nn.ReLU(), nn.Linear(dense, 1))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        return self.layers(images).squeeze(1)


def scaled(units: int, width: float) -> int:
    """A share of a layer's units, at least one."""
    return max(1, round(units * width))


def build(architecture: Architecture, shape: tuple[int, int, int], width: float, seed: int) -> nn.Module:
    """A network for images of `shape` (c, h, w), with `width` of its published units and weights drawn from `seed`."""
    channels, height, across = shape
    # torch's own initialisation, overwritten below, would otherwise move the caller's random state.
    with torch.random.fork_rng(devices=[]):
        if architecture == "cnn-13":
            net: nn.Module = CNN(channels, (height, across), width)
        else:
            hidden = [scaled(units, width) for units in HIDDEN[architecture]]
            net = MLP(channels * height * across, hidden)
    generator = torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net
