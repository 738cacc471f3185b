"""Jacobian covariance: networks that react to each image in a way of its own.

Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", first version, 2020 (arXiv
2006.04647v1), Eqs. 2 to 4: the score of the eigenvalues of the correlations between images of the outputs' derivatives
by the input.

n images, f entries of an image, c channels, h w pixels
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, Presets, Run, method
from methods.nas._scoring import NetworkScore
from tasks.nas import Found, NASProblem

SMALL = 1e-5
"""k of Eq. 4."""


def jacobian_score(jacobian: Float[Tensor, "n f"]) -> float:
    """-sum of log(v + k) + 1 / (v + k), v the eigenvalues of the rows' correlations."""
    if not (jacobian.isfinite().all() and (jacobian.std(dim=1) > 0).all()):
        return float("nan")
    values = torch.linalg.eigvalsh(torch.corrcoef(jacobian.double()).cpu()) + SMALL
    return -(values.log() + 1 / values).sum().item()


def jacobian(net: nn.Module, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
    """The derivative of the sum of all outputs by each image."""
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(images).sum(), images, allow_unused=True)
    return torch.zeros_like(images).flatten(1) if gradient is None else gradient.flatten(1)


@method("nas", paper="naswot")
@dataclass(frozen=True)
class JacobianCovariance(NetworkScore):
    """Scores an architecture by how little its outputs' derivatives by different images correlate."""

    batch: Count = 256
    """Images of a draw."""

    presets: ClassVar[Presets] = {
        "smoke": {"width": 0.25, "depth": 0.2, "batch": 4},
        "small": {"width": 0.5, "depth": 0.2, "batch": 32},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        return self.score_all(problem, run, self.batch, lambda net, images, *_: jacobian_score(jacobian(net, images)))
