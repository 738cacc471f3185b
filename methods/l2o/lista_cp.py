"""LISTA-CP: learned ISTA whose two matrices in a layer are coupled, so that one is left.

Chen, Liu, Wang and Yin, NeurIPS 2018; as in Open-L2O (Chen et al., JMLR 2022), figure 5.

    x_k = S_theta_k( x_{k-1} + W_k^T (b - A x_{k-1}) )       `CoupledLayer`

Differs from Open-L2O's code, as the first authors' code does: W_k starts at A / L, which is ISTA, not at A, whose
iteration diverges and which only layer-wise training survives. Departures of the training: see `_unroll`.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from bench import method
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import State, Thresholding, UnrolledNetwork
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances


class CoupledLayer(nn.Module):
    def __init__(self, matrix: nn.Parameter, theta: Float[Tensor, ""]) -> None:
        super().__init__()
        self.matrix = matrix
        self.theta = nn.Parameter(theta.clone())

    def forward(self, instances: Instances, x: Float[Tensor, "b n"]) -> State:
        return (soft_threshold(x + instances.residual(x) @ self.matrix, self.theta),)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LISTACP(Thresholding):
    """Learned ISTA with coupled weights: one matrix and one threshold a layer."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        matrix, theta = self.start(problem.dictionary)
        return UnrolledNetwork(CoupledLayer(nn.Parameter(matrix.clone()), theta) for _ in range(self.layers))
