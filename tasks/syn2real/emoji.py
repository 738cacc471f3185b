"""Synthetic images of objects: emoji on plain, graded or chequered grounds, drawn from a seed. No real texture is used.

n images, h w pixels
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from tasks.syn2real.glyphs import read_glyphs

Rng = np.random.Generator

SIZES = (0.5, 1.0)
"""Longest side of a glyph, as a share of the image's."""
TURN = 25.0
"""Degrees, either way."""
SHIFT = 10 / 96
"""How far a glyph's centre may lie from the image's along either axis, as a share of the side."""
CELLS = (2, 8)
"""Cells along a side of a chequered ground."""

CALTECH12 = {
    "airplanes": ("2708", "1f6e9", "1f6eb", "1f6ec"),
    "Motorbikes": ("1f3cd", "1f6f5"),
    "car_side": ("1f697", "1f699", "1f695", "1f693", "1f3ce", "1f6fb"),
    "butterfly": ("1f98b",),
    "chair": ("1fa91",),
    "cup": ("2615", "1f375"),
    "dolphin": ("1f42c",),
    "elephant": ("1f418",),
    "electric_guitar": ("1f3b8",),
    "helicopter": ("1f681",),
    "laptop": ("1f4bb",),
    "umbrella": ("2602", "2614", "26f1"),
}
"""Code points of twelve classes of Caltech-101, by their folders."""

WEAR = {
    "t-shirt": ("1f455",),
    "trousers": ("1f456",),
    "dress": ("1f457",),
    "coat": ("1f9e5",),
    "sandal": ("1f461", "1fa74"),
    "sneaker": ("1f45f",),
    "bag": ("1f45c", "1f4bc", "1f392"),
    "boot": ("1f97e", "1f462"),
}
"""Eight of the ten classes of Fashion-MNIST: no emoji tells a pullover or a shirt from the rest."""

SKIN = ("1f3fb", "1f3fc", "1f3fe", "1f3ff")
"""Four tones: light, medium light, medium dark, dark."""

PACS7 = {
    "dog": ("1f415", "1f436", "1f429", "1f9ae", "1f415-200d-1f9ba"),
    "elephant": ("1f418",),
    "giraffe": ("1f992",),
    "guitar": ("1f3b8",),
    "horse": ("1f40e", "1f434", "1f3c7"),
    "house": ("1f3e0", "1f3e1", "1f3da", "1f6d6"),
    "person": tuple(f"{person}-{tone}" for person in ("1f6b6", "1f3c3", "1f9cd", "1f468", "1f469") for tone in SKIN),
}
"""The classes of PACS."""


def draw(glyphs: Sequence[Image.Image], side: int, random: Rng) -> UInt8[ndarray, "h w 3"]:
    """One image: a ground, and upon it one glyph of a drawn size, at a drawn angle, in a drawn place."""
    ground = Image.fromarray(_ground(side, random)).convert("RGBA")
    glyph = glyphs[int(random.integers(len(glyphs)))]
    if random.random() < 0.5:
        glyph = glyph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = random.uniform(*SIZES) * side / max(glyph.size)
    glyph = glyph.resize(
        (max(1, round(scale * glyph.width)), max(1, round(scale * glyph.height))), Image.Resampling.BICUBIC
    )
    glyph = glyph.rotate(random.uniform(-TURN, TURN), Image.Resampling.BICUBIC, expand=True)
    centre = side / 2 + side * random.uniform(-SHIFT, SHIFT, 2)
    corner = round(float(centre[0]) - glyph.width / 2), round(float(centre[1]) - glyph.height / 2)
    layer = Image.new("RGBA", (side, side))
    layer.paste(glyph, corner)
    return np.asarray(Image.alpha_composite(ground, layer).convert("RGB"))


def _ground(side: int, random: Rng) -> UInt8[ndarray, "h w 3"]:
    """White, one colour, a gradient along an axis, or a grid of colours made smooth, all equally likely."""
    kind = random.integers(4)
    if kind == 0:
        return np.full((side, side, 3), 255, np.uint8)
    if kind == 1:
        return np.broadcast_to(random.integers(0, 256, 3, np.uint8), (side, side, 3)).copy()
    if kind == 2:
        ends = random.integers(0, 256, (2, 3)).astype(np.float64)
        share = np.linspace(0, 1, side)[:, None]
        ramp = ((1 - share) * ends[0] + share * ends[1]).astype(np.uint8)
        along_rows = random.random() < 0.5
        return np.broadcast_to(ramp[:, None] if along_rows else ramp[None], (side, side, 3)).copy()
    cells = int(random.integers(CELLS[0], CELLS[1] + 1))
    grid = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
    return np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))


def glyphs_of(codes: dict[str, tuple[str, ...]], designs: tuple[str, ...]) -> list[list[Image.Image]]:
    """The glyphs of each class."""
    return [read_glyphs(designs, points) for points in codes.values()]
