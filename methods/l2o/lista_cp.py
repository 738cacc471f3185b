"""LISTA-CP: learned ISTA whose two matrices in a layer are coupled, so that one is left.

Chen, Liu, Wang and Yin, NeurIPS 2018; as in Open-L2O (Chen et al., JMLR 2022), figure 5.

    x_k = S_theta_k( x_{k-1} + W_k^T (b - A x_{k-1}) )       `CoupledLayer`

Differs from Open-L2O's code, as the first authors' code does: W_k starts at A / L, which is ISTA, not at A, whose
iteration diverges and which only layer-wise training survives. Departures of the training: see `_unroll`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, Positive, Presets, Run, Search, UnitInterval, method
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import take, train
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances, lipschitz


class CoupledLayer(nn.Module):
    def __init__(self, dictionary: Float[Tensor, "m n"], weight: float) -> None:
        super().__init__()
        scale = lipschitz(dictionary)
        self.matrix = nn.Parameter(dictionary / scale)
        self.theta = nn.Parameter(dictionary.new_tensor(weight / scale))

    def forward(self, x: Float[Tensor, "b n"], instances: Instances) -> Float[Tensor, "b n"]:
        return soft_threshold(x + instances.residual(x) @ self.matrix, self.theta)


class LISTACPNetwork(nn.Module):
    def __init__(self, dictionary: Float[Tensor, "m n"], layers: int, weight: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CoupledLayer(dictionary, weight) for _ in range(layers))

    def iterates(self, instances: Instances) -> Iterator[Float[Tensor, "b n"]]:
        x = instances.start
        for layer in self.layers:
            x = layer(x, instances)
            yield x

    def forward(self, instances: Instances, steps: int) -> Float[Tensor, "k b n"]:
        return take(self.iterates(instances), steps)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LISTACP:
    """Learned ISTA with coupled weights: one matrix and one threshold a layer."""

    layers: Count = 16
    weight: Positive = 0.4
    """Thresholds start at `weight` over the largest eigenvalue of A^T A."""
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
        "smoke": {"layers": 4, "stage_steps": (10, 10, 10)},
        "small": {"stage_steps": (50, 100, 50), "lrs": (2e-3, 1e-3, 2e-4)},
        "gpu": {"stage_steps": (400, 800, 200)},
    }
    search: ClassVar[Search] = {
        "lrs": "[[5e-4, 1e-4, 1e-5], [1e-3, 5e-4, 1e-4], [2e-3, 1e-3, 2e-4], [5e-3, 2e-3, 5e-4], [2e-2, 1e-2, 2e-3]]",
    }

    def build(self, problem: SparseProblem) -> LISTACPNetwork:
        return LISTACPNetwork(problem.dictionary, self.layers, self.weight)

    def fit(self, problem: SparseProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        train(net, problem, run, self)
        return net
