"""LFISTA: FISTA cut off after a few iterations, with its matrices and thresholds learnt.

Open-L2O (Chen et al., JMLR 2022), figure 5; an unrolling of Moreau and Bruna, ICLR 2017.

    x_1 = S_theta_1( B b )                                  `First`
    x_k = S_theta_k( B b + W_k x_{k-1} + M_k x_{k-2} )      `Momentum`, after `lista.Encoder` has computed B b

B is shared by all layers. At the start this is FISTA: B = A^T / L, W_k = (1 + m_k) W, M_k = -m_k W with
W = I - A^T A / L, theta_k = weight / L, and m_k the momentum of iteration k, 0 at first (`momenta`).

Differs from the authors' code: its layers start with the momentum of the next iteration, so that layer 2 has 0.28 and
the network is not FISTA; `shifted` starts so too. Departures of the training: see `_unroll`.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from bench import method
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import State, Thresholding, UnrolledNetwork
from methods.l2o.lista import Encoder, recurrent_matrix
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances


def momenta(count: int) -> list[float]:
    """m_k = (t_{k-1} - 1) / t_k of iterations 1 to `count`; t_k = (1 + sqrt(1 + 4 t_{k-1}^2)) / 2, t_1 = 1, m_1 = 0."""
    found, age = [0.0], 1.0
    for _ in range(count - 1):
        next_age = (1 + math.sqrt(1 + 4 * age**2)) / 2
        found.append((age - 1) / next_age)
        age = next_age
    return found


class First(nn.Module):
    """The first layer: since x is zero before it, it has no matrices."""

    def __init__(self, theta: Float[Tensor, ""]) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta.clone())

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], encoded: Float[Tensor, "b n"]) -> State:  # noqa: ARG002
        return soft_threshold(encoded, self.theta), encoded, x


class Momentum(nn.Module):
    def __init__(self, matrix: Float[Tensor, "n n"], momentum: float, theta: Float[Tensor, ""]) -> None:
        super().__init__()
        self.matrix = nn.Parameter((1 + momentum) * matrix)
        self.momentum = nn.Parameter(-momentum * matrix)
        self.theta = nn.Parameter(theta.clone())

    def forward(
        self,
        instances: Instances,  # noqa: ARG002
        x: Float[Tensor, "b n"],
        encoded: Float[Tensor, "b n"],
        last: Float[Tensor, "b n"],
    ) -> State:
        moved = encoded + x @ self.matrix.T + last @ self.momentum.T
        return soft_threshold(moved, self.theta), encoded, x


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LFISTA(Thresholding):
    """Learned FISTA: in every layer a matrix for the last iterate, one for that before, and a threshold."""

    shifted: bool = False
    """Layers start with the momentum of the next iteration, as in the authors' code."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        dictionary = problem.dictionary
        matrix = recurrent_matrix(dictionary)
        _, theta = self.start(dictionary)
        later = momenta(self.layers + 1)[2:] if self.shifted else momenta(self.layers)[1:]
        layers = [Momentum(matrix, momentum, theta) for momentum in later]
        return UnrolledNetwork([First(theta), *layers], Encoder(dictionary))
