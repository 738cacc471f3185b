"""Step-LISTA: ISTA whose step sizes are learnt, and nothing else.

Ablin, Moreau, Massias and Gramfort, NeurIPS 2019; in Open-L2O's code (Chen et al., JMLR 2022) for the Lasso.

    x_k = S_{lambda gamma_k}( x_{k-1} + gamma_k A^T (b - A x_{k-1}) )       `StepLayer`

gamma_k starts at 1 / L, which is ISTA. lambda is the objective's own weight where the objective is scored, as in the
paper, and `weight` where the signal is. Threshold and step stay tied, so that every layer keeps the fixed points of
ISTA: it can come faster to its solution, and not to a better one.
Departures of the training: see `_unroll`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Positive, Presets, method
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import State, UnrolledNetwork, Unrolling
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances, lipschitz


class StepLayer(nn.Module):
    def __init__(self, step: Float[Tensor, ""], weight: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(step.clone())
        self.weight = nn.Buffer(torch.full_like(step, weight))

    def forward(self, instances: Instances, x: Float[Tensor, "b n"]) -> State:
        forward = x + self.gamma * (instances.residual(x) @ instances.dictionary)
        return (soft_threshold(forward, self.weight * self.gamma),)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class StepLISTA(Unrolling):
    """ISTA with a learnt step size in each layer."""

    weight: Positive = 0.4
    """Of the l1 norm where the signal is scored; the objective's own is used elsewhere."""

    presets: ClassVar[Presets] = {
        "smoke": {"layers": 4, "stage_steps": (10, 10, 10), "lrs": (5e-2, 2e-2, 5e-3)},
        "small": {"stage_steps": (20, 20, 10), "lrs": (5e-2, 2e-2, 5e-3)},
        "gpu": {"stage_steps": (400, 800, 200)},
    }

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        weight = problem.weight if problem.goal == "objective" else self.weight
        step = problem.dictionary.new_tensor(1 / lipschitz(problem.dictionary))
        return UnrolledNetwork(StepLayer(step, weight) for _ in range(self.layers))
