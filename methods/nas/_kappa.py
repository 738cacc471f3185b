"""The condition number of a network's neural tangent kernel (NTK) at initialisation: how trainable it is.

Chen, Gong and Wang, "Neural Architecture Search on ImageNet in Four GPU Hours", ICLR 2021, section 3.1. Under gradient
flow the training outputs' mode i decays like exp(-lambda_i t), so that the largest and the smallest eigenvalue of the
kernel tell how differently fast a network learns: kappa = lambda_max / lambda_min, and low is good.

As in the authors' code: batch norm takes the statistics of the batch; the output of an image is the sum of its logits,
without labels; the gradient is by all parameters whose name has `weight` in it, so by no bias.

n images, c channels, h w pixels
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from methods.nas._tape import Tape

SINGULAR = 1e5
"""The condition number where there is none, of the authors' code: of a network that lets nothing through."""

SWEEP = 8
"""Outputs that are taken back at once on a CPU; with 8 to 16 of them what flows back stays near its cache."""


def ntk(net: nn.Module, images: Float[Tensor, "n c h w"], *inputs: Tensor) -> Float[Tensor, "n n"]:
    """The NTK of a batch, in double precision; `inputs` are what else the network is called with.

    The network is left in training mode. It draws nothing at random.
    """
    weights = [parameter for name, parameter in net.named_parameters() if "weight" in name]
    net.train()
    with Tape(weights) as tape:
        logits = net(images, *inputs)
    number = len(images)
    sweep = SWEEP if images.device.type == "cpu" else number
    rows: list[list[Tensor]] = [[] for _ in weights]
    for ones in torch.eye(number, dtype=logits.dtype, device=logits.device).split(sweep):
        # The output of an image is the sum of its logits: the cotangent is one for each of them.
        cotangents = ones[:, :, None].expand(-1, -1, logits.shape[1])
        for gathered, gradient in zip(rows, tape.back(logits, cotangents), strict=True):
            gathered.append(gradient.reshape(len(gradient), -1))
    kernel = torch.zeros(number, number, dtype=torch.float64, device=images.device)
    for gathered in rows:
        gradients = torch.cat(gathered).double()
        kernel += gradients @ gradients.T
    return kernel


def condition_number(kernel: Float[Tensor, "n n"]) -> float:
    """The largest eigenvalue by the smallest; `SINGULAR` if that is no finite number above zero."""
    if not kernel.isfinite().all():
        return SINGULAR
    values = torch.linalg.eigvalsh(kernel.double().cpu())
    low, high = values[0].item(), values[-1].item()
    # In exact arithmetic no eigenvalue is below zero: one that is so here is a zero.
    kappa = high / low if low > 0 else math.inf
    return kappa if math.isfinite(kappa) else SINGULAR


def kappa(net: nn.Module, images: Float[Tensor, "n c h w"], *inputs: Tensor) -> float:
    """The condition number of the network's NTK on a batch."""
    return condition_number(ntk(net, images, *inputs))
