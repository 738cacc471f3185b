"""Views of synthetic images: one of fourteen operations each, or a jitter of colours.

CSG (Chen and others, ICLR 2021).

    RandAugment (Cubuk and others, 2020), 1 operation, magnitude 6 of 30      `Draws`, `augmented`
    its operations and their ranges                                           `RANGES`, `_applied`
    colours, for segmentation                                                 `colour_jittered`

Operations are torchvision's, which follow Pillow's. A value grows in proportion to the magnitude, so at magnitude 0
each is the identity. Images that have drawn the same operation and sign are worked on at once.

b batch, n operations an image, c channels, h w pixels
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

Operation = Literal[
    "identity",
    "auto-contrast",
    "equalize",
    "rotate",
    "posterize",
    "solarize",
    "colour",
    "contrast",
    "brightness",
    "sharpness",
    "shear-x",
    "shear-y",
    "translate-x",
    "translate-y",
]

OPERATIONS: tuple[Operation, ...] = get_args(Operation)

FULL_MAGNITUDE = 30

RANGES: dict[Operation, float] = {
    "identity": 0.0,
    "auto-contrast": 1.0,  # probability
    "equalize": 1.0,  # probability
    "rotate": 30.0,  # degrees
    "posterize": 7.0,  # bits lost
    "solarize": 256.0,  # levels below white from which on a pixel is inverted
    "colour": 0.9,  # from a factor of 1, as the three below
    "contrast": 0.9,
    "brightness": 0.9,
    "sharpness": 0.9,
    "shear-x": 0.3,  # pixels a pixel
    "shear-y": 0.3,
    "translate-x": 100.0,  # pixels of the image as it lies in the file, before any resizing
    "translate-y": 100.0,
}
"""What an operation does at full magnitude; the sign of the last nine, and of a rotation, is drawn."""


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch of images, operation by operation."""

    operations: Int64[Tensor, "b n"]
    """Places in `OPERATIONS`."""
    negative: Bool[Tensor, "b n"]
    chances: Float[Tensor, "b n"]
    """Uniform between 0 and 1: an operation with a probability is done where its chance is below it."""


def draw(images: int, operations: int, generator: torch.Generator) -> Draws:
    """Independent draws for a number of images, on the CPU."""
    shape = (images, operations)
    return Draws(
        torch.randint(len(OPERATIONS), shape, generator=generator),
        torch.rand(shape, generator=generator) < 0.5,
        torch.rand(shape, generator=generator),
    )


def augmented(
    images: UInt8[Tensor, "b 3 h w"], draws: Draws, magnitude: float, translation_px: float = RANGES["translate-x"]
) -> UInt8[Tensor, "b 3 h w"]:
    """Each image after the operations that it has drawn, in turn; what moves in is black.

    `translation_px` is how far images move at full magnitude: less than the paper's where images are smaller.
    """
    views = images.clone()
    for turn in range(draws.operations.shape[1]):
        of_turn, negative, chances = draws.operations[:, turn], draws.negative[:, turn], draws.chances[:, turn]
        for index in of_turn.unique().tolist():
            name = OPERATIONS[index]
            full = translation_px if name.startswith("translate") else RANGES[name]
            value = magnitude / FULL_MAGNITUDE * full
            chosen = of_turn == index
            if name in ("auto-contrast", "equalize"):
                chosen = chosen & (chances < value)
            for sign in (1, -1):
                rows = (chosen & (negative == (sign < 0))).nonzero()[:, 0].to(images.device)
                if len(rows):
                    views[rows] = _applied(name, views[rows], value, sign)
    return views


def _applied(name: Operation, images: UInt8[Tensor, "b 3 h w"], value: float, sign: int) -> UInt8[Tensor, "b 3 h w"]:
    """One operation on a few images; the sign matters only where it is natural."""
    signed = sign * value
    match name:
        case "identity":
            return images
        case "auto-contrast":
            return functional.autocontrast(images)
        case "equalize":
            return functional.equalize(images)
        case "rotate":
            return functional.rotate(images, signed)
        case "posterize":
            return functional.posterize(images, 8 - int(value))
        case "solarize":
            # At magnitude 0 the threshold is above the brightest level: none is inverted, and torchvision refuses it.
            return functional.solarize(images, RANGES[name] - value) if value else images
        case "colour":
            return functional.adjust_saturation(images, 1 + signed)
        case "contrast":
            return functional.adjust_contrast(images, 1 + signed)
        case "brightness":
            return functional.adjust_brightness(images, 1 + signed)
        case "sharpness":
            return functional.adjust_sharpness(images, 1 + signed)
        case "shear-x":
            return _moved(images, shear=(math.degrees(math.atan(signed)), 0.0))
        case "shear-y":
            return _moved(images, shear=(0.0, math.degrees(math.atan(signed))))
        case "translate-x":
            return _moved(images, translate=(round(signed), 0))
        case "translate-y":
            return _moved(images, translate=(0, round(signed)))


def _moved(
    images: UInt8[Tensor, "b 3 h w"], shear: tuple[float, float] = (0.0, 0.0), translate: tuple[int, int] = (0, 0)
) -> UInt8[Tensor, "b 3 h w"]:
    """Sheared about the upper left corner, as Pillow does, or translated; the nearest pixel."""
    return functional.affine(
        images,
        angle=0.0,
        translate=list(translate),
        scale=1.0,
        shear=list(shear),
        interpolation=InterpolationMode.NEAREST,
        center=[0.0, 0.0],
    )


def colour_jittered(
    images: UInt8[Tensor, "b 3 h w"], strength: float, generator: torch.Generator
) -> UInt8[Tensor, "b 3 h w"]:
    """Brightness, contrast, saturation (factors 1 ± strength) and hue (± strength turns), in random order."""
    changes = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    )
    views = []
    for image in images:
        amounts = (strength * (2 * torch.rand(4, generator=generator) - 1)).tolist()
        view = image
        for place in torch.randperm(4, generator=generator).tolist():
            # A hue is shifted, the others are factors around 1.
            view = changes[place](view, amounts[place] if place == 3 else 1 + amounts[place])
        views.append(view)
    return torch.stack(views)
