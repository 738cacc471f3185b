"""LISTA-CPSS: LISTA-CP whose largest entries pass a layer without being shrunk.

Chen, Liu, Wang and Yin, NeurIPS 2018; as in Open-L2O (Chen et al., JMLR 2022), figure 5.

    x_k = SS_{theta_k, q_k}( x_{k-1} + W_k^T (b - A x_{k-1}) )       `SelectingLayer`
    q_k = min(selection_rate * k, selection_limit), in percent       `Selecting.percents`

Differs from Open-L2O's code, as the first authors' code does: W_k starts at A / L, which is ISTA, not at A, whose
iteration diverges and which only layer-wise training survives. The selected number of entries is rounded. Departures of
the training: see `_unroll`.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from bench import method
from methods.l2o._thresholds import select_support
from methods.l2o._unroll import Selecting, State, UnrolledNetwork
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances


class SelectingLayer(nn.Module):
    def __init__(self, matrix: Float[Tensor, "m n"], theta: Float[Tensor, ""], percent: float) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix.clone())
        self.theta = nn.Parameter(theta.clone())
        self.percent = percent

    def forward(self, instances: Instances, x: Float[Tensor, "b n"]) -> State:
        return (select_support(x + instances.residual(x) @ self.matrix, self.theta, self.percent),)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LISTACPSS(Selecting):
    """Learned ISTA with coupled weights and support selection: the largest entries pass without being shrunk."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        matrix, theta = self.start(problem.dictionary)
        return UnrolledNetwork(SelectingLayer(matrix, theta, percent) for percent in self.percents)
