"""Operators of every width at once: full kernels, of which a width uses the first rows and columns, and a norm a width.

How many channels come in tells the width of the input; the width of the output is handed over as channels.

b images, c channels, h w pixels
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from methods.segmentation.fasterseg.operators import OPS, Op, halved, resized, shifted


class SuperConv(nn.Conv2d):
    """A convolution without bias, of which the first channels are used."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def forward(self, features: Float[Tensor, "b c h w"], outputs: int) -> Float[Tensor, "b c2 h2 w2"]:  # type: ignore[override]
        weight = self.weight[:outputs, : features.shape[1]]
        return conv2d(features, weight, None, self.stride, self.padding)


class SwitchableNorm(nn.Module):
    """A batch norm for each width, told by the channels that come in."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({str(channels): nn.BatchNorm2d(channels) for channels in widths})

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.norms[str(features.shape[1])](features)


class SuperOperator(nn.Module):
    """Any of the five operators over all widths. A skip is a 1x1 convolution here, so that it can change the width."""

    def __init__(self, op: Op, inputs: int, widths: Sequence[int], stride: int) -> None:
        super().__init__()
        full = widths[-1]
        self.op, self.stride = op, stride
        self.zoomed = op in ("zconv", "zconv2")
        step = 1 if self.zoomed else stride
        if op == "skip" and stride == 2:
            convs = [SuperConv(inputs, full // 2, 1, 2), SuperConv(inputs, full - full // 2, 1, 2)]
        elif op == "skip":
            convs = [SuperConv(inputs, full, 1)]
        else:
            convs = [SuperConv(inputs, full, 3, step)]
            convs += [SuperConv(full, full)] if op in ("conv2", "zconv2") else []
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(SwitchableNorm(widths) for _ in range(1 if op == "skip" else len(convs)))

    def forward(self, features: Float[Tensor, "b c h w"], outputs: int) -> Float[Tensor, "b c2 h2 w2"]:
        if self.op == "skip" and self.stride == 2:
            straight, aside = self.convs
            halves = straight(features, outputs // 2), aside(shifted(features), outputs - outputs // 2)
            return relu(self.norms[0](torch.cat(halves, 1)))
        height, width = features.shape[2:]
        mapped = halved(features) if self.zoomed else features
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            mapped = norm(conv(relu(mapped) if number else mapped, outputs))
        if self.zoomed and self.stride == 1:
            mapped = resized(mapped, (height, width))
        return relu(mapped)


class MixedOperator(nn.Module):
    """All five operators of a cell, mixed by their shares."""

    def __init__(self, inputs: int, widths: Sequence[int], stride: int) -> None:
        super().__init__()
        self.operators = nn.ModuleList(SuperOperator(op, inputs, widths, stride) for op in OPS)

    def forward(
        self, features: Float[Tensor, "b c h w"], shares: Float[Tensor, " o"], outputs: int
    ) -> Float[Tensor, "b c2 h2 w2"]:
        mapped = [operator(features, outputs) for operator in self.operators]
        return torch.stack([share * each for share, each in zip(shares, mapped, strict=True)]).sum(0)
