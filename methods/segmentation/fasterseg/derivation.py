"""From architecture logits to a network: path, widths, operators, what is removed, what is shared, which exits.

The supernet is a grid of columns (layers, from 0) and three scales; layer l of scale j stands in row l - j of that
scale's logits. A path to an exit starts at an eighth and goes down at its layers of stride 2.

Differs from the released code by `Keying`: for the exit at a sixteenth it takes row r of `beta` for layer r, where the
supernet means layer r + 1; and it can never choose the last row for a 32nd. `released` brings both back.

r rows
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from methods.segmentation.fasterseg.genotype import Genotype, Layer
from methods.segmentation.fasterseg.operators import OPS, SKIP

Keying = Literal["mended", "released"]

EXITS = (8, 16, 32)
"""Strides of the three scales."""

WIDTHS = (4, 6, 8, 10, 12)
"""Of 12 parts of the channels; what is called a width below is an index into this."""
FULL = len(WIDTHS) - 1

LATENCY_EXPONENT = -0.07
LATENCY_AIM_MS = 8.3

FEWEST_LAYERS_FOR_MARGINS = 8
"""The released margins around layers of stride 2 leave no path to a 32nd in a supernet with fewer columns."""


@dataclass(frozen=True)
class Logits:
    """What a search found for one network."""

    alpha: tuple[Tensor, Tensor, Tensor]
    """Of operators: for L columns L, L - 1 and L - 2 rows of 5."""
    beta: tuple[Tensor, Tensor]
    """Of the two ways into a cell at a sixteenth and at a 32nd, from above and along: L - 2 and L - 3 rows of 2."""
    gamma: tuple[Tensor, Tensor, Tensor]
    """Of widths, for what enters a layer: L - 1, L - 1 and L - 2 rows of 5, or of 1 where all are full."""

    @property
    def layers(self) -> int:
        return len(self.alpha[0])

    def detached(self) -> "Logits":
        """Without history, on the CPU, each a copy."""
        alpha, beta, gamma = (
            tuple(part.detach().cpu().clone() for part in parts) for parts in (self.alpha, self.beta, self.gamma)
        )
        return Logits(alpha, beta, gamma)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Lists of rows, rounded to six digits, by name and scale."""
        named = [("alpha", EXITS, self.alpha), ("beta", EXITS[1:], self.beta), ("gamma", EXITS, self.gamma)]
        return {
            f"{name}{stride}": [[round(value, 6) for value in row] for row in part.detach().cpu().tolist()]
            for name, strides, parts in named
            for stride, part in zip(strides, parts, strict=True)
        }


def logits_from(value: Mapping[str, Any], scale: float = 1.0) -> Logits:
    """From lists of rows by name; without `gamma` all widths are full."""
    part = {name: torch.tensor(rows, dtype=torch.float64) * scale for name, rows in value.items()}
    rows = (len(part["alpha8"]) - 1, len(part["alpha16"]), len(part["alpha32"]))
    gamma8, gamma16, gamma32 = (
        part.get(f"gamma{stride}", torch.zeros(number, 1, dtype=torch.float64))
        for stride, number in zip(EXITS, rows, strict=True)
    )
    return Logits(
        (part["alpha8"], part["alpha16"], part["alpha32"]), (part["beta16"], part["beta32"]), (gamma8, gamma16, gamma32)
    )


@dataclass(frozen=True)
class Scale:
    """Channels of a supernet and of the parts that are not searched."""

    base: int
    """Channels of the supernet for a stride of 1, at full width: 12 in the paper."""
    stem: int
    """The width of the stem."""
    head: int
    """That of what leaves the last layer."""

    def channels(self, stride: int, width: int) -> int:
        return stride * self.base * WIDTHS[width] // WIDTHS[FULL]

    @property
    def stem_channels(self) -> tuple[int, int, int]:
        """After each part of the stem: half of an eighth's channels, then all."""
        return self.channels(4, self.stem), self.channels(8, self.stem), self.channels(8, self.stem)


@dataclass(frozen=True)
class Cell:
    """A layer of a path, before channels are known."""

    layer: int
    scale: int
    op: int
    stride: int
    width: int
    """Of its output."""


def entering(scale: int, layer: int) -> int:
    """The row of `gamma` for what enters a layer; there is none for layer 0."""
    return layer - 1 if scale == 0 else layer - scale


def scales_of(downs: Sequence[int], layers: int) -> list[int]:
    """The scale of each layer; one of stride 2 belongs to the finer."""
    return [sum(down < layer for down in downs) for layer in range(layers)]


