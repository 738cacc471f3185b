"""LISTA-CP with one matrix for all layers: x_k = S_theta_k( x_{k-1} + W^T (b - A x_{k-1}) )."""

from dataclasses import dataclass

from torch import nn

from bench import method
from methods.l2o._unroll import Thresholding, UnrolledNetwork
from methods.l2o.lista_cp import CoupledLayer
from tasks.l2o import SparseProblem


@method("l2o")
@dataclass(frozen=True)
class LISTACPTied(Thresholding):
    """Learned ISTA with one matrix for all layers, and a threshold in each."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        start, theta = self.start(problem.dictionary)
        matrix = nn.Parameter(start)
        return UnrolledNetwork(CoupledLayer(matrix, theta) for _ in range(self.layers))
