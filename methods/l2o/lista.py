"""LISTA: ISTA cut off after a few iterations, with its matrices and thresholds learnt.

Gregor and LeCun, ICML 2010; as in Open-L2O (Chen et al., JMLR 2022), figures 5 and 6.

    x_1 = S_theta_1( B b )                     `First`
    x_k = S_theta_k( B b + W_k x_{k-1} )       `Recurrence`, after `Encoder` has computed B b

B is shared by all layers. At the start this is ISTA: B = A^T / L, W_k = I - A^T A / L, theta_k = weight / L.
Departures of the training: see `_unroll`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import method
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import State, UnrolledNetwork, Unrolling
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances, lipschitz


class Encoder(nn.Module):
    """B, which all layers share."""

    def __init__(self, dictionary: Float[Tensor, "m n"]) -> None:
        super().__init__()
        self.matrix = nn.Parameter(dictionary.T / lipschitz(dictionary))

    def forward(self, instances: Instances) -> State:
        """The start, and B b."""
        return instances.start, instances.measurements @ self.matrix.T


class First(nn.Module):
    """The first layer: since x is zero before it, it has no W."""

    def __init__(self, theta: Float[Tensor, ""]) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta)

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], encoded: Float[Tensor, "b n"]) -> State:  # noqa: ARG002
        return soft_threshold(encoded, self.theta), encoded


class Recurrence(nn.Module):
    def __init__(self, dictionary: Float[Tensor, "m n"], weight: float) -> None:
        super().__init__()
        scale = lipschitz(dictionary)
        identity = torch.eye(dictionary.shape[1]).to(dictionary)
        self.matrix = nn.Parameter(identity - dictionary.T @ dictionary / scale)
        self.theta = nn.Parameter(dictionary.new_tensor(weight / scale))

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], encoded: Float[Tensor, "b n"]) -> State:  # noqa: ARG002
        return soft_threshold(encoded + x @ self.matrix.T, self.theta), encoded


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LISTA(Unrolling):
    """Learned ISTA: its matrices and thresholds are free in every layer, B is shared."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        dictionary = problem.dictionary
        later = [Recurrence(dictionary, self.weight) for _ in range(self.layers - 1)]
        first = First(dictionary.new_tensor(self.weight / lipschitz(dictionary)))
        return UnrolledNetwork([first, *later], Encoder(dictionary))
