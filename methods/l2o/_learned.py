"""Optimisers that are networks: what they are made of, and how they are run.

Dimensions: b functions, n unknowns, r = b n coordinates, f features, z hidden units.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.l2o.optimisees import Optimisees

State = tuple[Tensor, ...]
"""What an optimiser keeps between steps: tensors only, so that a checkpoint can hold it."""


class Seen(NamedTuple):
    """What an optimiser is shown before each step. Gradients of the meta-loss end here: nothing of it has any."""

    x: Float[Tensor, "b n"]
    value: Float[Tensor, " b"]
    gradient: Float[Tensor, "b n"]
    sizes: tuple[int, ...]
    """Lengths of the tensors that x is made of."""


@runtime_checkable
class LearnedOptimizer(Protocol):
    """A network that turns gradients into updates."""

    particles: int
    """Points that look for the minimum of one function together; they are rows beside each other."""

    def begin(self, optimisees: Optimisees, generator: torch.Generator) -> tuple[Float[Tensor, "b n"], State]:
        """Where to start, and the state before the first step. `generator`, a CPU's, is for what is drawn."""

    def step(self, seen: Seen, state: State) -> tuple[Float[Tensor, "b n"], State]:
        """The update that is added to x, and the next state."""


def look(optimisees: Optimisees, x: Float[Tensor, "b n"], step: int) -> Seen:
    return Seen(x.detach(), *optimisees.value_and_gradient(x, step), optimisees.sizes)


class LearnedSolver(nn.Module):
    """Runs a learned optimiser of a single particle, for as long as one wants."""

    def __init__(self, optimizer: nn.Module) -> None:
        """`optimizer` is a `LearnedOptimizer`."""
        super().__init__()
        self.optimizer = optimizer

    def forward(self, optimisees: Optimisees, steps: int) -> Iterator[Float[Tensor, "b n"]]:
        optimizer = cast(LearnedOptimizer, self.optimizer)
        x, state = optimizer.begin(optimisees, torch.Generator().manual_seed(0))
        for step in range(steps):
            update, state = optimizer.step(look(optimisees, x, step), state)
            x = x + update
            yield x


class LSTM(nn.Module):
    """Layers of LSTM cells, one step at a time, each with one bias vector; that of the forget gate starts at 1.

    The first layer's input and hidden units stand side by side in one matrix: a single product for each cell.
    """

    def __init__(self, features: int, hidden: int, layers: int, generator: torch.Generator) -> None:
        super().__init__()
        widths = [features, *[hidden] * (layers - 1)]
        self.weights = nn.ParameterList(truncated_normal(4 * hidden, width + hidden, generator) for width in widths)
        self.biases = nn.ParameterList(torch.zeros(4 * hidden) for _ in widths)
        self.hidden = hidden
        with torch.no_grad():
            for bias in self.biases:
                bias[hidden : 2 * hidden] = 1.0

    def begin(self, rows: int) -> State:
        """Zeros: hidden units and cells of each layer."""
        return tuple(self.biases[0].new_zeros(rows, self.hidden) for _ in range(2 * len(self.biases)))

    def forward(self, features: Float[Tensor, "r f"], state: State) -> tuple[Float[Tensor, "r z"], State]:
        """The last layer's hidden units, and the next state."""
        following: list[Tensor] = []
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden, cell = state[2 * layer : 2 * layer + 2]
            gates = torch.addmm(bias, torch.cat([features, hidden], dim=1), weight.T)
            into, keep, out = gates[:, : 3 * self.hidden].sigmoid().chunk(3, dim=1)
            cell = keep * cell + into * gates[:, 3 * self.hidden :].tanh()
            features = out * cell.tanh()
            following += [features, cell]
        return features, tuple(following)


def truncated_normal(rows: int, columns: int, generator: torch.Generator) -> Float[Tensor, "rows columns"]:
    """A matrix that keeps the size of its input: deviation 1 / sqrt(columns), cut at two deviations."""
    deviation = 1 / math.sqrt(columns)
    return nn.init.trunc_normal_(
        torch.empty(rows, columns), std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator
    )
