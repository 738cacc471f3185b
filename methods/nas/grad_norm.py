"""The norm of the gradient at initialisation.

Abdelfattah, Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, section 3.2: the Euclidean
norm of the gradient of the cross entropy of one batch, added up over layers, as in the authors' code; weights of
convolutions and linear layers alone.

n images, k classes
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench import Count, Presets, Run, method
from methods.nas._scoring import NetworkScore, kernels
from tasks.nas import Found, NASProblem


def grad_norm(logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"], weights: Sequence[Tensor]) -> float:
    """The sum over weights of the norm of the loss's gradient."""
    gradients = torch.autograd.grad(cross_entropy(logits, labels), weights, allow_unused=True)
    return sum(gradient.norm().item() for gradient in gradients if gradient is not None)


@method("nas", paper="zero-cost")
@dataclass(frozen=True)
class GradNorm(NetworkScore):
    """Scores an architecture by the norm of its gradient on one batch."""

    batch: Count = 64
    """Images of a draw."""

    presets: ClassVar[Presets] = {
        "smoke": {"width": 0.25, "depth": 0.2, "batch": 4},
        "small": {"width": 0.5, "depth": 0.2, "batch": 32},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        def score(net: nn.Module, images: Tensor, labels: Tensor, _: torch.Generator) -> float:
            return grad_norm(net(images), labels, kernels(net))

        return self.score_all(problem, run, self.batch, score)
