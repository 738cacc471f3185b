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
from methods.l2o._unroll import State, Thresholding, UnrolledNetwork
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances, lipschitz


def recurrent_matrix(dictionary: Float[Tensor, "m n"]) -> Float[Tensor, "n n"]:
    """I - A^T A / L, what a gradient step on the data term does to x."""
    identity = torch.eye(dictionary.shape[1]).to(dictionary)
    return identity - dictionary.T @ dictionary / lipschitz(dictionary)


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
        self.theta = nn.Parameter(theta.clone())

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], encoded: Float[Tensor, "b n"]) -> State:  # noqa: ARG002
        return soft_threshold(encoded, self.theta), encoded


class Recurrence(nn.Module):
    def __init__(self, matrix: Float[Tensor, "n n"], theta: Float[Tensor, ""]) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix.clone())
        self.theta = nn.Parameter(theta.clone())

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], encoded: Float[Tensor, "b n"]) -> State:  # noqa: ARG002
        return soft_threshold(encoded + x @ self.matrix.T, self.theta), encoded


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LISTA(Thresholding):
    """Learned ISTA: its matrices and thresholds are free in every layer, B is shared."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        dictionary = problem.dictionary
        _, theta = self.start(dictionary)
        matrix = recurrent_matrix(dictionary)
        later = [Recurrence(matrix, theta) for _ in range(self.layers - 1)]
        return UnrolledNetwork([First(theta), *later], Encoder(dictionary))
