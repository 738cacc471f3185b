"""What a search space is: cells whose edges each carry one operator, and architectures that choose one for every edge.

A space is `TabularSpace` (`tasks/nas/tabular.py`) or `DartsSpace` (`tasks/nas/darts.py`); `tasks/nas/catalogue.py` has
those that data sets use. An architecture is written as NAS-Bench-201 does it, a group of edges for every node:
`|nor_conv_3x3~0|+|none~0|skip_connect~1|`, with `cell:` in front where there are several cells.

b images, c channels, h w pixels, k classes, e edges, o operators
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Layer = Literal["normal", "reduction"]
"""A layer of a network: a cell, or what halves the resolution and doubles the channels."""


@dataclass(frozen=True)
class Edge:
    """From one node of a cell to a later one; `cell` is empty where the space has one cell only."""

    cell: str
    source: int
    target: int


@dataclass(frozen=True)
class Architecture:
    """One operator for every edge of a space, in the order of its edges; its text is `space.write`'s."""

    space: "Space"
    choice: tuple[int, ...]
    """Indices into `space.operators`; 0 is `none`."""

    def __hash__(self) -> int:
        return hash(self.choice)

    def __str__(self) -> str:
        return write(self.space, self.choice)

    @property
    def operators(self) -> tuple[str, ...]:
        """The names of the chosen operators, one an edge."""
        return tuple(self.space.operators[index] for index in self.choice)

    def count(self, operator: str) -> int:
        """On how many edges an operator stands."""
        return self.operators.count(operator)

    def weights(self) -> Float[Tensor, "e o"]:
        """One-hot operator weights: with them a supernet computes this architecture."""
        return torch.eye(len(self.space.operators))[list(self.choice)]


@dataclass(frozen=True)
class Norms:
    """How the batch norms of a network are made; defaults are those of networks that are trained to the end."""

    affine: bool = True
    track: bool = True
    """Whether running statistics are kept; without, eval mode uses the batch's too."""
    pool: bool = False
    """Whether pooling operators are followed by a batch norm without affine parameters."""


@dataclass(frozen=True)
class Proxy:
    """A small network in which architectures are scored at initialisation: TE-NAS (Chen, Gong and Wang, ICLR 2021)."""

    channels: int
    layers: tuple[Layer, ...]
    inputs: int
    """Channels of the images."""
    side: int
    """Of the images, in pixels."""
    stem: bool


@runtime_checkable
class Space(Protocol):
    """A search space. Frozen, hashable and small: an architecture carries its own."""

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def edges(self) -> tuple[Edge, ...]: ...

    @property
    def operators(self) -> tuple[str, ...]:
        """The first is `none`."""

    @property
    def kept(self) -> int | None:
        """So many edges of every node are kept, the others are `none`; None where `none` is a choice like another."""

    @property
    def layer_kinds(self) -> tuple[Layer, ...]:
        """The kinds of layers that hold a searched cell."""

    @property
    def kappa_proxy(self) -> Proxy:
        """TE-NAS's network for the condition number of the NTK."""

    @property
    def region_proxy(self) -> Proxy:
        """TE-NAS's network for the number of linear regions."""

    @property
    def size(self) -> int:
        """The number of architectures."""

    def layers(self, cells: int) -> tuple[Layer, ...]:
        """The published order of layers for a size: cells a stage (NAS-Bench-201's N), or in all (DARTS's L)."""

    def random(self, generator: torch.Generator) -> Architecture:
        """An architecture, each as probable as another."""

    def mutate(self, architecture: Architecture, generator: torch.Generator) -> Architecture:
        """One that differs in one place."""

    def network(
        self, architecture: Architecture, channels: int, layers: tuple[Layer, ...], classes: int, inputs: int = 3
    ) -> nn.Module:
        """The network that is trained with the architecture: images to logits. Initial weights are torch's own."""

    def supernet(
        self,
        channels: int,
        layers: tuple[Layer, ...],
        classes: int,
        inputs: int = 3,
        stem: bool = True,
        norms: Norms = Norms(),
        add_zeros: bool = False,
    ) -> nn.Module:
        """A network with every operator on every edge: images and weights, `Float[Tensor, "e o"]`, to logits.

        An edge gives the sum of its operators' outputs by their weights. An operator whose weight is exactly zero is
        not computed: a choice costs what it costs. Without a stem the cells take the images themselves.

        With `add_zeros` the weights that are zero are added to their edge's output as numbers. It changes nothing but
        their gradient, which is zero without: GDAS's code estimates it so (Dong and Yang, CVPR 2019).
        """

    def proxy(self, sizes: Proxy, classes: int, norms: Norms = Norms()) -> nn.Module:
        """The supernet of a proxy. Its last features pass a batch norm and a ReLU, as all of TE-NAS's do."""


