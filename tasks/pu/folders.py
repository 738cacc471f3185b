"""Reads a user's own images from folders named after what is known of them.

c channels, h w pixels
"""

import functools
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench import UserError
from tasks.readers import Images

FOLDER_PARTS = {"train": ("negative", "positive", "labelled"), "test": ("negative", "positive")}
"""The folders, in the order of their classes: 0, 1 and 2."""


@functools.cache
def read_image_folder(folder: Path) -> tuple[Images, ...]:
    """A user's own images: `train/negative`, `train/positive`, `train/labelled`, `test/negative` and `test/positive`.

    The labelled positives of a problem come from `labelled`, so that their choice may be anything but random. Raises
    `UserError` naming the first file that is no image, or not of the size and the channels of the first one.
    """
    parts, first = [], None
    for part, kinds in FOLDER_PARTS.items():
        pixels, classes = [], []
        for number, kind in enumerate(kinds):
            for path in sorted((folder / part / kind).iterdir()):
                image = _read_image(path)
                first = first or (path, image.shape)
                if image.shape != first[1]:
                    got, wanted = (" x ".join(map(str, shape)) for shape in (image.shape, first[1]))
                    raise UserError(
                        f"{path} is {got} (channels, height, width), {first[0]} is {wanted}; make them equal"
                    )
                pixels.append(image)
                classes.append(number)
        if not pixels:
            raise UserError(f"{folder / part} has no image in any of {', '.join(kinds)}; put some there")
        parts.append(Images(torch.from_numpy(np.stack(pixels)), torch.tensor(classes)))
    return tuple(parts)


def _read_image(path: Path) -> NDArray[np.uint8]:
    """Bytes of one channel for a grey picture, of three for any other; c, h, w."""
    try:
        with Image.open(path) as picture:
            grey = picture.mode in ("1", "L")
            values = np.asarray(picture.convert("L" if grey else "RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{path} is no image that can be read; take it away, or save it as PNG") from error
    return rearrange(values, "h w -> 1 h w" if grey else "h w c -> c h w")
