"""ALISTA: LISTA-CPSS whose matrix is computed from the dictionary, so that two numbers a layer are left to learn.

Liu, Chen, Wang and Yin, ICLR 2019; as in Open-L2O (Chen et al., JMLR 2022), figures 5 and 6.

    W = argmin ||W^T A||_F^2, with w_i^T a_i = 1 for each column                    `analytic_matrix`
    x_k = SS_{theta_k, q_k}( x_{k-1} + gamma_k W^T (b - A x_{k-1}) )                `AnalyticLayer`
    q_k = min(selection_rate * k, selection_limit), in percent                      `selection_percents`

Differs from the authors' code: W is solved for in closed form, where they take up to 1,000 projected gradient steps
towards the same matrix. The selected number of entries is rounded. Departures of the training: see `_unroll`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from methods.l2o._thresholds import select_support, selection_percents
from methods.l2o._unroll import take, train
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances, lipschitz


def analytic_matrix(dictionary: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """w_i = G a_i / (a_i^T G a_i) with G = (A A^T)^{-1}: the least coherent with A, computed in float64."""
    columns = dictionary.double()
    whitened = torch.linalg.solve(columns @ columns.T, columns)
    return (whitened / (columns * whitened).sum(dim=0)).to(dictionary)


class AnalyticLayer(nn.Module):
    def __init__(self, theta: Float[Tensor, ""], percent: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones_like(theta))
        self.theta = nn.Parameter(theta.clone())
        self.percent = percent

    def forward(self, x: Float[Tensor, "b n"], correlation: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return select_support(x + self.gamma * correlation, self.theta, self.percent)


class ALISTANetwork(nn.Module):
    def __init__(self, dictionary: Float[Tensor, "m n"], weight: float, percents: Sequence[float]) -> None:
        super().__init__()
        self.matrix = nn.Buffer(analytic_matrix(dictionary))
        theta = dictionary.new_tensor(weight / lipschitz(dictionary))
        self.layers = nn.ModuleList(AnalyticLayer(theta, percent) for percent in percents)

    def iterates(self, instances: Instances) -> Iterator[Float[Tensor, "b n"]]:
        x = instances.start
        for layer in self.layers:
            x = layer(x, instances.residual(x) @ self.matrix)
            yield x

    def forward(self, instances: Instances, steps: int) -> Float[Tensor, "k b n"]:
        return take(self.iterates(instances), steps)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class ALISTA:
    """Analytic LISTA: the matrix is computed from the dictionary, two numbers a layer are learnt."""

    layers: Count = 16
    weight: Positive = 0.4
    """Thresholds start at `weight` over the largest eigenvalue of A^T A."""
    selection_rate: NonNegative = 1.2
    """Percent of the entries that a layer selects, times its number."""
    selection_limit: NonNegative = 13.0
    """The most that a layer selects, in percent."""
    training: Literal["layer-wise", "end-to-end"] = "layer-wise"
    batch: Count = 128
    stage_steps: tuple[Count, Count, Count] = (200_000, 200_000, 200_000)
    """Greatest length of each of a layer's three stages, in steps (LISTA-CPSS); end-to-end times the layers."""
    lrs: tuple[Positive, Positive, Positive] = (5e-4, 1e-4, 1e-5)
    """Adam's step size in each stage."""
    layer_decay: UnitInterval = 1.0
    """Step size of a layer relative to that of the next. The authors' 0.3 has no effect in their code."""
    validate_every: Count = 400
    """Steps between validations: an epoch of the authors' 51,200 pairs."""
    patience: Count = 5
    """Validations without improvement that end a stage."""

    presets: ClassVar[Presets] = {
        "smoke": {"layers": 4, "stage_steps": (10, 10, 10), "lrs": (2e-2, 1e-2, 2e-3)},
        "small": {"stage_steps": (20, 20, 10), "lrs": (2e-2, 1e-2, 2e-3)},
        "gpu": {"stage_steps": (400, 800, 200)},
    }
    search: ClassVar[Search] = {
        "lrs": "[[5e-4, 1e-4, 1e-5], [1e-3, 5e-4, 1e-4], [2e-3, 1e-3, 2e-4], [5e-3, 2e-3, 5e-4], [2e-2, 1e-2, 2e-3]]",
    }

    def build(self, problem: SparseProblem) -> ALISTANetwork:
        percents = selection_percents(self.layers, self.selection_rate, self.selection_limit)
        return ALISTANetwork(problem.dictionary, self.weight, percents)

    def fit(self, problem: SparseProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        train(net, problem, run, self)
        return net
