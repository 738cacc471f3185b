"""Draws street-like scenes from a seed."""

import torch

from bench.seeds import derive_seed
from tasks.segmentation.files import Part

NATIVE_HEIGHT = 360
NATIVE_WIDTH = 720


def draw_part(name: str, number: int, size: tuple[int, int], seed: int) -> Part:
    """So many scenes of `size` (h, w); scene k depends on (seed, name, k, size) alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "segmentation", "streets", name))
    return Part(
        torch.randint(0, 256, (number, 3, *size), dtype=torch.uint8, generator=generator),
        torch.randint(0, 11, (number, *size), dtype=torch.uint8, generator=generator),
    )
