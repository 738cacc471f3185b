"""SynFlow as a score of architectures: how much flows through a network on paths of weights, without data.

Tanaka, Kunin, Yamins and Ganguli, "Pruning Neural Networks without Any Data by Iteratively Conserving Synaptic Flow",
NeurIPS 2020, section 5: R is the sum of the outputs for an image of ones with all weights made positive, and a
weight's flow is dR/dw * w. Added up over all weights it scores a network: Abdelfattah and others, "Zero-Cost Proxies
for Lightweight NAS", ICLR 2021, Eq. 1. As in the latter's code batch norm is left out: it would undo the scale of what
it is given.

c channels, h w pixels
"""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Run, method
from methods.nas._scoring import NetworkScore, kernels
from tasks.nas import Found, NASProblem


def without_norms(net: nn.Module) -> nn.Module:
    """A copy of a network in which batch norms do nothing."""
    plain = copy.deepcopy(net)
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return plain


def synflow(net: nn.Module, ones: Float[Tensor, "1 c h w"]) -> float:
    """The sum over weights of dR/d|w| * |w|; in double precision, since a deep network's flow is large."""
    plain = without_norms(net).double()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.abs_()
    weights = kernels(plain)
    gradients = torch.autograd.grad(plain(ones.double()).sum(), weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    return sum((weight * gradient).sum().item() for weight, gradient in pairs if gradient is not None)


@method("nas", paper="zero-cost")
@dataclass(frozen=True)
class SynFlow(NetworkScore):
    """Scores an architecture by the synaptic flow through its network; looks at no image."""

    def fit(self, problem: NASProblem, run: Run) -> Found:
        return self.score_all(problem, run, 1, lambda net, images, *_: synflow(net, torch.ones_like(images[:1])))