def downs_of(logits: Logits, exit_stride: int, keying: Keying = "mended") -> tuple[int, ...]:
    """The layers of stride 2 of the likeliest path to an exit; ties go to the earliest."""
    layers = logits.layers
    if exit_stride == 8:
        return ()
    into16, into32 = (part.softmax(-1)[:, 0].tolist() for part in logits.beta)
    if exit_stride == 16:
        row = max(range(1, layers - 3), key=lambda row: into16[row])
        return (row + 1 if keying == "mended" else row,)
    wide = layers >= FEWEST_LAYERS_FOR_MARGINS
    last, gap = layers - 5 if wide and keying == "released" else layers - 4, 2 if wide else 0
    pairs = [(i, k) for k in range(last + 1) for i in range(1, k - gap + 1)]
    i, k = max(pairs, key=lambda pair: into16[pair[0]] * into32[pair[1]])
    return i + 1, k + 2


def least_layers(layers: int, exit_stride: int) -> int:
    """So many layers of a path stay, whatever its operators say."""
    return round(layers / 3) + 2 * EXITS.index(exit_stride)


def path_to(
    logits: Logits, exit_stride: int, head: int, *, skips: bool = True, keying: Keying = "mended"
) -> tuple[Cell, ...]:
    """The layers on the way to an exit that stay; without `skips` all do. `head` is the width that leaves the last."""
    layers = logits.layers
    downs = downs_of(logits, exit_stride, keying)
    scales = scales_of(downs, layers)
    alpha = torch.stack([logits.alpha[scale][layer - scale].detach().cpu() for layer, scale in enumerate(scales)])
    gone = _removed(alpha, downs, least_layers(layers, exit_stride)) if skips else set()
    cells: list[Cell] = []
    for layer, scale in enumerate(scales):
        if layer in gone:
            continue
        chosen = alpha[layer].clone()
        chosen[SKIP] = -torch.inf
        ahead = scale + 1 if layer in downs else scale
        width = head if layer == layers - 1 else width_of(logits, ahead, layer + 1)
        cells.append(Cell(layer, scale, int(chosen.argmax()), 2 if layer in downs else 1, width))
    if layers - 1 in gone:
        # The width of the layer that is now last went with the one that was.
        *before, last = cells
        cells = [*before, Cell(last.layer, last.scale, last.op, last.stride, head)]
    return tuple(cells)


def _removed(alpha: Float[Tensor, "l k"], downs: tuple[int, ...], least: int) -> set[int]:
    """The layers that are skipped, and so removed."""
    layers = len(alpha)
    likelihood = alpha.softmax(-1)[:, SKIP].tolist()
    skipped = [layer for layer in range(layers) if int(alpha[layer].argmax()) == SKIP and layer not in downs]
    for first, end in zip(downs, (*downs[1:], layers), strict=False):
        stage = range(first + 1, end)
        if stage and all(layer in skipped for layer in stage):
            skipped.remove(min(reversed(stage), key=lambda layer: likelihood[layer]))
    skipped.sort(key=lambda layer: -likelihood[layer])
    return set(skipped[: layers - least])


def width_of(logits: Logits, scale: int, layer: int) -> int:
    """The likeliest width of what enters a layer."""
    row = logits.gamma[scale][entering(scale, layer)]
    return int(row.argmax()) if len(row) > 1 else FULL


def shared_layers(first: Sequence[Cell], second: Sequence[Cell]) -> int:
    """How many layers two paths share: from the first one on, while operator, width and next scale agree.

    Their last layers never merge.
    """
    shared = 0
    for one, other in zip(first[:-1], second[:-1], strict=False):
        if (one.op, one.width, one.stride) != (other.op, other.width, other.stride):
            break
        shared += 1
    return shared


def derive(
    logits: Logits, exits: tuple[int, int], scale: Scale, *, skips: bool = True, keying: Keying = "mended"
) -> Genotype:
    """The network of two exits, the first of which is 32. Without `skips`, as for teachers, no layer is removed."""
    paths = [path_to(logits, stride, scale.head, skips=skips, keying=keying) for stride in exits]
    shared = shared_layers(*paths)
    drawn = [_layers(path, scale) for path in paths]
    branches = {stride: layers[shared:] for stride, layers in zip(exits, drawn, strict=True)}
    return Genotype(scale.stem_channels, drawn[0][:shared], branches)


def _layers(path: Sequence[Cell], scale: Scale) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    inputs = scale.channels(8, scale.stem)
    for cell in path:
        outputs = scale.channels(EXITS[cell.scale] * cell.stride, cell.width)
        layers.append(Layer(cell.layer, OPS[cell.op], inputs, outputs, cell.stride))
        inputs = outputs
    return tuple(layers)


def objective(miou: float, latency_ms: float) -> float:
    """What the exits are chosen by; higher is better."""
    return miou * (latency_ms / LATENCY_AIM_MS) ** LATENCY_EXPONENT
