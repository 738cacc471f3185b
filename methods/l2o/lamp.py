"""LAMP: AMP cut off after a few iterations, with its matrices and thresholds learnt.

Borgerding, Schniter and Rangan, IEEE Transactions on Signal Processing, 2017; as in Open-L2O (Chen et al., JMLR 2022),
figure 5.

    v_k = b - A x_{k-1} + (||x_{k-1}||_0 / m) v_{k-1}                                    `amp.corrected_residual`
    x_k = S_{lambda_k ||v_k|| / sqrt(m)}( x_{k-1} + W_k^T v_k ),  x_0 = 0,  v_0 = 0      `LAMPLayer`

W_k starts at A / L and lambda_k at `threshold`; a threshold below zero counts as zero. With W_k = A and
lambda_k = alpha this is AMP. The number of entries that are not zero has no gradient.

What to watch: where thresholds are learnt down to nearly nothing, as a small weight in the Lasso's objective asks for,
most entries are not zero, the factor before v_{k-1} comes to n / m, and residuals grow from layer to layer: the network
ends far above AMP on `lasso-25x50`.
Departures of the training: see `_unroll`.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from bench import Positive, Presets, method
from methods.l2o._thresholds import soft_threshold
from methods.l2o._unroll import State, UnrolledNetwork, Unrolling
from methods.l2o.amp import corrected_residual, deviation
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances, lipschitz


class NoResidual(nn.Module):
    """Starts with x and v at zero."""

    def forward(self, instances: Instances) -> State:
        return instances.start, instances.measurements.new_zeros(instances.measurements.shape)


class LAMPLayer(nn.Module):
    def __init__(self, matrix: Float[Tensor, "m n"], threshold: float) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix.clone())
        self.threshold = nn.Parameter(matrix.new_tensor(threshold))

    def forward(self, instances: Instances, x: Float[Tensor, "b n"], last: Float[Tensor, "b m"]) -> State:
        residual = corrected_residual(instances, x, last)
        theta = self.threshold.clamp(min=0) * deviation(residual)
        return soft_threshold(x + residual @ self.matrix, theta), residual


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class LAMP(Unrolling):
    """Learned AMP: one matrix and one threshold a layer."""

    threshold: Positive = 0.4
    """Where lambda_k starts: deviations of the estimated error."""

    presets: ClassVar[Presets] = {
        "smoke": {"layers": 4, "stage_steps": (10, 10, 10)},
        "small": {"stage_steps": (100, 200, 100), "lrs": (5e-3, 2e-3, 2e-4)},
        "gpu": {"stage_steps": (400, 800, 200)},
    }

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        matrix = problem.dictionary / lipschitz(problem.dictionary)
        return UnrolledNetwork((LAMPLayer(matrix, self.threshold) for _ in range(self.layers)), NoResidual())
