"""AMP: approximate message passing, ISTA whose residual remembers the last one, so that its error stays Gaussian.

Donoho, Maleki and Montanari, PNAS 2009; the iteration that LAMP unrolls (Borgerding, Schniter and Rangan, 2017).

    v_k = b - A x_{k-1} + (||x_{k-1}||_0 / m) v_{k-1}
    x_k = S_{alpha ||v_k|| / sqrt(m)}( x_{k-1} + A^T v_k ),  x_0 = 0,  v_0 = 0

The term with v_{k-1} is Onsager's; the threshold is `alpha` deviations of what the error is estimated to be. alpha is
chosen on validation samples, for the number of iterations that is scored. 1.1402 is the one that is minimax optimal for
half as many measurements as unknowns.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Positive, Presets, Run, method
from methods.l2o._classic import tune
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import of_the_lasso_family, take
from tasks.l2o import Problem, SparseProblem
from tasks.l2o.lasso import Instances

MINIMAX_ALPHA = 1.1402
"""At half as many measurements as unknowns."""


def corrected_residual(
    instances: Instances, x: Float[Tensor, "b n"], last: Float[Tensor, "b m"]
) -> Float[Tensor, "b m"]:
    """What x leaves, and Onsager's term: the last one, times the entries of x that are not zero over measurements."""
    alive = (x != 0).to(x).sum(dim=-1, keepdim=True) / last.shape[1]
    return instances.residual(x) + alive * last


def deviation(residual: Float[Tensor, "b m"]) -> Float[Tensor, "b 1"]:
    """||v|| / sqrt(m), which estimates the error of an entry of x + A^T v."""
    return residual.norm(dim=-1, keepdim=True) / math.sqrt(residual.shape[1])


class AMPSolver(nn.Module):
    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = nn.Buffer(torch.tensor(alpha, dtype=torch.float64))

    def iterates(self, instances: Instances) -> Iterator[Float[Tensor, "b n"]]:
        x, residual = instances.start, torch.zeros_like(instances.measurements)
        while True:
            residual = corrected_residual(instances, x, residual)
            x = soft_threshold(x + residual @ instances.dictionary, self.alpha * deviation(residual))
            yield x

    def forward(self, instances: Instances, steps: int) -> Float[Tensor, "k b n"]:
        return take(self.iterates(instances), steps)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class AMP:
    """Approximate message passing: iterative soft thresholding with Onsager's term."""

    alphas: tuple[Positive, ...] = (0.7, 0.8, 0.9, 1.0, 1.1402, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
    """Candidates for the threshold, in deviations of the estimated error."""

    presets: ClassVar[Presets] = {}

    def build(self, problem: SparseProblem) -> AMPSolver:  # noqa: ARG002
        return AMPSolver(MINIMAX_ALPHA)

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        return tune(AMPSolver, self.alphas, "alpha", of_the_lasso_family(problem), run)
