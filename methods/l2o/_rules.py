"""Update rules of the optimisers that one has without learning: pure functions of gradients and what was kept of them.

They are baselines of Open-L2O (Chen et al., JMLR 2022, figures 6 to 8), and the teachers of its imitation learning.

Dimensions: b functions, n unknowns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.l2o.optimisees import Optimisees

Kept = tuple[Tensor, ...]


@runtime_checkable
class Rule(Protocol):
    """How a gradient becomes a step of unit step size."""

    def begin(self, x: Float[Tensor, "b n"]) -> Kept:
        """What is kept before the first step."""

    def step(self, gradient: Float[Tensor, "b n"], kept: Kept) -> tuple[Float[Tensor, "b n"], Kept]:
        """What is added to x, for a step size of 1, and what is kept for the next step."""


@dataclass(frozen=True)
class GradientRule:
    """-g."""

    def begin(self, x: Float[Tensor, "b n"]) -> Kept:  # noqa: ARG002
        return ()

    def step(self, gradient: Float[Tensor, "b n"], kept: Kept) -> tuple[Float[Tensor, "b n"], Kept]:
        return -gradient, kept


@dataclass(frozen=True)
class NesterovRule:
    """u <- momentum u + g; step -(g + momentum u): Nesterov's gradient, as seen from the point looked ahead to."""

    momentum: float

    def begin(self, x: Float[Tensor, "b n"]) -> Kept:
        return (torch.zeros_like(x),)

    def step(self, gradient: Float[Tensor, "b n"], kept: Kept) -> tuple[Float[Tensor, "b n"], Kept]:
        velocity = self.momentum * kept[0] + gradient
        return -(gradient + self.momentum * velocity), (velocity,)


@dataclass(frozen=True)
class RMSPropRule:
    """s <- decay s + (1 - decay) g^2; step -g / sqrt(s + eps)."""

    decay: float
    eps: float
    accumulator: float
    """What s starts at."""

    def begin(self, x: Float[Tensor, "b n"]) -> Kept:
        return (torch.full_like(x, self.accumulator),)

    def step(self, gradient: Float[Tensor, "b n"], kept: Kept) -> tuple[Float[Tensor, "b n"], Kept]:
        square = self.decay * kept[0] + (1 - self.decay) * gradient.square()
        return -gradient / (square + self.eps).sqrt(), (square,)


@dataclass(frozen=True)
class AdamRule:
    """Bias-corrected moments m and v of the gradient; step -m / (sqrt(v) + eps)."""

    beta1: float
    beta2: float
    eps: float

    def begin(self, x: Float[Tensor, "b n"]) -> Kept:
        return torch.zeros_like(x), torch.zeros_like(x), torch.zeros((), dtype=x.dtype, device=x.device)

    def step(self, gradient: Float[Tensor, "b n"], kept: Kept) -> tuple[Float[Tensor, "b n"], Kept]:
        mean, square, kept = self.moments(gradient, kept)
        return -mean / (square.sqrt() + self.eps), kept

    def moments(
        self, gradient: Float[Tensor, "b n"], kept: Kept
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"], Kept]:
        """Both bias-corrected, and what is kept for the next step."""
        mean, square, age = kept
        age = age + 1
        mean = self.beta1 * mean + (1 - self.beta1) * gradient
        square = self.beta2 * square + (1 - self.beta2) * gradient.square()
        return mean / (1 - self.beta1**age), square / (1 - self.beta2**age), (mean, square, age)


class Descent(nn.Module):
    """Follows a rule with one step size."""

    def __init__(self, rule: Rule, lr: float) -> None:
        super().__init__()
        self.rule = rule
        self.lr = nn.Buffer(torch.tensor(lr))

    def forward(self, optimisees: Optimisees, steps: int) -> Iterator[Float[Tensor, "b n"]]:
        x = optimisees.start
        kept = self.rule.begin(x)
        for step in range(steps):
            _, gradient = optimisees.value_and_gradient(x, step)
            move, kept = self.rule.step(gradient, kept)
            x = x + self.lr * move
            yield x
