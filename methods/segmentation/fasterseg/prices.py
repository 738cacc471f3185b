"""What operators cost: a table of latencies, and the latency of a derived network by it.

A table prices every cell by scale, stride, operator and the widths of input and output, and the parts that are not
searched by network. Widths are indices, so that one table serves supernets of other base widths.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from methods.segmentation.fasterseg.derivation import EXITS, FULL, WIDTHS, Scale
from methods.segmentation.fasterseg.genotype import Genotype, Layer, released
from methods.segmentation.fasterseg.network import tap_channels
from methods.segmentation.fasterseg.operators import OPS, Op

Zconv2Price = Literal["own", "conv2"]
"""Which entry prices a zoomed pair of convolutions: its own; or, A FAULT OF THE RELEASED CODE, the plain pair's."""

CELLS = tuple((stride, step) for stride in EXITS for step in (1, 2) if stride * step <= EXITS[-1])
"""Scale and stride of every kind of cell."""


@dataclass(frozen=True)
class Fixed:
    """Milliseconds of what is not searched in one network."""

    stem: float
    arm32: float
    refine16: tuple[float, ...]
    """By the width of the tap beside it."""
    arm16: float
    refine8: tuple[float, ...]
    fusion: float
    head: float


@dataclass(frozen=True)
class Prices:
    """Milliseconds of a call of each operator, batch norm and ReLU with it."""

    cells: Mapping[str, tuple[tuple[float, ...], ...]]
    """By `cell_name`: rows by the width of the input, columns by that of the output."""
    fixed: Mapping[str, Fixed]
    """By network: `student`, `teacher`."""

    def tensor(self, zconv2: Zconv2Price = "own") -> Float[Tensor, "s t o i j"]:
        """All cells: scale, stride, operator, input and output; there is none of stride 2 at a 32nd."""
        prices = torch.zeros(len(EXITS), 2, len(OPS), len(WIDTHS), len(WIDTHS), dtype=torch.float64)
        for stride, step in CELLS:
            for number, op in enumerate(OPS):
                entry: Op = "conv2" if op == "zconv2" and zconv2 == "conv2" else op
                table = torch.tensor(self.cells[cell_name(stride, step, entry)], dtype=torch.float64)
                prices[EXITS.index(stride), step - 1, number] = table
        return prices

    def scaled(self, factor: float) -> "Prices":
        """All prices times a factor."""
        return Prices(
            {name: tuple(tuple(factor * ms for ms in row) for row in table) for name, table in self.cells.items()},
            {name: _fixed(_times(vars(part), factor)) for name, part in self.fixed.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `prices_from` takes them."""
        return {
            "cells": {name: [list(row) for row in table] for name, table in self.cells.items()},
            "fixed": {name: dict(vars(part)) for name, part in self.fixed.items()},
        }


def cell_name(stride: int, step: int, op: Op) -> str:
    """The name of a cell's prices: its scale, its stride, its operator."""
    return f"{stride}/{step}/{op}"


def prices_from(value: Mapping[str, Any]) -> Prices:
    """Prices from plain values."""
    cells = {name: tuple(tuple(row) for row in table) for name, table in value["cells"].items()}
    return Prices(cells, {name: _fixed(part) for name, part in value["fixed"].items()})


def _fixed(value: Mapping[str, Any]) -> Fixed:
    plain: dict[str, Any] = {name: tuple(ms) if isinstance(ms, list | tuple) else ms for name, ms in value.items()}
    return Fixed(**plain)


def _times(value: Mapping[str, Any], factor: float) -> dict[str, Any]:
    return {
        name: [factor * each for each in ms] if isinstance(ms, list | tuple) else factor * ms
        for name, ms in value.items()
    }


def released_prices() -> Prices:
    """The released table: a GTX 1080Ti with TensorRT 5.1.5, one image of 1024 x 2048."""
    return prices_from(released("released_latency.json"))


def parts_ms(
    genotype: Genotype, prices: Prices, scale: Scale, network: str, zconv2: Zconv2Price = "own"
) -> dict[str, float]:
    """A derived network's latency by the table, part by part."""
    fixed = prices.fixed[network]
    taps = tap_channels(genotype, 32)
    heads = (
        fixed.arm32
        + fixed.refine16[width_index(scale, 16, taps[16])]
        + fixed.arm16
        + fixed.refine8[width_index(scale, 8, taps[8])]
        + fixed.fusion
        + fixed.head
    )
    if 16 in genotype.branches:
        heads += fixed.arm16 + fixed.refine8[width_index(scale, 8, tap_channels(genotype, 16)[8])]
    tensor = prices.tensor(zconv2)
    at = sum(layer.stride == 2 for layer in genotype.shared)
    parts = {"stem": fixed.stem, "shared": _layers_ms(genotype.shared, 0, tensor, scale)}
    for stride, layers in genotype.branches.items():
        parts[f"branch{stride}"] = _layers_ms(layers, at, tensor, scale)
    return parts | {"heads": heads}


def latency_ms(genotype: Genotype, prices: Prices, scale: Scale, network: str, zconv2: Zconv2Price = "own") -> float:
    """A derived network's latency by the table: the sum over its parts."""
    return sum(parts_ms(genotype, prices, scale, network, zconv2).values())


def _layers_ms(layers: tuple[Layer, ...], at: int, tensor: Tensor, scale: Scale) -> float:
    """Of layers, the first of which is at scale number `at`."""
    total = 0.0
    for layer in layers:
        inputs = width_index(scale, EXITS[at], layer.inputs)
        outputs = width_index(scale, EXITS[at] * layer.stride, layer.outputs)
        total += tensor[at, layer.stride - 1, OPS.index(layer.op), inputs, outputs].item()
        at += layer.stride == 2
    return total


def width_index(scale: Scale, stride: int, channels: int) -> int:
    """The width that so many channels are at a scale."""
    return [scale.channels(stride, width) for width in range(FULL + 1)].index(channels)
