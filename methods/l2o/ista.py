"""ISTA: a gradient step on the data term, then a soft threshold.

Daubechies, Defrise and De Mol, 2004; Beck and Teboulle, 2009. As a baseline of Open-L2O, figure 6.

    x <- S_{weight * step}( x + step A^T (b - A x) )

Differs from the benchmark: the step is 1 / ||A||_2^2 unless asked otherwise, since the figures' 1 / ||A||_F^2 makes the
baseline about ten times slower; where the signal is scored, the weight is chosen on validation samples, for the number
of iterations that is scored.
"""

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


class ISTASolver(nn.Module):
    def __init__(self, step: float, weight: float) -> None:
        super().__init__()
        self.step = nn.Buffer(torch.tensor(step, dtype=torch.float64))
        self.weight = nn.Buffer(torch.tensor(weight, dtype=torch.float64))

    def iterates(self, instances: Instances) -> Iterator[Float[Tensor, "b n"]]:
        x = instances.start
        while True:
            forward = x + self.step * instances.residual(x) @ instances.dictionary
            x = soft_threshold(forward, self.step * self.weight)
            yield x

    def forward(self, instances: Instances, steps: int) -> Float[Tensor, "k b n"]:
        return take(self.iterates(instances), steps)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class ISTA:
    """Iterative soft thresholding: a gradient step on the data term, then a soft threshold."""

    step_rule: Literal["spectral", "frobenius"] = "spectral"
    """The step: 1 / ||A||_2^2, or 1 / ||A||_F^2 as in the figures of Open-L2O."""
    weights: tuple[Positive, ...] = (0.8, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002)
    """Candidates for the weight of the l1 norm where the signal is scored; the objective's own is used elsewhere."""

    presets: ClassVar[Presets] = {}

    def build(self, problem: SparseProblem) -> ISTASolver:
        return ISTASolver(step_size(problem.dictionary, self.step_rule), problem.weight)

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        sparse = of_the_lasso_family(problem)
        step = step_size(sparse.dictionary, self.step_rule)
        return tune_weight(partial(ISTASolver, step), self.weights, sparse, run)
