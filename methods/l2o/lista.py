"""LISTA: ISTA cut off after a few iterations, with its matrices and thresholds learnt.

Gregor and LeCun, ICML 2010; as in Open-L2O (Chen et al., JMLR 2022), figures 5 and 6.

    x_1 = S_theta_1( B b )                     `Encoder`
    x_k = S_theta_k( B b + W_k x_{k-1} )       `Recurrence`

B is shared by all layers. At the start this is ISTA: B = A^T / L, W_k = I - A^T A / L, theta_k = weight / L.
Departures of the training: see `_unroll`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, Positive, Presets, Run, Search, UnitInterval, method
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import take, train
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances, lipschitz


class Encoder(nn.Module):
    """The first layer, and the B that all share."""

    def __init__(self, dictionary: Float[Tensor, "m n"], weight: float) -> None:
        super().__init__()
        scale = lipschitz(dictionary)
        self.encoding = nn.Parameter(dictionary.T / scale)
        self.theta = nn.Parameter(dictionary.new_tensor(weight / scale))

    def forward(self, measurements: Float[Tensor, "b m"]) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
        """B b, and the first iterate."""
        encoded = measurements @ self.encoding.T
        return encoded, soft_threshold(encoded, self.theta)


class Recurrence(nn.Module):
    def __init__(self, dictionary: Float[Tensor, "m n"], weight: float) -> None:
        super().__init__()
        scale = lipschitz(dictionary)
        identity = torch.eye(dictionary.shape[1]).to(dictionary)
        self.recurrence = nn.Parameter(identity - dictionary.T @ dictionary / scale)
        self.theta = nn.Parameter(dictionary.new_tensor(weight / scale))

    def forward(self, x: Float[Tensor, "b n"], encoded: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return soft_threshold(encoded + x @ self.recurrence.T, self.theta)


class LISTANetwork(nn.Module):
    def __init__(self, dictionary: Float[Tensor, "m n"], layers: int, weight: float) -> None:
        super().__init__()
        later = [Recurrence(dictionary, weight) for _ in range(layers - 1)]
        self.layers = nn.ModuleList([Encoder(dictionary, weight), *later])

    def iterates(self, instances: Instances) -> Iterator[Float[Tensor, "b n"]]:
        encoder, *later = self.layers
        encoded, x = encoder(instances.measurements)
        yield x
        for layer in later:
            x = layer(x, encoded)
            yield x

    def forward(self, instances: Instances, steps: int) -> Float[Tensor, "k b n"]:
        return take(self.iterates(instances), steps)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LISTA:
    """Learned ISTA: its matrices and thresholds are free in every layer, B is shared."""

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

    def build(self, problem: SparseProblem) -> LISTANetwork:
        return LISTANetwork(problem.dictionary, self.layers, self.weight)

    def fit(self, problem: SparseProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        train(net, problem, run, self)
        return net
