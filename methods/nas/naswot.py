"""NASWOT: networks that tell images apart by their ReLUs at initialisation.

Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", ICML 2021.

    kernel, Eq. 2    `hamming_kernel`: how many of all ReLUs agree on two images
    score, Eq. 3     `naswot`: the log-determinant of the kernel

Where two images have the same pattern there is no logarithm; such a network counts as worst.

n images, u ReLU units, c channels, h w pixels
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bench import Count, Presets, Run, method
from methods.nas._regions import patterns
from methods.nas._scoring import NetworkScore
from tasks.nas import Found, NASProblem


def hamming_kernel(codes: Bool[Tensor, "n u"]) -> Float[Tensor, "n n"]:
    """The number of units that agree, of every two images: all units less the Hamming distance."""
    on = codes.float()  # Counts are exact up to 2^24.
    off = 1 - on
    return (on @ on.T + off @ off.T).double()


def naswot(net: nn.Module, images: Float[Tensor, "n c h w"]) -> float:
    """The log of |det K|; minus infinity where images share a pattern."""
    return torch.linalg.slogdet(hamming_kernel(patterns(net, images)).cpu()).logabsdet.item()


@method("nas", paper="naswot")
@dataclass(frozen=True)
class NASWOT(NetworkScore):
    """Scores an architecture by the log-determinant of how its ReLU patterns agree between images."""

    batch: Count = 128
    """Images of a draw."""

    presets: ClassVar[Presets] = {
        "smoke": {"width": 0.25, "depth": 0.2, "batch": 4},
        "small": {"width": 0.5, "depth": 0.2, "batch": 32},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        return self.score_all(problem, run, self.batch, lambda net, images, *_: naswot(net, images))
