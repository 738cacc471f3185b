"""The derived network: stem, two branches that share their first layers, refinement, fusion, heads.

Taps, the maps that a branch held before each of its layers of stride 2, are carried along and looked up by scale: so
sizes that 32 does not divide are no problem, where the released code fails.

b images, c channels, k classes, h w pixels; f8 f16 f32 maps at an eighth and so on
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from methods.segmentation.fasterseg.genotype import Genotype, Layer
from methods.segmentation.fasterseg.operators import ConvBNReLU, operator, resized

WIDEST_HEAD = 256
"""A head over more channels than this works on half of them."""

Taps = dict[int, Tensor]
"""By scale."""


class Stem(nn.Sequential):
    """An eighth of the size, in three steps; it is not searched."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        first, second, third = channels
        super().__init__(
            ConvBNReLU(3, first, stride=2), operator("conv2", first, second, 2), operator("conv2", second, third, 2)
        )


class Head(nn.Sequential):
    """Logits of a map, at its size."""

    def __init__(self, inputs: int, classes: int) -> None:
        inner = inputs // 2 if inputs > WIDEST_HEAD else inputs
        super().__init__(ConvBNReLU(inputs, inner), nn.Conv2d(inner, classes, 1))


class Refinement(nn.Module):
    """One scale up: fewer channels, twice the size, and a convolution over it beside the finer map."""

    def __init__(self, inputs: int, finer: int, outputs: int) -> None:
        super().__init__()
        self.arm = ConvBNReLU(inputs, outputs, 1)
        self.refine = ConvBNReLU(outputs + finer, outputs)

    def forward(self, coarse: Float[Tensor, "b c h w"], fine: Float[Tensor, "b c2 h2 w2"]) -> Tensor:
        height, width = fine.shape[2:]
        return self.refine(torch.cat([resized(self.arm(coarse), (height, width)), fine], 1))


class Fusion(nn.Module):
    """A 1x1 convolution over both branches, side by side.

    The released code also builds an attention that it never calls; the published number of parameters counts it.
    """

    def __init__(self, channels: int, attention: bool) -> None:
        super().__init__()
        self.fuse = ConvBNReLU(channels, channels, 1)
        self.unused_attention = nn.ModuleList(
            nn.Conv2d(channels, channels, 1, bias=False) for _ in range(2 if attention else 0)
        )

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.fuse(features)


class Cells(nn.Sequential):
    """Layers one after the other, with the taps that they leave."""

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        super().__init__(*(operator(layer.op, layer.inputs, layer.outputs, layer.stride) for layer in layers))
        self.strides = tuple(layer.stride for layer in layers)

    def run(self, features: Tensor, scale: int, taps: Taps) -> tuple[Tensor, int, Taps]:
        """What comes out, its scale, and the taps so far."""
        taps = dict(taps)
        for cell, stride in zip(self, self.strides, strict=True):
            if stride == 2:
                taps[scale] = features
                scale *= 2
            features = cell(features)
        return features, scale, taps


class DerivedNetwork(nn.Module):
    """A network from its genotype: logits at the size of its input.

    `auxiliary` adds the heads that only training uses, `attention` what the released code builds and never calls.
    """

    def __init__(self, genotype: Genotype, classes: int, *, auxiliary: bool = True, attention: bool = True) -> None:
        super().__init__()
        self.stem = Stem(genotype.stem)
        self.shared = Cells(genotype.shared)
        self.cells = nn.ModuleDict({str(stride): Cells(layers) for stride, layers in genotype.branches.items()})
        h32 = genotype.channels_at(32)
        h16, h8 = h32 // 2, h32 // 4
        taps = {stride: tap_channels(genotype, stride) for stride in genotype.branches}
        self.refine32 = nn.ModuleList([Refinement(h32, taps[32][16], h16), Refinement(h16, taps[32][8], h8)])
        self.refine16 = nn.ModuleList([Refinement(h16, taps[16][8], h8)] if 16 in taps else [])
        self.fusion = Fusion(2 * h8, attention)
        self.head = Head(2 * h8, classes)
        # On the map of a sixteenth in the 32-branch, beside the 16-branch where there is one; and on that of a 32nd.
        at_16 = taps[32][16] + (h16 if 16 in taps else 0)
        self.auxiliary = nn.ModuleList([Head(at_16, classes), Head(h32, classes)] if auxiliary else [])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        fused, _, _ = self._features(images)
        return self._at_size_of(images, self.head(fused))

    def with_auxiliary(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Logits of the head, and of the auxiliary heads on a sixteenth and on a 32nd, all at the size of the input."""
        fused, at_16, at_32 = self._features(images)
        heads = zip((self.head, *self.auxiliary), (fused, at_16, at_32), strict=True)
        return [self._at_size_of(images, head(features)) for head, features in heads]

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the heads take."""
        shared, scale, shared_taps = self.shared.run(self.stem(images), 8, {})
        f32, _, taps = self._branch(32).run(shared, scale, shared_taps)
        at_16 = taps[16]
        refined = self.refine32[1](self.refine32[0](f32, taps[16]), taps[8])
        if "16" in self.cells:
            other, _, other_taps = self._branch(16).run(shared, scale, shared_taps)
            at_16 = torch.cat([at_16, resized(other, _size(at_16))], 1)
            other = self.refine16[0](other, other_taps[8])
        else:
            other, _, _ = self._branch(8).run(shared, scale, shared_taps)
        return self.fusion(torch.cat([refined, resized(other, _size(refined))], 1)), at_16, f32

    def _branch(self, stride: int) -> Cells:
        branch = self.cells[str(stride)]
        assert isinstance(branch, Cells)
        return branch

    def _at_size_of(self, images: Tensor, logits: Tensor) -> Tensor:
        return resized(logits, _size(images))


def _size(features: Tensor) -> tuple[int, int]:
    height, width = features.shape[2:]
    return height, width


def tap_channels(genotype: Genotype, stride: int) -> dict[int, int]:
    """Channels of the taps on the way to an exit, by scale."""
    taps, scale = {}, 8
    for layer in genotype.path(stride):
        if layer.stride == 2:
            taps[scale] = layer.inputs
            scale *= 2
    return taps
