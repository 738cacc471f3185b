"""Zen-score: how much a network's features change with its input, with the scales that batch norm hides.

Lin and others, "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition", ICCV 2021, Algorithm 1: the log of
the mean norm of f(x + alpha e) - f(x), f the last features before the global average, plus for every batch norm the log
of the root mean of its channels' variances; weights, x and e standard normal.

Differs: the paper removes residual links; a cell is made of nothing else, so all stay. A batch norm counts wherever it
stands, on parallel edges too.

n images, c channels, h w pixels
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, Positive, Presets, Run, method
from methods.nas._scoring import NetworkScore
from tasks.nas import Found, NASProblem


def gaussian(net: nn.Module, generator: torch.Generator) -> None:
    """All weights of convolutions and linear layers standard normal, biases zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data.copy_(torch.randn(module.weight.shape, generator=generator))
            if module.bias is not None:
                module.bias.data.zero_()


def features_and_scales(net: nn.Module, images: Float[Tensor, "n c h w"]) -> tuple[Tensor, float]:
    """The last maps of a network, and the sum over batch norms of the log of their root mean variance."""
    last = images
    logs: list[float] = []

    def see(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal last
        if output.ndim == 4:
            last = output
        if isinstance(module, nn.BatchNorm2d):
            variance = given[0].var(dim=(0, 2, 3), correction=0).mean().item()
            logs.append(0.5 * math.log(variance) if variance > 0 else -math.inf)

    hooks = [module.register_forward_hook(see) for module in net.modules() if not list(module.children())]
    try:
        with torch.no_grad():
            net.train()
            net(images)
    finally:
        for hook in hooks:
            hook.remove()
    return last, math.fsum(logs)


def zen(net: nn.Module, images: Float[Tensor, "n c h w"], noise: Float[Tensor, "n c h w"], alpha: float) -> float:
    """The log of E ||f(x + alpha e) - f(x)|| + sum of log sigma; minus infinity where nothing changes."""
    here, logs = features_and_scales(net, images)
    there, _ = features_and_scales(net, images + alpha * noise)
    change = (there - here).flatten(1).norm(dim=1).mean().item()
    return math.log(change) + logs if change > 0 else -math.inf


@method("nas", paper="zen-nas")
@dataclass(frozen=True)
class Zen(NetworkScore):
    """Scores an architecture by the Zen-score of its network; looks at no image."""

    batch: Count = 16
    draws: Count = 32
    """Of weights and inputs, over which the score is averaged."""
    alpha: Positive = 0.01

    presets: ClassVar[Presets] = {
        "smoke": {"width": 0.25, "depth": 0.2, "batch": 4, "draws": 1},
        "small": {"width": 0.5, "depth": 0.2, "draws": 4},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        def score(net: nn.Module, images: Tensor, _: Tensor, generator: torch.Generator) -> float:
            total = 0.0
            for _draw in range(self.draws):
                gaussian(net, generator)
                shape = (self.batch, *images.shape[1:])
                drawn, noise = (torch.randn(shape, generator=generator).to(images.device) for _part in range(2))
                total += zen(net, drawn, noise, self.alpha)
            return total / self.draws

        return self.score_all(problem, run, 1, score)
