"""Labelled pictures: what all sources of images give, and how files in the official layouts become such.

n images, s pixels along a side
"""

import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from numpy import ndarray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bench import UserError

THREADS = 4
"""Files are decoded by so many at once; Pillow lets go of the interpreter while it does."""


@dataclass(frozen=True)
class Pictures:
    """Images as bytes, and the class of each."""

    images: UInt8[Tensor, "n 3 s s"]
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True)
class Picture:
    """One image before it is read."""

    name: str
    label: int
    read: Callable[[], bytes]


def evenly(number: int, limit: int) -> list[int]:
    """So many places out of `number`, evenly spread; all of them where `limit` is 0 or more than there are."""
    return list(range(number)) if not 0 < limit < number else [place * number // limit for place in range(limit)]


def squared(image: Image.Image, side: int) -> UInt8[ndarray, "3 s s"]:
    """The shorter side brought to `side`, and the middle of the longer one."""
    width, height = image.size
    scale = side / min(width, height)
    size = max(side, round(scale * width)), max(side, round(scale * height))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return rearrange(np.asarray(image.crop((left, top, left + side, top + side))), "h w c -> c h w")


def read_pictures(pictures: Sequence[Picture], side: int) -> Pictures:
    """Decodes and squares all of them."""

    def one(picture: Picture) -> UInt8[ndarray, "3 s s"]:
        try:
            with Image.open(io.BytesIO(picture.read())) as image:
                return squared(image.convert("RGB"), side)
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"{picture.name} cannot be read ({error}); fetch it again") from error

    with ThreadPoolExecutor(THREADS) as pool:
        images = list(pool.map(one, pictures))
    labels = torch.tensor([picture.label for picture in pictures])
    return Pictures(torch.from_numpy(np.stack(images)), labels)


def from_grey(images: UInt8[Tensor, "n 1 h w"], labels: Int64[Tensor, " n"], side: int) -> Pictures:
    """Grey images without a margin to lose: resized, and the same in all three channels."""
    resized = [
        np.asarray(Image.fromarray(image.numpy()).resize((side, side), Image.Resampling.BICUBIC))
        for image in images[:, 0]
    ]
    pixels = torch.from_numpy(np.stack(resized))[:, None]
    return Pictures(pixels.expand(-1, 3, -1, -1).contiguous(), labels)


def some_of_each(labels: Int64[Tensor, " n"], classes: Sequence[int], limit: int) -> Int64[Tensor, " m"]:
    """Places of at most `limit` images of each class, evenly spread over those that there are; all where it is 0."""
    places = [torch.where(labels == label)[0] for label in classes]
    return torch.cat([place[evenly(len(place), limit)] for place in places])


# Layouts --------------------------------------------------------------------------------------------------------------


def from_zip(path: Path, class_names: Sequence[str], limit: int) -> list[Picture]:
    """`CLASS/NAME` in an archive, in the order of the names; at most `limit` of each class, all where it is 0."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from error
    pictures = []
    for label, name in enumerate(class_names):
        members = sorted(member for member in archive.namelist() if member.startswith(f"{name}/") and member[-1] != "/")
        pictures += [
            Picture(f"{path}/{members[place]}", label, partial(archive.read, members[place]))
            for place in evenly(len(members), limit)
        ]
    return _of_every_class(pictures, class_names, path)


def from_folders(folder: Path, class_names: Sequence[str], limit: int) -> list[Picture]:
    """`CLASS/NAME` in a folder."""
    pictures = []
    for label, name in enumerate(class_names):
        files = sorted(path for path in (folder / name).glob("*") if path.is_file())
        pictures += [Picture(str(files[p]), label, files[p].read_bytes) for p in evenly(len(files), limit)]
    return _of_every_class(pictures, class_names, folder)


def from_list(folder: Path, class_names: Sequence[str], limit: int) -> list[Picture]:
    """VisDA-17's: `image_list.txt` with a path below the folder and a label on each line."""
    path = folder / "image_list.txt"
    by_label: list[list[Path]] = [[] for _ in class_names]
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            name, label = line.rsplit(maxsplit=1)
            by_label[int(label)].append(folder / name)
        except (ValueError, IndexError) as error:
            wanted = f"a path and a label from 0 to {len(class_names) - 1}"
            raise UserError(f"{path}, line {number}: {line!r} is not {wanted}; fetch it again") from error
    pictures = [
        Picture(str(files[place]), label, files[place].read_bytes)
        for label, files in enumerate(by_label)
        for place in evenly(len(files), limit)
    ]
    return _of_every_class(pictures, class_names, path)


def _of_every_class(pictures: list[Picture], class_names: Iterable[str], where: Path) -> list[Picture]:
    present = {picture.label for picture in pictures}
    absent = [name for label, name in enumerate(class_names) if label not in present]
    if absent:
        raise UserError(f"{where} has no picture of {', '.join(absent)}; fetch it again")
    return pictures
