"""SNIP as a score of architectures: how much the loss hangs on single weights.

Lee, Ajanthan and Torr, "SNIP: Single-shot Network Pruning Based on Connection Sensitivity", ICLR 2019, section 4:
|dL/dw * w|, here without its normalisation. Added up over all weights it scores a network: Abdelfattah and others,
"Zero-Cost Proxies for Lightweight NAS", ICLR 2021, Eq. 1.

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


def snip(logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"], weights: Sequence[Tensor]) -> float:
    """The sum of |dL/dw * w|, L the cross entropy."""
    gradients = torch.autograd.grad(cross_entropy(logits, labels), weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    return sum((weight * gradient).abs().sum().item() for weight, gradient in pairs if gradient is not None)


@method("nas", paper="zero-cost")
@dataclass(frozen=True)
class SNIP(NetworkScore):
    """Scores an architecture by the sum of its connection sensitivities."""

    batch: Count = 64
    """Images of a draw."""

    presets: ClassVar[Presets] = {
        "smoke": {"width": 0.25, "depth": 0.2, "batch": 4},
        "small": {"width": 0.5, "depth": 0.2, "batch": 32},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        def score(net: nn.Module, images: Tensor, labels: Tensor, _: torch.Generator) -> float:
            return snip(net(images), labels, kernels(net))

        return self.score_all(problem, run, self.batch, score)
