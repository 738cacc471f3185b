"""Synthetic images of digits: glyphs of the type faces that matplotlib ships, with clutter, drawn from a seed.

h w pixels
"""

import functools
import math

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from bench.data import package_file

FACES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSansMono-BoldOblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSerif-BoldItalic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
    "cmb10.ttf",
    "cmr10.ttf",
    "cmss10.ttf",
    "cmti10.ttf",
    "cmtt10.ttf",
)
"""Those of matplotlib's that have digits of the usual form."""

SIZES = (50 / 96, 85 / 96)
"""Size of the type, as a share of the image's side."""
LINES = 3
"""At most so many random lines."""
TURN = 20.0
"""Degrees, either way."""
SHEAR = 0.25
SHIFT = 8 / 96
CONTRAST = 96
"""By how much digit and ground differ in brightness at least, of 255: others could not be read."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Of red, green and blue."""

Rng = np.random.Generator


@functools.cache
def _face(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(package_file("matplotlib", "mpl-data", "fonts", "ttf", name), pixels)


def draw(digit: int, side: int, random: Rng) -> UInt8[ndarray, "h w 3"]:
    """One image of a digit. Nothing is mirrored: a mirrored digit is none."""
    ground, ink = _colours(random)
    image = Image.new("RGB", (side, side), ground)
    canvas = ImageDraw.Draw(image)
    for _ in range(random.integers(LINES + 1)):
        ends = [(float(x), float(y)) for x, y in random.uniform(0, side, (2, 2))]
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        canvas.line(ends, fill=colour, width=max(1, round(side / 48)))
    face = _face(FACES[random.integers(len(FACES))], max(1, round(side * random.uniform(*SIZES))))
    mask = Image.new("L", (side, side))
    across, down = side / 2 + side * random.uniform(-SHIFT, SHIFT, 2)
    ImageDraw.Draw(mask).text((float(across), float(down)), str(digit), font=face, fill=255, anchor="mm")
    image.paste(
        Image.new("RGB", (side, side), ink),
        mask=bent(mask, math.radians(random.uniform(-TURN, TURN)), random.uniform(-SHEAR, SHEAR)),
    )
    return np.asarray(image)


def _colours(random: Rng) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Of ground and digit."""
    while True:
        pair = random.integers(0, 256, (2, 3))
        if abs(float((pair[0] - pair[1]) @ LUMA)) >= CONTRAST:
            return tuple(pair[0].tolist()), tuple(pair[1].tolist())


def bent(mask: Image.Image, angle: float, shear: float) -> Image.Image:
    """Turned by an angle, in radians, and sheared about the middle."""
    middle = mask.width / 2
    # Where a pixel of the result comes from: first back through the rotation, then through the shear.
    across, down = math.cos(angle) + shear * math.sin(angle), math.sin(angle)
    a, b, d, e = across, -down + shear * math.cos(angle), down, math.cos(angle)
    matrix = (a, b, middle - a * middle - b * middle, d, e, middle - d * middle - e * middle)
    return mask.transform(mask.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
