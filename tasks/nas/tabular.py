"""Spaces of NAS-Bench-201's kind (Dong and Yang, ICLR 2020): one cell, repeated, complete between its nodes.

A cell adds up at each node what its edges bring; node 0 is its input and the last node its output. The network: a 3x3
convolution with batch norm, stages of cells with a residual block of stride 2 between them, batch norm, ReLU, global
average, linear layer.

    published network    16 channels, `layers(5)`
    TE-NAS's proxies     `kappa_proxy`, `region_proxy` (Chen, Gong and Wang, ICLR 2021)

The published numbering of NAS-Bench-201 is the order of all choices, the last edge fastest, shuffled by Python's
generator with seed 88.

b images, c channels, h w pixels, k classes, e edges, o operators
"""

import functools
import itertools
import math
import random
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.nas.operators import EdgeWeights, MixedEdge, norm, relu_conv_norm
from tasks.nas.spaces import Architecture, Edge, Layer, Norms, Proxy, draw

PUBLISHED_SHUFFLE = 88

OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


class Cell(nn.Module):
    """A complete graph of nodes; each is the sum of its edges."""

    def __init__(
        self, space: "TabularSpace", built: tuple[tuple[int, ...], ...], channels: int, norms: Norms, add_zeros: bool
    ) -> None:
        super().__init__()
        self.graph = space.edges
        self.nodes = space.nodes
        self.edges = nn.ModuleList(
            MixedEdge(space.operators, operators, channels, 1, norms, add_zeros) for operators in built
        )

    def forward(self, features: Float[Tensor, "b c h w"], weights: EdgeWeights | None) -> Float[Tensor, "b c h w"]:
        states = [features]
        for target in range(1, self.nodes):
            total: Tensor | None = None
            for number, (edge, mixed) in enumerate(zip(self.graph, self.edges, strict=True)):
                if edge.target == target:
                    assert isinstance(mixed, MixedEdge)
                    state = states[edge.source]
                    brought = mixed.alone(state) if weights is None else weights.apply(number, mixed, state)
                    if brought is not None:
                        total = brought if total is None else total + brought
            states.append(torch.zeros_like(features) if total is None else total)
        return states[-1]


