"""GLISTA: LISTA-CPSS with two gates in a layer, one before its step and one after it.

Wu, Guo, Li and Zhang, ICLR 2020; as in Open-L2O (Chen et al., JMLR 2022), figure 5.

    g = 1 + a_k theta_{k-1} gain(d_k |x_{k-1}|), entry by entry          `GAINS`
    z = SS_{theta_k, q_k}( g x_{k-1} + W_k^T (b - A g x_{k-1}) )         `GatedLayer`
    o = 1 - e_k theta_k c_{k-1} / (|z - x_{k-1}| + 0.1)
    x_k = o z + (1 - o) x_{k-1}

c_k is 0 where layer k selected an entry and 1 elsewhere; all ones before the first. The first gate makes up for what
shrinkage took, the second lengthens or shortens the step. a_k and e_k start at 5 and d_k, a number an entry, at 1. With
a_k = e_k = 0 this is LISTA-CPSS.

Differs from Open-L2O's code, as the first authors' paper does: the first gate has theta_{k-1} as a factor, where the
code hands it 1. With 1, small entries start six times as large; at 50 x 100 the network starts with an error ten times
that of zero, and training in this project's small budget never came below it. The selected number of entries is
rounded. Departures of the training: see `_unroll`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import NonNegative, Presets, Search, method
from methods.l2o._thresholds import selected, shrink
from methods.l2o._unroll import Selecting, State, UnrolledNetwork
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances

Gain = Literal["relu", "inverse", "exponential", "sigmoid", "none"]

GAINS: Mapping[Gain, Callable[[Tensor], Tensor]] = {
    "relu": lambda scaled: (1 - scaled.relu()).relu(),
    "inverse": lambda scaled: 0.2 / (0.001 + scaled.abs()),
    "exponential": lambda scaled: (-scaled).exp(),
    "sigmoid": lambda scaled: (-scaled).sigmoid(),
    "none": torch.zeros_like,
}
"""Of d |x|: large where an entry is small. The constants are the authors'."""

SOFTENING = 0.1
"""Keeps the second gate finite where an entry does not move."""


class Unselected(nn.Module):
    """Starts with x at zero and no entry selected."""

    def __init__(self, theta: Float[Tensor, ""]) -> None:
        super().__init__()
        self.theta = nn.Buffer(theta.clone())

    def forward(self, instances: Instances) -> State:
        return instances.start, torch.ones_like(instances.start), self


class GatedLayer(nn.Module):
    def __init__(
        self, matrix: Float[Tensor, "m n"], theta: Float[Tensor, ""], percent: float, gain: Gain, gates: float
    ) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix.clone())
        self.theta = nn.Parameter(theta.clone())
        self.amplification = nn.Parameter(torch.full_like(theta, gates))
        self.overshoot = nn.Parameter(torch.full_like(theta, gates))
        self.sharpness = nn.Parameter(matrix.new_ones(matrix.shape[1]))
        self.percent = percent
        self.gain = gain

    def forward(
        self,
        instances: Instances,
        x: Float[Tensor, "b n"],
        unselected: Float[Tensor, "b n"],
        before: "GatedLayer | Unselected",
    ) -> State:
        amplified = x * (1 + self.amplification * before.theta * GAINS[self.gain](self.sharpness * x.abs()))
        forward = amplified + instances.residual(amplified) @ self.matrix
        passing = selected(forward, self.theta, self.percent)
        move = shrink(forward, self.theta, passing) - x
        stride = 1 - self.overshoot * self.theta * unselected / (move.abs() + SOFTENING)
        return x + stride * move, torch.ones_like(x) if passing is None else (~passing).to(x), self


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class GLISTA(Selecting):
    """Gated learned ISTA: LISTA-CPSS with a gain before each step and an overshoot after it."""

    gain: Literal["relu", "inverse", "exponential", "sigmoid", "none"] = "relu"
    """How the first gate depends on an entry's magnitude."""
    gates: NonNegative = 5.0
    """Where the factors of both gates start."""

    presets: ClassVar[Presets] = {
        "smoke": {"layers": 4, "stage_steps": (10, 10, 10)},
        "small": {"stage_steps": (50, 100, 50), "lrs": (1e-2, 5e-3, 5e-4)},
        "gpu": {"stage_steps": (400, 800, 200)},
    }
    search: ClassVar[Search] = {
        "gates": "[0.5, 1.0, 2.0, 5.0]",
        "lrs": "[[1e-3, 5e-4, 1e-4], [2e-3, 1e-3, 2e-4], [5e-3, 2e-3, 5e-4]]",
    }

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        matrix, theta = self.start(problem.dictionary)
        layers = [GatedLayer(matrix, theta, percent, self.gain, self.gates) for percent in self.percents]
        return UnrolledNetwork(layers, Unselected(theta))
