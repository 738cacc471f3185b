"""GraSP as a score of architectures: how the flow of gradients would change if weights went.

Wang, Zhang and Grosse, "Picking Winning Tickets Before Training by Preserving Gradient Flow", ICLR 2020, Eq. 8:
-w * (H g), H the Hessian of the loss and g its gradient. Added up over all weights, with its sign, it scores a network:
Abdelfattah and others, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, Eq. 1.

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


def grasp(logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"], weights: Sequence[Tensor]) -> float:
    """The sum of -w * (H g), L the cross entropy."""
    gradients = torch.autograd.grad(cross_entropy(logits, labels), weights, create_graph=True, allow_unused=True)
    used = [(weight, gradient) for weight, gradient in zip(weights, gradients, strict=True) if gradient is not None]
    # H g is the gradient of g'g / 2, and so of the product of g and its value.
    product = sum(((gradient * gradient.detach()).sum() for _, gradient in used), torch.zeros((), device=logits.device))
    if not product.requires_grad:
        return 0.0
    flows = torch.autograd.grad(product, [weight for weight, _ in used], allow_unused=True)
    return sum(-(w * flow).sum().item() for (w, _), flow in zip(used, flows, strict=True) if flow is not None)


@method("nas", paper="zero-cost")
@dataclass(frozen=True)
class GraSP(NetworkScore):
    """Scores an architecture by what its weights together do for the flow of gradients."""

    batch: Count = 64
    """Images of a draw."""

    presets: ClassVar[Presets] = {
        "smoke": {"width": 0.25, "depth": 0.2, "batch": 4},
        "small": {"width": 0.5, "depth": 0.2, "batch": 32},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        def score(net: nn.Module, images: Tensor, labels: Tensor, _: torch.Generator) -> float:
            return grasp(net(images), labels, kernels(net))

        return self.score_all(problem, run, self.batch, score)
