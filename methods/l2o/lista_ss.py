"""LISTA-SS: LISTA whose largest entries pass a layer without being shrunk.

Chen, Liu, Wang and Yin, NeurIPS 2018; the other half of what LISTA-CPSS combines.

    x_1 = SS_{theta_1, q_1}( B b )                                 `SelectingFirst`
    x_k = SS_{theta_k, q_k}( B b + W_k x_{k-1} )                   `SelectingRecurrence`
    q_k = min(selection_rate * k, selection_limit), in percent     `Selecting.percents`

B is shared by all layers. At the start, without selection, this is ISTA. The selected number of entries is rounded.
Departures of the training: see `_unroll`.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from bench import method
from methods.l2o._thresholds import select_support
from methods.l2o._unroll import Selecting, State, UnrolledNetwork
from methods.l2o.lista import Encoder, recurrent_matrix
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances


class SelectingFirst(nn.Module):
    """The first layer: since x is zero before it, it has no W."""

    def __init__(self, theta: Float[Tensor, ""], percent: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta.clone())
        self.percent = percent

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], encoded: Float[Tensor, "b n"]) -> State:  # noqa: ARG002
        return select_support(encoded, self.theta, self.percent), encoded


class SelectingRecurrence(nn.Module):
    def __init__(self, matrix: Float[Tensor, "n n"], theta: Float[Tensor, ""], percent: float) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix.clone())
        self.theta = nn.Parameter(theta.clone())
        self.percent = percent

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], encoded: Float[Tensor, "b n"]) -> State:  # noqa: ARG002
        return select_support(encoded + x @ self.matrix.T, self.theta, self.percent), encoded


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LISTASS(Selecting):
    """Learned ISTA with support selection: the largest entries pass without being shrunk."""

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        dictionary = problem.dictionary
        _, theta = self.start(dictionary)
        matrix = recurrent_matrix(dictionary)
        first, *later = self.percents
        layers = [SelectingRecurrence(matrix, theta, percent) for percent in later]
        return UnrolledNetwork([SelectingFirst(theta, first), *layers], Encoder(dictionary))
