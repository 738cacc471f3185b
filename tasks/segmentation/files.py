"""Reads pairs of an image and a label map in the official layouts.

n images, h w pixels
"""

import io
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bench import UserError
from tasks.segmentation.classes import CAMVID_TABLE, LABEL_ID_TABLE, TRAIN_ID_TABLE

THREADS = 4
"""Files are decoded by so many at once; Pillow lets go of the interpreter while it does."""


@dataclass(frozen=True)
class Part:
    """Images and their label maps: a class index or `IGNORE`."""

    images: UInt8[Tensor, "n 3 h w"]
    labels: UInt8[Tensor, "n h w"]


@dataclass(frozen=True)
class Pair:
    """An image and its label map, before they are read."""

    name: str
    image: Callable[[], bytes]
    labels: Callable[[], bytes]


@dataclass(frozen=True)
class Pairs:
    """What a part of a data set consists of, and what the values in its label files mean."""

    where: str
    pairs: tuple[Pair, ...]
    table: UInt8[Tensor, "256"]
    """From a value to a class or `IGNORE`."""


# Layouts --------------------------------------------------------------------------------------------------------------


def camvid_zip(folder: Path, part: str) -> Pairs:
    """`camvid_PART.zip` with `images/NAME.webp` and `labels/NAME.png`."""
    path = folder / f"camvid_{part}.zip"
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from error
    members = set(archive.namelist())
    pairs = []
    for image in sorted(name for name in members if name.startswith("images/")):
        labels = f"labels/{Path(image).stem}.png"
        if labels not in members:
            raise UserError(f"{path} has {image} and no {labels}; fetch it again")
        pairs.append(Pair(f"{path}/{image}", partial(archive.read, image), partial(archive.read, labels)))
    return Pairs(str(path), tuple(pairs), CAMVID_TABLE)


def camvid_folder(folder: Path, part: str) -> Pairs:
    """SegNet's: `PART/NAME.png` and `PARTannot/NAME.png`."""
    images = sorted((folder / part).glob("*.png"))
    return Pairs(str(folder / part), _paired(images, lambda image: folder / f"{part}annot" / image.name), CAMVID_TABLE)


def cityscapes_folder(folder: Path, part: str) -> Pairs:
    """`leftImg8bit/PART/CITY/NAME_leftImg8bit.png` and `gtFine/PART/CITY/NAME_gtFine_labelTrainIds.png`.

    Where a train-id file is missing, as in the official archive, all labels are read from `_gtFine_labelIds.png`.
    """
    images = sorted((folder / "leftImg8bit" / part).glob("*/*_leftImg8bit.png"))

    def labels(kind: str, image: Path) -> Path:
        name = image.name.replace("_leftImg8bit.png", f"_gtFine_{kind}.png")
        return folder / "gtFine" / part / image.parent.name / name

    train_ids = all(labels("labelTrainIds", image).exists() for image in images)
    kind, table = ("labelTrainIds", TRAIN_ID_TABLE) if train_ids else ("labelIds", LABEL_ID_TABLE)
    return Pairs(str(folder / "leftImg8bit" / part), _paired(images, partial(labels, kind)), table)


def bdd100k_folder(folder: Path, part: str) -> Pairs:
    """`images/10k/PART/NAME.jpg` and `labels/sem_seg/masks/PART/NAME.png`."""
    images = sorted((folder / "images/10k" / part).glob("*.jpg"))
    masks = folder / "labels/sem_seg/masks" / part
    return Pairs(
        str(folder / "images/10k" / part), _paired(images, lambda image: masks / f"{image.stem}.png"), TRAIN_ID_TABLE
    )


def _paired(images: Iterable[Path], labels_of: Callable[[Path], Path]) -> tuple[Pair, ...]:
    pairs = []
    for image in images:
        labels = labels_of(image)
        if not labels.exists():
            raise UserError(f"{image} has no labels: {labels} is missing; fetch it again")
        pairs.append(Pair(str(image), image.read_bytes, labels.read_bytes))
    return tuple(pairs)


def whole(pairs: Pairs, published: int) -> Pairs:
    """`pairs`, if they are as many as were published: a score on fewer would be no score on the data set."""
    if len(pairs.pairs) != published:
        raise UserError(
            f"{pairs.where} has {len(pairs.pairs)} images, as published it has {published}; fetch the data set again"
        )
    return pairs


# Reading --------------------------------------------------------------------------------------------------------------


def read_part(pairs: Pairs, height: int) -> Part:
    """All pairs of a part, made smaller to `height` rows if they are higher: images by averages, labels by nearest."""
    if not pairs.pairs:
        raise UserError(f"{pairs.where} has no image; `allwin data check` lists the layout")
    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(partial(_read, table=pairs.table, height=height), pairs.pairs))
    first = read[0]
    for pair, one in zip(pairs.pairs, read, strict=True):
        if one.labels.shape != first.labels.shape:
            got, wanted = (" x ".join(map(str, part.labels.shape[1:])) for part in (one, first))
            raise UserError(f"{pair.name} is {got} pixels high and wide, {pairs.pairs[0].name} is {wanted}")
    return Part(torch.cat([one.images for one in read]), torch.cat([one.labels for one in read]))


def _read(pair: Pair, table: UInt8[Tensor, "256"], height: int) -> Part:
    try:
        image = Image.open(io.BytesIO(pair.image())).convert("RGB")
        labels: Image.Image = Image.open(io.BytesIO(pair.labels()))
        labels.load()
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{pair.name} or its labels cannot be read ({error}); fetch it again") from error
    if labels.mode not in ("L", "P"):
        raise UserError(f"the labels of {pair.name} are no map of class indices, but a picture in mode {labels.mode}")
    if labels.size != image.size:
        raise UserError(f"{pair.name} is {image.size} pixels wide and high, its labels are {labels.size}")
    if image.height > height:
        size = round(image.width * height / image.height), height
        # Pillow's bilinear averages over all pixels that become one.
        image = image.resize(size, Image.Resampling.BILINEAR)
        labels = labels.resize(size, Image.Resampling.NEAREST)
    pixels = torch.from_numpy(rearrange(np.array(image), "h w c -> 1 c h w"))
    return Part(pixels.contiguous(), table[torch.from_numpy(np.array(labels)).long()][None])
