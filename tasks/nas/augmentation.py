"""Random shifts and mirrors of training images.

b images, c channels, h w pixels
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad


def augmented(
    images: Float[Tensor, "b c h w"],
    background: Float[Tensor, " c"],
    padding: int,
    flips: bool,
    generator: torch.Generator,
) -> Float[Tensor, "b c h w"]:
    """Each image shifted by up to `padding` pixels both ways, and mirrored in half of the cases where `flips` says so.

    What comes in at the borders is `background`. The draws come from a CPU's generator.
    """
    number, _, height, width = images.shape
    rows, columns = (torch.randint(2 * padding + 1, (number, 1), generator=generator) for _ in range(2))
    rows, columns = rows + torch.arange(height), columns + torch.arange(width)  # b, h and b, w
    if flips:
        mirrored = torch.rand(number, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    shade = background.to(images.device).reshape(1, -1, 1, 1)
    padded = pad(images - shade, (padding,) * 4) + shade
    pixels = padded.permute(0, 2, 3, 1)  # b, h, w, c
    picked = torch.arange(number)[:, None, None], rows[:, :, None], columns[:, None, :]
    return pixels[tuple(index.to(images.device) for index in picked)].permute(0, 3, 1, 2)
