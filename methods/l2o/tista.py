"""TISTA: a step, then the mean of each entry's posterior, which knows how sparse signals are and how wrong the step is.

Ito, Takabe and Wadayama, IEEE Transactions on Signal Processing, 2019; in Open-L2O's code (Chen et al., JMLR 2022).

    r = x_{k-1} + gamma_k W_k^T (b - A x_{k-1})                                          `TISTALayer`
    v2 = max( (||b - A x_{k-1}||^2 - m sigma^2) / tr(A^T A), 1e-9 ), error of an entry of x_{k-1}
    tau2 = v2 (n + (gamma_k^2 - 2 gamma_k) m) / n + gamma_k^2 tr(P P^T) sigma^2 / n, of r; P = pinv(A)
    x_k = E[ x | r ] for x zero or, with probability p_k, N(0, alpha2_k), and r - x from N(0, tau2)  `posterior_mean`

sigma^2, the variance of the noise, is what the authors hand to their network. Here it is a share of the energy of each
instance's own measurements, since a signal-to-noise ratio is what these problems fix; the share is read off training
samples, whose signals are known (`noise_share`).

Differs from Open-L2O's code, as the first authors' does: W_k^T starts at P, for which tau2 is derived, not at A^T,
whose error is several times as large. p and alpha2 are learnt as logit and logarithm, since they mean nothing outside
(0, 1) and below zero. Departures of the training: see `_unroll`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Fraction, Positive, Presets, method
from methods.l2o._unroll import State, UnrolledNetwork, Unrolling
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import Instances

LEAST_ERROR = 1e-9


def posterior_mean(
    r: Float[Tensor, "b n"], error: Float[Tensor, "b 1"], logit: Float[Tensor, ""], variance: Float[Tensor, ""]
) -> Float[Tensor, "b n"]:
    """E[x | r]: x is N(0, variance) where it is not zero, r is x with noise of variance `error`.

    `logit` is that of the probability that x is not zero.
    """
    total = variance + error
    evidence = logit + 0.5 * (error / total).log() + 0.5 * r.square() * (1 / error - 1 / total)
    return r * (variance / total) * evidence.sigmoid()


def noise_share(problem: SparseProblem) -> float:
    """What part of an instance's energy no linear map of the signals explains, on average over training samples."""
    signals = problem.validation.signals.shape[1]
    samples = problem.draw(4 * signals, seed=0)
    # Noise grows with the measurements; relative to them it is the same everywhere, as least squares need it.
    energy = samples.instances.measurements.double().norm(dim=-1, keepdim=True)
    heard = energy[:, 0] > 0
    known, measured = (
        rows.double()[heard] / energy[heard] for rows in (samples.signals, samples.instances.measurements)
    )
    unexplained = measured - known @ torch.linalg.lstsq(known, measured).solution
    # Each signal's entry explains the noise of one sample by chance.
    return unexplained.square().sum().item() / (len(measured) - signals)


class TISTALayer(nn.Module):
    def __init__(self, dictionary: Float[Tensor, "m n"], share: float, probability: float, variance: float) -> None:
        super().__init__()
        inverse = torch.linalg.pinv(dictionary.double())
        self.matrix = nn.Parameter(inverse.T.to(dictionary).contiguous())
        self.gamma = nn.Parameter(dictionary.new_tensor(1.0))
        self.logit = nn.Parameter(dictionary.new_tensor(math.log(probability / (1 - probability))))
        self.log_variance = nn.Parameter(dictionary.new_tensor(math.log(variance)))
        self.share = share
        self.energy = dictionary.double().square().sum().item()
        self.inverse_energy = inverse.square().sum().item()

    def forward(self, instances: Instances, x: Float[Tensor, "b n"]) -> State:
        residual = instances.residual(x)
        step = x + self.gamma * (residual @ self.matrix)
        error = self.error(residual, instances.measurements, x.shape[1])
        return (posterior_mean(step, error, self.logit, self.log_variance.exp()),)

    def error(
        self, residual: Float[Tensor, "b m"], measurements: Float[Tensor, "b m"], unknowns: int
    ) -> Float[Tensor, "b 1"]:
        """tau2."""
        m = residual.shape[1]
        noise = self.share * measurements.square().mean(dim=-1, keepdim=True)
        before = (residual.square().sum(dim=-1, keepdim=True) - m * noise) / self.energy
        kept = (unknowns + (self.gamma**2 - 2 * self.gamma) * m) / unknowns
        return before.clamp(min=LEAST_ERROR) * kept + self.gamma**2 * self.inverse_energy * noise / unknowns


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class TISTA(Unrolling):
    """Trainable ISTA with the posterior mean for a threshold: a matrix and three numbers a layer."""

    probability: Fraction = 0.1
    """That an entry is not zero, at the start."""
    variance: Positive = 1.0
    """Of an entry that is not zero, at the start."""

    presets: ClassVar[Presets] = {
        "smoke": {"layers": 4, "stage_steps": (10, 10, 10)},
        "small": {"stage_steps": (40, 60, 30), "lrs": (2e-3, 1e-3, 2e-4)},
        "gpu": {"stage_steps": (400, 800, 200)},
    }

    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        share = noise_share(problem)
        return UnrolledNetwork(
            TISTALayer(problem.dictionary, share, self.probability, self.variance) for _ in range(self.layers)
        )
