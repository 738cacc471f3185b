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
from methods.l2o._unroll import State, UnrolledNetwork, Unrolling
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances, lipschitz


class CoupledLayer(nn.Module):
    def __init__(self, dictionary: Float[Tensor, "m n"], weight: float) -> None:
        super().__init__()
        scale = lipschitz(dictionary)
        self.matrix = nn.Parameter(dictionary / scale)
        self.theta = nn.Parameter(dictionary.new_tensor(weight / scale))

    def forward(self, instances: Instances, x: Float[Tensor, "b n"]) -> State:
        return (soft_threshold(x + instances.residual(x) @ self.matrix, self.theta),)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LISTACP(Unrolling):
    """Learned ISTA with coupled weights: one matrix and one threshold a layer."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        return UnrolledNetwork(CoupledLayer(problem.dictionary, self.weight) for _ in range(self.layers))
