"""The supernet: a grid of cells over columns and three scales, and for each network a stem, refinement and heads.

Cell (j, l) of scale j and column l takes what comes along its scale and what comes down from above. It is run on each,
and beta mixes what comes out; the paper's equation mixes what goes in.

b images, c channels, k classes, h w pixels
"""

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from methods.segmentation.fasterseg.architecture import Mixture
from methods.segmentation.fasterseg.derivation import EXITS, WIDTHS, Scale
from methods.segmentation.fasterseg.network import Head, Refinement, Stem
from methods.segmentation.fasterseg.operators import resized
from methods.segmentation.fasterseg.superkernel import MixedOperator

OUTPUTS = ("8", "16", "32", "8+32", "16+32")
"""The five heads, by the exits that they look at."""


class Ends(nn.Module):
    """What is not searched of one network: its stem, and five heads over its exits, refined to an eighth."""

    def __init__(self, scale: Scale, classes: int) -> None:
        super().__init__()
        h8, h16, h32 = (scale.channels(stride, scale.head) for stride in EXITS)
        self.stem = Stem(scale.stem_channels)
        self.refine16 = Refinement(h16, h8, h8)
        self.refine32 = nn.ModuleList([Refinement(h32, h16, h16), Refinement(h16, h8, h8)])
        self.heads = nn.ModuleList(Head(channels, classes) for channels in (h8, h8, h8, 2 * h8, 2 * h8))

    def read(self, at_8: Tensor, at_16: Tensor, at_32: Tensor) -> list[Tensor]:
        """Logits of the five heads, at an eighth."""
        from_16 = self.refine16(at_16, at_8)
        from_32 = self.refine32[1](self.refine32[0](at_32, at_16), at_8)
        maps = (at_8, from_16, from_32, torch.cat([at_8, from_32], 1), torch.cat([from_16, from_32], 1))
        return [head(features) for head, features in zip(self.heads, maps, strict=True)]


class Supernet(nn.Module):
    """Cells that all networks share, and the ends of each, by name."""

    def __init__(self, layers: int, scales: Mapping[str, Scale], classes: int) -> None:
        super().__init__()
        self.layers = layers
        self.scale = next(iter(scales.values()))
        self.ends = nn.ModuleDict({name: Ends(scale, classes) for name, scale in scales.items()})
        self.along, self.down = nn.ModuleDict(), nn.ModuleDict()
        for layer, scale in self._cells():
            inputs, widths, wider = (
                self._widths(EXITS[scale])[-1],
                self._widths(EXITS[scale]),
                self._widths(2 * EXITS[scale]),
            )
            self.along[_name(scale, layer)] = MixedOperator(inputs, widths, 1)
            if scale < 2 and layer < layers - 1:
                self.down[_name(scale, layer)] = MixedOperator(inputs, wider, 2)

    def forward(self, images: Float[Tensor, "b 3 h w"], network: str, mixture: Mixture) -> list[Tensor]:
        """Logits of the five heads of a network, each `b k h/8 w/8`."""
        ends = self.ends[network]
        assert isinstance(ends, Ends)
        along: list[Tensor | None] = [ends.stem(images), None, None]
        above: list[Tensor | None] = [None, None, None]
        for layer in range(self.layers):
            kept: list[Tensor | None] = [None, None, None]
            down: list[Tensor | None] = [None, None, None]
            for scale in range(min(layer, 2) + 1):
                arriving = self._arriving(mixture, scale, layer, above[scale - 1] if scale else None, along[scale])
                kept[scale] = self._cell(mixture, scale, layer, 1, arriving)
                if scale < 2 and layer < self.layers - 1:
                    down[scale] = self._cell(mixture, scale, layer, 2, arriving)
            along, above = kept, down
        at_8, at_16, at_32 = along
        assert at_8 is not None
        assert at_16 is not None
        assert at_32 is not None
        return ends.read(at_8, at_16, at_32)

    def fused(
        self, images: Float[Tensor, "b 3 h w"], network: str, mixture: Mixture, exits: tuple[int, int]
    ) -> Float[Tensor, "b k h w"]:
        """Logits of the head over two exits, 32 and another, at the size of the images."""
        height, width = images.shape[2:]
        logits = self(images, network, mixture)[OUTPUTS.index(f"{min(exits)}+{max(exits)}")]
        return resized(logits, (height, width))

    def _cells(self) -> Iterator[tuple[int, int]]:
        return ((layer, scale) for layer in range(self.layers) for scale in range(min(layer, 2) + 1))

    def _widths(self, stride: int) -> list[int]:
        return [self.scale.channels(stride, width) for width in range(len(WIDTHS))]

    def _arriving(
        self, mixture: Mixture, scale: int, layer: int, above: Tensor | None, along: Tensor | None
    ) -> list[tuple[Tensor | None, Tensor]]:
        """What a cell is run on, and its share; on the rims of the grid there is one way only."""
        if above is None or along is None:
            only = above if along is None else along
            assert only is not None
            return [(None, only)]
        from_above, kept = mixture.beta[scale - 1][layer - scale - 1]
        return [(from_above, above), (kept, along)]

    def _cell(
        self, mixture: Mixture, scale: int, layer: int, stride: int, arriving: list[tuple[Tensor | None, Tensor]]
    ) -> Tensor:
        """A cell along its scale or down from it, with widths as drawn and multiplied by their scores."""
        cell = (self.along if stride == 1 else self.down)[_name(scale, layer)]
        to = scale + stride - 1
        _, score_in = mixture.widths.into(scale, layer)
        width, score_out = mixture.widths.out_of(to, layer, self.layers)
        outputs = self.scale.channels(EXITS[to], width)
        shares = mixture.alpha[scale][layer - scale]
        mixed: Tensor | None = None
        for share, features in arriving:
            came_out = cell(features, shares, outputs)
            weighted = came_out if share is None else share * came_out
            mixed = weighted if mixed is None else mixed + weighted
        assert mixed is not None
        for score in (score_in, score_out):
            if score is not None:
                mixed = mixed * score
        return mixed


def _name(scale: int, layer: int) -> str:
    return f"{EXITS[scale]}-{layer}"
