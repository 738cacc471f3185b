"""How many linear regions of a ReLU network random inputs fall into: how expressive it is.

Chen, Gong and Wang, "Neural Architecture Search on ImageNet in Four GPU Hours", ICLR 2021, section 3.2. A region is a
set of inputs on which the same ReLUs are on; the number of different patterns among random inputs tells how many a
network has. As in the authors' code: inputs are crops of 3 x 3 pixels of one colour, since of larger ones no two share
a region; they come in batches, whose statistics batch norm takes; patterns of all batches are counted together.

n inputs, u ReLU units, c channels, h w s pixels
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn


def patterns(net: nn.Module, images: Float[Tensor, "n c h w"], *inputs: Tensor) -> Bool[Tensor, "n u"]:
    """Which ReLUs are on, of all modules `nn.ReLU` that are given maps; `inputs` are what else the network is given.

    The network is left in training mode.
    """
    seen: list[Tensor] = []

    def see(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        if output.ndim == 4:
            seen.append((output > 0).flatten(1))

    hooks = [module.register_forward_hook(see) for module in net.modules() if isinstance(module, nn.ReLU)]
    try:
        with torch.no_grad():
            net.train()
            net(images, *inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(seen, dim=1) if seen else torch.zeros(len(images), 0, dtype=torch.bool, device=images.device)


def packed(rows: Bool[Tensor, "n u"]) -> UInt8[np.ndarray, "n bytes"]:
    """Eight units a byte."""
    return np.packbits(rows.cpu().numpy(), axis=1)


def different(batches: Iterable[UInt8[np.ndarray, "_ bytes"]]) -> int:
    """How many different rows there are in all batches."""
    return len({row.tobytes() for rows in batches for row in rows})


def regions(net: nn.Module, batches: Iterable[Float[Tensor, "_ c h w"]], *inputs: Tensor) -> int:
    """The number of linear regions that the inputs of all batches fall into."""
    return different(packed(patterns(net, images, *inputs)) for images in batches)


def crops(
    images: Float[Tensor, "n c h w"], number: int, side: int, generator: torch.Generator
) -> Float[Tensor, "m 1 s s"]:
    """Random squares of `side` pixels, each of one random image and one random channel of it.

    Images are drawn without repeats as far as there are enough. The draws come from the generator, wherever they lie.
    """
    total, channels, height, width = images.shape
    rounds = -(-number // total)
    picked = torch.cat([torch.randperm(total, generator=generator) for _ in range(rounds)])[:number]
    channel = torch.randint(channels, (number,), generator=generator)
    top = torch.randint(height - side + 1, (number,), generator=generator)
    left = torch.randint(width - side + 1, (number,), generator=generator)
    rows = top[:, None] + torch.arange(side)
    columns = left[:, None] + torch.arange(side)
    places = picked[:, None, None], channel[:, None, None], rows[:, :, None], columns[:, None, :]
    return images[tuple(place.to(images.device) for place in places)][:, None]
