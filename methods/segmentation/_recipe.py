"""What the training of several networks of this folder has in common, as functions; each keeps its own loop."""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from bench.seeds import derive_seed

Net = TypeVar("Net", bound=nn.Module)


def drawn(make: Callable[[], Net], seed: int, name: str = "network") -> Net:
    """A network whose weights depend on the seed and the name alone.

    Those of convolutions are He's (ICCV 2015), with variance 2 / inputs of an output, and their biases zero.
    """
    # torch's own initialisation, overwritten below, would otherwise move the caller's random state.
    with torch.random.fork_rng(devices=[]):
        net = make()
    generator = torch.Generator().manual_seed(derive_seed(seed, "segmentation", name))
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net


def poly(optimizer: torch.optim.Optimizer, steps: int, power: float) -> LambdaLR:
    """Step sizes of (1 - step / steps) ** power times the first ones."""
    return LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps) ** power)


def decayed(*nets: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters that decay, the weights of convolutions, and those that do not: biases and batch normalisation."""
    parameters = [parameter for net in nets for parameter in net.parameters()]
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim == 1]


def shrunk(labels: Integer[Tensor, "b _ _"], maps: Float[Tensor, "b k h w"]) -> Integer[Tensor, "b h w"]:
    """The label at the upper left corner of each of h x w cells, as nearest-neighbour interpolation has it."""
    rows, columns = (
        torch.arange(cells, device=labels.device) * pixels // cells
        for cells, pixels in zip(maps.shape[2:], labels.shape[1:], strict=True)
    )
    return labels[:, rows[:, None], columns]
