"""TiLISTA: LISTA-CPSS with one matrix for all layers, whose step has a learnt length in each.

Liu, Chen, Wang and Yin, ICLR 2019, where ALISTA goes on to compute the matrix. Open-L2O's code does not have it.

    x_k = SS_{theta_k, q_k}( x_{k-1} + gamma_k W^T (b - A x_{k-1}) )       `alista.ScaledLayer`
    q_k = min(selection_rate * k, selection_limit), in percent             `Selecting.percents`

W starts at A / L and gamma_k at 1, which is ISTA without selection. It is learnt with the first layer, and later with
all. The selected number of entries is rounded. Departures of the training: see `_unroll`.
"""

from dataclasses import dataclass

from torch import nn

from bench import method
from methods.l2o._unroll import Selecting, Shared, UnrolledNetwork
from methods.l2o.alista import ScaledLayer
from tasks.l2o import SparseProblem


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class TiLISTA(Selecting):
    """Learned ISTA with one matrix for all layers, and two numbers in each."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        matrix, theta = self.start(problem.dictionary)
        layers = [ScaledLayer(theta, percent) for percent in self.percents]
        return UnrolledNetwork(layers, Shared(nn.Parameter(matrix)))
