"""The space of DARTS (Liu, Simonyan and Yang, ICLR 2019): a normal and a reduction cell, two inputs, four nodes each.

A cell takes the outputs of the two layers before it. Each of its nodes adds up what its edges bring, from the inputs
and from earlier nodes; an architecture keeps two edges of every node. The output is the four nodes side by side.
Reduction cells, at a third and at two thirds of the depth, double the channels; their edges from the inputs have
stride 2.

    CIFAR network       36 channels, `layers(20)`
    ImageNet network    48 channels, `layers(14)`, of `DARTS_IMAGENET`
    search network      16 channels, `layers(8)`
    TE-NAS's proxies    `kappa_proxy`, `region_proxy` (Chen, Gong and Wang, ICLR 2021)

Differs from DARTS's code as TE-NAS's does: pools of a network that is trained to the end have a batch norm.

b images, c channels, h w pixels, k classes, e edges, o operators
"""

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from jaxtyping import Float
from torch import Tensor, nn

from tasks.nas.operators import EdgeWeights, FactorizedReduce, MixedEdge, norm, relu_conv_norm
from tasks.nas.spaces import Architecture, Edge, Layer, Norms, Proxy, draw, groups, parse

INPUTS = 2
NODES = 4
KINDS: tuple[Layer, ...] = ("normal", "reduction")

OPERATORS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

AUXILIARY_CHANNELS = (128, 768)

GENOTYPES = Path(__file__).with_name("genotypes.yaml")


class DropPath(nn.Module):
    """Drops an edge's output, image by image, with a probability; what stays is scaled up to the same mean."""

    def forward(
        self, features: Float[Tensor, "b c h w"], probability: float, generator: torch.Generator | None
    ) -> Float[Tensor, "b c h w"]:
        if not self.training or probability == 0:
            return features
        kept = torch.rand(len(features), 1, 1, 1, generator=generator, device=features.device) >= probability
        return features * kept / (1 - probability)


class Cell(nn.Module):
    """Two inputs, four nodes, each the sum of its edges; the output is the nodes side by side."""

    def __init__(
        self,
        space: "DartsSpace",
        kind: Layer,
        built: tuple[tuple[int, ...], ...],
        sizes: tuple[int, int, int],
        after_reduction: bool,
        norms: Norms,
        add_zeros: bool,
    ) -> None:
        """`sizes` are the channels of the two inputs and of a node; after a reduction the first input is larger."""
        super().__init__()
        before, last, channels = sizes
        self.stride = 2 if kind == "reduction" else 1
        self.numbers = tuple(number for number, edge in enumerate(space.edges) if edge.cell == kind)
        self.graph = tuple(space.edges[number] for number in self.numbers)
        self.before = (
            FactorizedReduce(before, channels, norms)
            if after_reduction
            else relu_conv_norm(before, channels, 1, 1, norms)
        )
        self.last = relu_conv_norm(last, channels, 1, 1, norms)
        self.drop_path = DropPath()
        self.edges = nn.ModuleList(
            MixedEdge(
                space.operators,
                built[number],
                channels,
                self.stride if edge.source < INPUTS else 1,
                norms,
                add_zeros,
            )
            for number, edge in zip(self.numbers, self.graph, strict=True)
        )

    def forward(
        self,
        before: Float[Tensor, "b c h w"],
        last: Float[Tensor, "b d i j"],
        weights: EdgeWeights | None,
        drop_path: float,
        generator: torch.Generator | None,
    ) -> Float[Tensor, "b f m n"]:
        states = [self.before(before), self.last(last)]
        empty = torch.zeros_like(states[1][:, :, :: self.stride, :: self.stride])
        for target in range(INPUTS, INPUTS + NODES):
            total: Tensor | None = None
            for number, edge, mixed in zip(self.numbers, self.graph, self.edges, strict=True):
                if edge.target == target:
                    assert isinstance(mixed, MixedEdge)
                    state = states[edge.source]
                    brought = mixed.alone(state) if weights is None else weights.apply(number, mixed, state)
                    if brought is not None:
                        if not mixed.is_identity:
                            brought = self.drop_path(brought, drop_path, generator)
                        total = brought if total is None else total + brought
            states.append(empty if total is None else total)
        return torch.cat(states[INPUTS:], dim=1)