class ResidualBlock(nn.Module):
    """Halves the resolution and doubles the channels: two 3x3 convolutions beside an average with a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, norms: Norms) -> None:
        super().__init__()
        self.first = relu_conv_norm(inputs, outputs, 3, 2, norms)
        self.second = relu_conv_norm(outputs, outputs, 3, 1, norms)
        # An odd side is rounded up, as the convolutions do.
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        return self.shortcut(features) + self.second(self.first(features))


class TabularNet(nn.Module):
    """Stem, cells and residual blocks, and classifier; `built` are the operators of each edge, the same in all cells.

    Without weights every operator that was built counts fully: so the network of one architecture is called.
    """

    def __init__(
        self,
        space: "TabularSpace",
        built: tuple[tuple[int, ...], ...],
        channels: int,
        layers: tuple[Layer, ...],
        classes: int,
        inputs: int,
        stem: bool,
        norms: Norms,
        add_zeros: bool,
    ) -> None:
        super().__init__()
        if not stem and inputs != channels:
            raise ValueError(
                f"{space.name}: without a stem a network has the channels of its images, {inputs}, got {channels}"
            )
        tracked = Norms(track=norms.track)
        self.stem = (
            nn.Sequential(nn.Conv2d(inputs, channels, 3, padding=1, bias=False), norm(channels, tracked))
            if stem
            else nn.Identity()
        )
        self.layers = nn.ModuleList()
        for kind in layers:
            if kind == "reduction":
                self.layers.append(ResidualBlock(channels, 2 * channels, tracked))
                channels *= 2
            else:
                self.layers.append(Cell(space, built, channels, norms, add_zeros))
        self.last = nn.Sequential(norm(channels, tracked), nn.ReLU())
        self.classifier = nn.Linear(channels, classes)

    def forward(
        self, images: Float[Tensor, "b c h w"], weights: Float[Tensor, "e o"] | None = None
    ) -> Float[Tensor, "b k"]:
        read = None if weights is None else EdgeWeights(weights)
        features = self.stem(images)
        for layer in self.layers:
            features = layer(features, read) if isinstance(layer, Cell) else layer(features)
        return self.classifier(self.last(features).mean(dim=(2, 3)))


@dataclass(frozen=True)
class TabularSpace:
    """Cells of `nodes` nodes with an edge between every two of them; all edges are kept."""

    name: str
    nodes: int
    kappa_proxy: Proxy
    region_proxy: Proxy
    stages: int = 3
    operators: tuple[str, ...] = OPERATORS
    kept: None = None
    layer_kinds: tuple[Layer, ...] = ("normal",)

    @functools.cached_property
    def edges(self) -> tuple[Edge, ...]:
        """In the published order: by target, then by source."""
        return tuple(Edge("", source, target) for target in range(1, self.nodes) for source in range(target))

    @property
    def size(self) -> int:
        """The number of architectures."""
        return len(self.operators) ** len(self.edges)

    def layers(self, cells: int) -> tuple[Layer, ...]:
        """`cells` in each stage."""
        stage: list[Layer] = ["normal"] * cells
        further: list[Layer] = ["reduction", *stage]
        return tuple(stage + (self.stages - 1) * further)

    def all(self) -> tuple[Architecture, ...]:
        """Every architecture by its number."""
        return tuple(Architecture(self, choice) for choice in all_choices(len(self.operators), len(self.edges)))

    def number(self, architecture: Architecture) -> int:
        """The place in the order of all choices, the last edge fastest."""
        return functools.reduce(lambda number, index: len(self.operators) * number + index, architecture.choice, 0)

    def architecture(self, number: int) -> Architecture:
        """The inverse of `number`."""
        if not 0 <= number < self.size:
            raise ValueError(f"{self.name}: its architectures are numbered from 0 to {self.size - 1}, got {number}")
        base, edges = len(self.operators), len(self.edges)
        return Architecture(self, tuple(number // base**place % base for place in reversed(range(edges))))

    def published_index(self, architecture: Architecture) -> int:
        """NAS-Bench-201's own number of the architecture."""
        return published_order(self.size).index(self.number(architecture))

    def from_published_index(self, index: int) -> Architecture:
        return self.architecture(published_order(self.size)[index])

    def random(self, generator: torch.Generator) -> Architecture:
        """Each edge's operator uniform over all, `none` among them."""
        return self.architecture(draw(self.size, generator))

    def mutate(self, architecture: Architecture, generator: torch.Generator) -> Architecture:
        """One edge, drawn uniformly, has another operator."""
        place = draw(len(self.edges), generator)
        other = (architecture.choice[place] + 1 + draw(len(self.operators) - 1, generator)) % len(self.operators)
        return Architecture(self, (*architecture.choice[:place], other, *architecture.choice[place + 1 :]))

    def connected(self, architecture: Architecture) -> bool:
        """Whether any path without `none` leads from the input to the output."""
        reached = {0}
        for edge, index in zip(self.edges, architecture.choice, strict=True):
            if index and edge.source in reached:
                reached.add(edge.target)
        return self.nodes - 1 in reached

    def signature(self, architecture: Architecture) -> str:
        """NAS-Bench-201's text for a class of isomorphic architectures, of which it counts 6,466.

        A node is told as the sum of what reaches it, in the order of these texts: `0` is the input, `#` lets nothing
        through, a skipped edge brings its source's text. It is this notation, not the function computed, that the
        published count follows: `#` beside an operator is another class than that operator alone.
        """
        texts = ["0"]
        for target in range(1, self.nodes):
            terms = []
            for edge, operator in zip(self.edges, architecture.operators, strict=True):
                if edge.target == target:
                    source = texts[edge.source]
                    if operator == "none" or source == "#":
                        terms.append("#")
                    else:
                        terms.append(source if operator == "skip_connect" else f"({source})@{operator}")
            texts.append("+".join(sorted(terms)))
        return texts[-1]

    def network(
        self, architecture: Architecture, channels: int, layers: tuple[Layer, ...], classes: int, inputs: int = 3
    ) -> TabularNet:
        built = tuple((index,) for index in architecture.choice)
        return TabularNet(self, built, channels, layers, classes, inputs, True, Norms(), False)

    def supernet(
        self,
        channels: int,
        layers: tuple[Layer, ...],
        classes: int,
        inputs: int = 3,
        stem: bool = True,
        norms: Norms = Norms(),  # noqa: B008 -- frozen
        add_zeros: bool = False,
    ) -> TabularNet:
        built = (tuple(range(1, len(self.operators))),) * len(self.edges)
        return TabularNet(self, built, channels, layers, classes, inputs, stem, norms, add_zeros)

    def proxy(self, sizes: Proxy, classes: int, norms: Norms = Norms()) -> TabularNet:  # noqa: B008 -- frozen
        return self.supernet(sizes.channels, sizes.layers, classes, sizes.inputs, sizes.stem, norms)

    def parameters(self, architecture: Architecture, channels: int, cells: int, classes: int, inputs: int = 3) -> int:
        """The parameters of `network` with `layers(cells)`, in closed form: no network is built."""
        widths = [channels * 2**stage for stage in range(self.stages)]
        ones, threes = architecture.count("nor_conv_1x1"), architecture.count("nor_conv_3x3")
        stem = 9 * inputs * channels + 2 * channels
        cell = sum(cells * (ones * (width**2 + 2 * width) + threes * (9 * width**2 + 2 * width)) for width in widths)
        blocks = sum(9 * c * 2 * c + 9 * (2 * c) ** 2 + 4 * (2 * c) + c * 2 * c for c in widths[:-1])
        return stem + cell + blocks + 2 * widths[-1] + (widths[-1] + 1) * classes

    def macs(
        self, architecture: Architecture, channels: int, cells: int, classes: int, side: int, inputs: int = 3
    ) -> int:
        """The multiply-adds of that network on one image of `side` x `side` pixels: convolutions and linear layer."""
        ones, threes = architecture.count("nor_conv_1x1"), architecture.count("nor_conv_3x3")
        total = 9 * inputs * channels * side**2
        for stage in range(self.stages):
            total += cells * (ones + 9 * threes) * channels**2 * side**2
            if stage < self.stages - 1:
                side = math.ceil(side / 2)
                total += (9 * 2 + 9 * 4 + 2) * channels**2 * side**2
                channels *= 2
        return total + channels * classes


@functools.cache
def all_choices(operators: int, edges: int) -> tuple[tuple[int, ...], ...]:
    """All choices of an operator for each edge, the last edge fastest."""
    return tuple(itertools.product(range(operators), repeat=edges))


@functools.cache
def published_order(size: int) -> list[int]:
    """The number, in the order of all choices, of each published index."""
    order = list(range(size))
    random.Random(PUBLISHED_SHUFFLE).shuffle(order)
    return order


NAS_BENCH_201 = TabularSpace(
    "nas-bench-201",
    nodes=4,
    kappa_proxy=Proxy(
        channels=3, layers=("normal", "reduction", "normal", "reduction", "normal"), inputs=3, side=32, stem=True
    ),
    region_proxy=Proxy(channels=1, layers=("normal",), inputs=1, side=3, stem=False),
)
