"""Reads the files of the data sets, each layout once a process.

n images, c channels, h w pixels
"""

import functools
import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bench import UserError

FOLDER_PARTS = {"train": ("negative", "positive", "labelled"), "test": ("negative", "positive")}
"""The folders of a user's own images, in the order of their classes: 0, 1 and 2."""


@dataclass(frozen=True)
class Images:
    """Images as they lie in the files, and their class."""

    pixels: UInt8[Tensor, "n c h w"]
    classes: Int64[Tensor, " n"]


def _images(pixels: NDArray[np.uint8], classes: NDArray[np.uint8]) -> Images:
    return Images(torch.from_numpy(np.array(pixels)), torch.from_numpy(classes.astype(np.int64)))


@functools.cache
def read_table(path: Path, side: int) -> Images:
    """A compressed table with one image a row: its pixels, then its class."""
    with gzip.open(path, "rt") as file:
        rows = np.loadtxt(file, np.uint8, delimiter=",")
    return _images(rearrange(rows[:, :-1], "n (h w) -> n 1 h w", h=side), rows[:, -1])


def read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """An IDX file of bytes, compressed or not. Raises `UserError` if it is none."""
    path = folder / f"{name}.gz"
    try:
        content = gzip.decompress(path.read_bytes()) if path.exists() else (path := folder / name).read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from error
    # Four bytes: zero, zero, 8 for unsigned bytes, number of dimensions; then each dimension as a big-endian integer.
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise UserError(f"{path} is no IDX file of bytes; fetch it again")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    if len(content) != start + math.prod(shape):
        raise UserError(f"{path} has {len(content)} bytes, its header says {start + math.prod(shape)}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


@functools.cache
def read_idx_part(folder: Path, part: str) -> Images:
    pixels = read_idx(folder, f"{part}-images-idx3-ubyte")
    return _images(rearrange(pixels, "n h w -> n 1 h w"), read_idx(folder, f"{part}-labels-idx1-ubyte"))


@functools.cache
def read_mnist_10k(folder: Path) -> Images:
    with np.load(folder / "train10k.npz") as arrays:
        return _images(rearrange(arrays["images"], "n h w -> n 1 h w"), arrays["labels"])


@functools.cache
def read_cifar10(folder: Path) -> tuple[Images, ...]:
    """The binary version: for each image a byte of class, then 32 x 32 of red, of green and of blue."""
    parts = []
    for names in ([f"data_batch_{number}.bin" for number in range(1, 6)], ["test_batch.bin"]):
        rows = np.concatenate([np.fromfile(folder / name, np.uint8) for name in names]).reshape(-1, 1 + 3 * 32 * 32)
        parts.append(_images(rearrange(rows[:, 1:], "n (c h w) -> n c h w", c=3, h=32), rows[:, 0]))
    return tuple(parts)


@functools.cache
def read_cifar10_20k(folder: Path) -> tuple[Images, ...]:
    """Mosaics of 25 rows and 40 columns of tiles."""
    parts = []
    with np.load(folder / "labels.npz") as labels:
        for part, mosaics in (("train", 20), ("test", 10)):
            tiles = []
            for number in range(mosaics):
                with Image.open(folder / f"{part}_{number:02d}.webp") as mosaic:
                    tiles.append(
                        rearrange(np.asarray(mosaic.convert("RGB")), "(r h) (k w) c -> (r k) c h w", h=32, w=32)
                    )
            parts.append(_images(np.concatenate(tiles), labels[part]))
    return tuple(parts)


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
        parts.append(_images(np.stack(pixels), np.array(classes, np.uint8)))
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
