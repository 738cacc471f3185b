"""FISTA: the ISTA step, taken from a point extrapolated along the last move.

Beck and Teboulle, SIAM Journal on Imaging Sciences, 2009. As a baseline of Open-L2O, figure 6.

    x_k = S_{weight * step}( z_k + step A^T (b - A z_k) ),  t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2,
    z_{k+1} = x_k + (t_k - 1) / t_{k+1} (x_k - x_{k-1}),  z_1 = x_0,  t_1 = 1

Differs from the benchmark as ISTA does: the step, and the choice of the weight.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Positive, Presets, Run, method
from methods.l2o._classic import step_size, tune_weight
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import of_the_lasso_family, take
from tasks.l2o import Problem, SparseProblem
from tasks.l2o.lasso import Instances


class FISTASolver(nn.Module):
    def __init__(self, step: float, weight: float) -> None:
        super().__init__()
        self.step = nn.Buffer(torch.tensor(step, dtype=torch.float64))
        self.weight = nn.Buffer(torch.tensor(weight, dtype=torch.float64))

    def iterates(self, instances: Instances) -> Iterator[Float[Tensor, "b n"]]:
        x = ahead = instances.start
        age = 1.0
        while True:
            forward = ahead + self.step * instances.residual(ahead) @ instances.dictionary
            last, x = x, soft_threshold(forward, self.step * self.weight)
            yield x
            next_age = (1 + math.sqrt(1 + 4 * age**2)) / 2
            ahead = x + (age - 1) / next_age * (x - last)
            age = next_age

    def forward(self, instances: Instances, steps: int) -> Float[Tensor, "k b n"]:
        return take(self.iterates(instances), steps)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class FISTA:
    """Iterative soft thresholding with Nesterov's momentum."""

    step_rule: Literal["spectral", "frobenius"] = "spectral"
    """The step: 1 / ||A||_2^2, or 1 / ||A||_F^2 as in the figures of Open-L2O."""
    weights: tuple[Positive, ...] = (0.8, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002)
    """Candidates for the weight of the l1 norm where the signal is scored; the objective's own is used elsewhere."""

    presets: ClassVar[Presets] = {}

    def build(self, problem: SparseProblem) -> FISTASolver:
        return FISTASolver(step_size(problem.dictionary, self.step_rule), problem.weight)

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        sparse = of_the_lasso_family(problem)
        step = step_size(sparse.dictionary, self.step_rule)
        return tune_weight(partial(FISTASolver, step), self.weights, sparse, run)
