"""Initial weights, drawn from a generator.

    Kaiming normal (He and others, ICCV 2015)   convolutions and linear layers, by the fan that is named; biases zero
    default                                     as torch makes its layers

Batch norms start at scale one and shift zero in both.
"""

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import init

Init = Literal["kaiming", "default"]
Fan = Literal["fan_in", "fan_out"]


def initialise(net: nn.Module, scheme: Init, fan: Fan, generator: torch.Generator) -> None:
    """Draws all weights of a network anew, wherever it lies; `fan` is of `kaiming` alone."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            # Drawn on the CPU: an accelerator would draw others from the same generator.
            weight = torch.empty(module.weight.shape)
            if scheme == "kaiming":
                init.kaiming_normal_(weight, mode=fan, nonlinearity="relu", generator=generator)
            else:
                init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
            module.weight.data.copy_(weight)
            if module.bias is not None:
                bias = torch.zeros(module.bias.shape)
                if scheme == "default":
                    bound = 1 / math.sqrt(weight[0].numel())
                    init.uniform_(bias, -bound, bound, generator=generator)
                module.bias.data.copy_(bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            init.ones_(module.weight)
            init.zeros_(module.bias)
