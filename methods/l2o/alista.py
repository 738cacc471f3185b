"""ALISTA: LISTA-CPSS whose matrix is computed from the dictionary, so that two numbers a layer are left to learn.

Liu, Chen, Wang and Yin, ICLR 2019; as in Open-L2O (Chen et al., JMLR 2022), figures 5 and 6.

    W = argmin ||W^T A||_F^2, with w_i^T a_i = 1 for each column                    `analytic_matrix`
    x_k = SS_{theta_k, q_k}( x_{k-1} + gamma_k W^T (b - A x_{k-1}) )                `ScaledLayer`
    q_k = min(selection_rate * k, selection_limit), in percent                      `Selecting.percents`

Differs from the authors' code: W is solved for in closed form, where they take up to 1,000 projected gradient steps
towards the same matrix. The selected number of entries is rounded. Departures of the training: see `_unroll`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Presets, method
from methods.l2o._thresholds import select_support
from methods.l2o._unroll import Selecting, Shared, State, UnrolledNetwork
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances


def analytic_matrix(dictionary: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """w_i = G a_i / (a_i^T G a_i) with G = (A A^T)^{-1}: the least coherent with A, computed in float64."""
    columns = dictionary.double()
    whitened = torch.linalg.solve(columns @ columns.T, columns)
    return (whitened / (columns * whitened).sum(dim=0)).to(dictionary)


class ScaledLayer(nn.Module):
    """One step along the matrix that all layers share, of learnt length, and a learnt threshold."""

    def __init__(self, theta: Float[Tensor, ""], percent: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones_like(theta))
        self.theta = nn.Parameter(theta.clone())
        self.percent = percent

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], shared: Shared) -> State:
        step = self.gamma * (instances.residual(x) @ shared.matrix)
        return select_support(x + step, self.theta, self.percent), shared


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class ALISTA(Selecting):
    """Analytic LISTA: the matrix is computed from the dictionary, two numbers a layer are learnt."""

    presets: ClassVar[Presets] = {
        "smoke": {"layers": 4, "stage_steps": (10, 10, 10), "lrs": (2e-2, 1e-2, 2e-3)},
        "small": {"stage_steps": (20, 20, 10), "lrs": (2e-2, 1e-2, 2e-3)},
        "gpu": {"stage_steps": (400, 800, 200)},
    }

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        _, theta = self.start(problem.dictionary)
        layers = [ScaledLayer(theta, percent) for percent in self.percents]
        return UnrolledNetwork(layers, Shared(nn.Buffer(analytic_matrix(problem.dictionary))))