@functools.cache
def groups(space: Space) -> tuple[tuple[int, ...], ...]:
    """For every node of every cell, the indices of the edges that end there."""
    nodes: dict[tuple[str, int], list[int]] = {}
    for index, edge in enumerate(space.edges):
        nodes.setdefault((edge.cell, edge.target), []).append(index)
    return tuple(tuple(indices) for indices in nodes.values())


def write(space: Space, choice: Sequence[int]) -> str:
    """An architecture as text. Where a node keeps some edges only, those with `none` are left out."""
    texts: dict[str, list[str]] = {}
    for group in groups(space):
        edges = [(space.operators[choice[index]], space.edges[index].source) for index in group]
        told = [f"{name}~{source}" for name, source in edges if space.kept is None or name != space.operators[0]]
        texts.setdefault(space.edges[group[0]].cell, []).append(f"|{'|'.join(told)}|")
    return " ".join(f"{cell}:{'+'.join(nodes)}" if cell else "+".join(nodes) for cell, nodes in texts.items())


def parse(space: Space, text: str) -> Architecture:
    """The architecture that a text names. Raises `ValueError` if it names none of the space."""
    wrong = ValueError(f"{space.name}: no architecture of this space: {text}")
    found = dict.fromkeys(space.edges, 0)
    parts: dict[str, str] = {}
    for part in text.split():
        cell, _, nodes = part.rpartition(":")
        if cell in parts:
            raise wrong
        parts[cell] = nodes
    if set(parts) != {edge.cell for edge in space.edges}:
        raise wrong
    for cell, nodes in parts.items():
        targets = list(dict.fromkeys(edge.target for edge in space.edges if edge.cell == cell))
        groups_of_text = nodes.split("+")
        if len(groups_of_text) != len(targets):
            raise wrong
        for target, group in zip(targets, groups_of_text, strict=True):
            if not re.fullmatch(r"\|(\w+~\d+\|)+", group):
                raise wrong
            named = [item.split("~") for item in group.strip("|").split("|")]
            edges = [Edge(cell, int(source), target) for _, source in named]
            if len(set(edges)) != len(edges) or not set(edges) <= set(space.edges):
                raise wrong
            if not {name for name, _ in named} <= set(space.operators):
                raise wrong
            if len(edges) != (space.kept or sum(edge.cell == cell and edge.target == target for edge in space.edges)):
                raise wrong
            found |= {edge: space.operators.index(name) for edge, (name, _) in zip(edges, named, strict=True)}
    architecture = Architecture(space, tuple(found.values()))
    check(architecture)
    return architecture


def check(architecture: Architecture) -> None:
    """Raises `ValueError` unless every edge has an operator of the space, and every node the edges that it keeps."""
    space, choice = architecture.space, architecture.choice
    if len(choice) != len(space.edges) or not all(0 <= index < len(space.operators) for index in choice):
        raise ValueError(
            f"{space.name}: an architecture has one of {len(space.operators)} operators on each of "
            f"{len(space.edges)} edges, got {choice}"
        )
    if space.kept is not None:
        for group in groups(space):
            used = sum(choice[index] != 0 for index in group)
            if used != space.kept:
                edge = space.edges[group[0]]
                raise ValueError(
                    f"{space.name}: node {edge.target} of the {edge.cell} cell keeps {space.kept} edges, got {used}"
                )


def draw(number: int, generator: torch.Generator) -> int:
    """A whole number from 0 to `number` - 1."""
    return int(torch.randint(number, (), generator=generator))


def draw_sample(space: Space, size: int, seed: int) -> tuple[Architecture, ...]:
    """Different architectures in random order, each as probable as another; all of a space that has no more."""
    generator = torch.Generator().manual_seed(seed)
    drawn: dict[Architecture, None] = {}
    while len(drawn) < min(size, space.size):
        drawn[space.random(generator)] = None
    return tuple(drawn)