class Auxiliary(nn.Module):
    """A second classifier, two thirds down the network, on features of 8 x 8 (CIFAR) or 14 x 14 pixels (ImageNet)."""

    def __init__(self, channels: int, classes: int, large: bool) -> None:
        super().__init__()
        narrow, wide = AUXILIARY_CHANNELS
        # DARTS's ImageNet head has lost its second batch norm, and so have the published networks.
        second: list[nn.Module] = [] if large else [norm(wide, Norms())]
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, 2 if large else 3, count_include_pad=False),
            nn.Conv2d(channels, narrow, 1, bias=False),
            norm(narrow, Norms()),
            nn.ReLU(),
            nn.Conv2d(narrow, wide, 2, bias=False),
            *second,
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(wide, classes),
        )

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.layers(features)


class DartsNet(nn.Module):
    """Stem, cells and classifier; `built` are the operators of each edge, the same in all cells of a kind.

    Without weights every operator that was built counts fully: so the network of one architecture is called.
    """

    def __init__(
        self,
        space: "DartsSpace",
        built: tuple[tuple[int, ...], ...],
        channels: int,
        layers: tuple[Layer, ...],
        classes: int,
        inputs: int,
        *,
        stem: bool = True,
        stem_multiplier: int = 3,
        large: bool = False,
        last_norm: bool = False,
        auxiliary: bool = False,
        norms: Norms,
        add_zeros: bool = False,
    ) -> None:
        super().__init__()
        if not stem and inputs != channels:
            raise ValueError(
                f"{space.name}: without a stem a network has the channels of its images, {inputs}, got {channels}"
            )
        tracked = Norms(track=norms.track)
        self.shrink: nn.Module = nn.Identity()
        self.stem: nn.Module = nn.Identity()
        before = last = channels
        after_reduction = False
        if large:
            self.shrink = nn.Sequential(
                nn.Conv2d(inputs, channels // 2, 3, 2, 1, bias=False),
                norm(channels // 2, tracked),
                nn.ReLU(),
                nn.Conv2d(channels // 2, channels, 3, 2, 1, bias=False),
                norm(channels, tracked),
            )
            self.stem = relu_conv_norm(channels, channels, 3, 2, tracked)
            # The first cell takes the outputs of both, and the second is half as large.
            after_reduction = True
        elif stem:
            before = last = stem_multiplier * channels
            self.stem = nn.Sequential(nn.Conv2d(inputs, last, 3, padding=1, bias=False), norm(last, tracked))
        self.cells = nn.ModuleList()
        self.large = large
        self.auxiliary_after = 2 * len(layers) // 3
        self.auxiliary: Auxiliary | None = None
        for place, kind in enumerate(layers):
            channels *= 2 if kind == "reduction" else 1
            self.cells.append(Cell(space, kind, built, (before, last, channels), after_reduction, norms, add_zeros))
            after_reduction = kind == "reduction"
            before, last = last, NODES * channels
            if auxiliary and place == self.auxiliary_after:
                self.auxiliary = Auxiliary(last, classes, large)
        self.last = nn.Sequential(norm(last, tracked), nn.ReLU()) if last_norm else nn.Identity()
        self.classifier = nn.Linear(last, classes)

    def forward(
        self,
        images: Float[Tensor, "b c h w"],
        weights: Float[Tensor, "e o"] | None = None,
        drop_path: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b k"]:
        return self.classifier(self._features(images, weights, drop_path, generator)[0])

    def with_auxiliary(
        self, images: Float[Tensor, "b c h w"], drop_path: float = 0.0, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """The logits, and those of the auxiliary classifier."""
        assert self.auxiliary is not None
        features, early = self._features(images, None, drop_path, generator)
        return self.classifier(features), self.auxiliary(early)

    def _features(
        self,
        images: Float[Tensor, "b c h w"],
        weights: Float[Tensor, "e o"] | None,
        drop_path: float,
        generator: torch.Generator | None,
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b f m n"]]:
        """What the classifier takes, and what the auxiliary classifier does."""
        read = None if weights is None else EdgeWeights(weights)
        before = self.shrink(images)
        last = self.stem(before)
        if not self.large:
            before = last
        early = last
        for place, cell in enumerate(self.cells):
            before, last = last, cell(before, last, read, drop_path, generator)
            if place == self.auxiliary_after:
                early = last
        return self.last(last).mean(dim=(2, 3)), early


@dataclass(frozen=True)
class DartsSpace:
    """A normal and a reduction cell of 14 edges each, 8 operators, two edges kept a node."""

    name: str
    kappa_proxy: Proxy
    region_proxy: Proxy
    operators: tuple[str, ...] = OPERATORS
    kept: int = 2
    layer_kinds: tuple[Layer, ...] = KINDS
    large: bool = False
    """Whether the networks that are trained take ImageNet's images, through three convolutions of stride 2; supernets
    always take small ones, as in the searches of DARTS and TE-NAS."""

    @functools.cached_property
    def edges(self) -> tuple[Edge, ...]:
        """By cell, the normal one first, then by target and source; nodes 0 and 1 are the inputs."""
        return tuple(
            Edge(kind, source, target)
            for kind in KINDS
            for target in range(INPUTS, INPUTS + NODES)
            for source in range(target)
        )

    @property
    def size(self) -> int:
        """The number of architectures: for each node two of its inputs, and an operator for each."""
        # No function that takes a `Space` may be called here: whether this is one, is asked by reading all properties.
        pairs = [math.comb(inputs, self.kept) for inputs in range(INPUTS, INPUTS + NODES)]
        cell = math.prod(ways * (len(self.operators) - 1) ** self.kept for ways in pairs)
        return cell ** len(KINDS)

    def layers(self, cells: int) -> tuple[Layer, ...]:
        """`cells` in all; reductions at a third and at two thirds."""
        reductions = {cells // 3, 2 * cells // 3}
        return tuple("reduction" if place in reductions else "normal" for place in range(cells))

    def random(self, generator: torch.Generator) -> Architecture:
        """Two different inputs of every node, and operators other than `none`, all uniform."""
        choice = [0] * len(self.edges)
        for group in groups(self):
            for place in torch.randperm(len(group), generator=generator)[: self.kept].tolist():
                choice[group[place]] = 1 + draw(len(self.operators) - 1, generator)
        return Architecture(self, tuple(choice))

    def mutate(self, architecture: Architecture, generator: torch.Generator) -> Architecture:
        """One kept edge, drawn uniformly, has another operator, or starts elsewhere where its node has a free input."""
        choice = list(architecture.choice)
        kept = [(group, index) for group in groups(self) for index in group if choice[index]]
        group, index = kept[draw(len(kept), generator)]
        free = [other for other in group if not choice[other]]
        if free and draw(2, generator):
            choice[free[draw(len(free), generator)]] = choice[index]
            choice[index] = 0
        else:
            # `none` has index 0, the others 1 to n - 1.
            others = len(self.operators) - 1
            choice[index] = 1 + (choice[index] - 1 + 1 + draw(others - 1, generator)) % others
        return Architecture(self, tuple(choice))

    def network(
        self,
        architecture: Architecture,
        channels: int,
        layers: tuple[Layer, ...],
        classes: int,
        inputs: int = 3,
        auxiliary: bool = False,
    ) -> DartsNet:
        return DartsNet(
            self,
            tuple((index,) for index in architecture.choice),
            channels,
            layers,
            classes,
            inputs,
            large=self.large,
            auxiliary=auxiliary,
            norms=Norms(pool=True),
        )

    def supernet(
        self,
        channels: int,
        layers: tuple[Layer, ...],
        classes: int,
        inputs: int = 3,
        stem: bool = True,
        norms: Norms = Norms(),  # noqa: B008 -- frozen
        add_zeros: bool = False,
        stem_multiplier: int = 3,
        last_norm: bool = False,
    ) -> DartsNet:
        """With `last_norm` a batch norm and a ReLU come before the classifier, as in TE-NAS's proxies."""
        return DartsNet(
            self,
            (tuple(range(1, len(self.operators))),) * len(self.edges),
            channels,
            layers,
            classes,
            inputs,
            stem=stem,
            stem_multiplier=stem_multiplier,
            last_norm=last_norm,
            norms=norms,
            add_zeros=add_zeros,
        )

    def proxy(self, sizes: Proxy, classes: int, norms: Norms = Norms()) -> DartsNet:  # noqa: B008 -- frozen
        return self.supernet(
            sizes.channels,
            sizes.layers,
            classes,
            sizes.inputs,
            sizes.stem,
            norms,
            stem_multiplier=1,
            last_norm=True,
        )


DARTS = DartsSpace(
    "darts",
    kappa_proxy=Proxy(channels=1, layers=KINDS, inputs=3, side=32, stem=True),
    region_proxy=Proxy(channels=1, layers=KINDS, inputs=1, side=3, stem=False),
)

DARTS_IMAGENET = replace(DARTS, name="darts-imagenet", large=True)
"""The same architectures, in networks for ImageNet."""


@functools.cache
def published(name: str) -> Architecture:
    """An architecture of `genotypes.yaml`. Raises `ValueError` for a name that it does not have."""
    genotypes = yaml.safe_load(GENOTYPES.read_text())
    if name not in genotypes:
        raise ValueError(f"{DARTS.name}: no published genotype {name}; there are {', '.join(genotypes)}")
    cells = genotypes[name]
    return parse(DARTS, " ".join(f"{kind}:{cells[kind]}" for kind in KINDS))
