"""Pairs of synthetic and real street scenes with a class for each pixel, and how each is read or drawn.

Drawing and reading are those of the task `segmentation`, whose layouts, class maps and counts are the same.

n images, h w pixels
"""

import functools
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.io import ImageReadMode, decode_png

from bench import UserError
from bench.data import root
from tasks.segmentation.classes import CAMVID_CLASSES, CITYSCAPES_CLASSES, LABEL_ID_TABLE, table
from tasks.segmentation.files import THREADS, Pair, Pairs, Part, camvid_zip, cityscapes_folder, read_part, whole
from tasks.segmentation.streets import NATIVE_HEIGHT, NATIVE_WIDTH, draw_part
from tasks.syn2real.pictures import evenly

FLATNESS = 5
"""Pixels of the median filter that takes the texture out of a drawn scene; odd."""
LEVELS = 5
"""Bits of each colour that a flat scene keeps, so that gradients and noise go."""

SYNTHIA_IDS = (3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11)
"""SYNTHIA's id of each of Cityscapes' 19 classes; of the usual map, from memory and not from its documentation."""

SYNTHIA_CLASSES = tuple(name for name in CITYSCAPES_CLASSES if name not in ("terrain", "truck", "train"))
"""The 16 classes in which others compare: SYNTHIA has hardly a pixel of the three that are left out."""

TO_SIXTEEN = table(tuple(CITYSCAPES_CLASSES.index(name) for name in SYNTHIA_CLASSES))
"""From one of Cityscapes' 19 to one of those."""


@dataclass(frozen=True)
class SceneRequest:
    """How much of a pair is wanted, and from which seed."""

    height: int
    """Pixels; images that are higher are made smaller."""
    source_scenes: int
    """Synthetic scenes: as many are drawn; of files at most, 0 for all."""
    target_scenes: int
    """Real ones, likewise."""
    seed: int


@dataclass(frozen=True)
class SceneRecipe:
    """How a pair becomes a problem."""

    class_names: tuple[str, ...]
    source: Callable[[SceneRequest], Part]
    target: Callable[[SceneRequest], Part]


# Drawn scenes ---------------------------------------------------------------------------------------------------------


def _streets(name: str, number: int, request: SceneRequest) -> Part:
    if not number:
        raise UserError("syn2real: scenes that are drawn must be counted; set --set syn2real.source_scenes=100")
    height = min(request.height, NATIVE_HEIGHT)
    return draw_part(name, number, (height, round(height * NATIVE_WIDTH / NATIVE_HEIGHT)), request.seed)


def flat(image: UInt8[Tensor, "3 h w"], labels: UInt8[Tensor, "h w"]) -> UInt8[Tensor, "3 h w"]:
    """A scene as a simple renderer gives it: half of a pixel's colour is its class's mean, no texture, no noise."""
    pixels = image.float()
    for label in labels.unique():
        members = labels == label
        pixels[:, members] = (pixels[:, members] + pixels[:, members].mean(1, keepdim=True)) / 2
    picture = Image.fromarray(rearrange(pixels.round().byte().numpy(), "c h w -> h w c"))
    smooth = np.asarray(picture.filter(ImageFilter.MedianFilter(FLATNESS)))
    step = 2 ** (8 - LEVELS)
    return torch.from_numpy(rearrange(smooth // step * step + step // 2, "h w c -> c h w").copy())


def _flat_streets(request: SceneRequest) -> Part:
    part = _streets("train", request.source_scenes, request)
    images = torch.stack([flat(image, labels) for image, labels in zip(part.images, part.labels, strict=True)])
    return Part(images, part.labels)


# Files ----------------------------------------------------------------------------------------------------------------


def _below_root(folder: str) -> Path:
    base = root()
    assert base is not None, "the card's files were found below it"
    return base / folder


def _limited(pairs: Pairs, limit: int) -> Pairs:
    return Pairs(pairs.where, tuple(pairs.pairs[place] for place in evenly(len(pairs.pairs), limit)), pairs.table)


@functools.lru_cache(maxsize=2)
def _camvid(height: int, limit: int) -> Part:
    return read_part(_limited(whole(camvid_zip(_below_root("camvid"), "test"), 233), limit), height)


@functools.lru_cache(maxsize=2)
def _cityscapes(height: int, limit: int) -> Part:
    return read_part(_limited(whole(cityscapes_folder(_below_root("cityscapes"), "val"), 500), limit), height)


def _gta5(request: SceneRequest) -> Part:
    """`train.txt` with `images/NAME.png labels/NAME.png` on each line; labels hold Cityscapes' label ids."""
    folder = _below_root("gta5")
    pairs = []
    for line in (folder / "train.txt").read_text(encoding="utf-8").splitlines():
        if line.strip():
            image, _, labels = line.strip().partition(" ")
            pairs.append(Pair(str(folder / image), (folder / image).read_bytes, (folder / labels).read_bytes))
    chosen = _limited(Pairs(str(folder / "train.txt"), tuple(pairs), LABEL_ID_TABLE), request.source_scenes)
    # A few of its images have another size than the rest.
    with ThreadPoolExecutor(THREADS) as pool:
        single = (Pairs(chosen.where, (pair,), chosen.table) for pair in chosen.pairs)
        parts = list(pool.map(lambda one: read_part(one, request.height), single))
    height, width = (min(part.labels.shape[axis] for part in parts) for axis in (1, 2))
    return Part(
        torch.cat([part.images[..., :height, :width] for part in parts]),
        torch.cat([part.labels[..., :height, :width] for part in parts]),
    )


def _synthia(request: SceneRequest) -> Part:
    """RAND_CITYSCAPES: `RGB/NAME.png`, and `GT/LABELS/NAME.png`, 16 bits deep, with the class in the first channel."""
    folder = _below_root("synthia")
    paths = sorted((folder / "RGB").glob("*.png"))
    pairs = tuple(
        Pair(str(path), path.read_bytes, functools.partial(_first_channel, folder / "GT/LABELS" / path.name))
        for path in (paths[place] for place in evenly(len(paths), request.source_scenes))
    )
    ids = table(tuple(SYNTHIA_IDS[CITYSCAPES_CLASSES.index(name)] for name in SYNTHIA_CLASSES))
    return read_part(Pairs(str(folder / "RGB"), pairs, ids), request.height)


def _first_channel(path: Path) -> bytes:
    """A picture of 16 bits a channel as one of 8 bits in one: Pillow would keep the wrong half of each value."""
    content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    deep = decode_png(content, ImageReadMode.UNCHANGED)[0].int().clamp(max=255).byte()
    packed = io.BytesIO()
    Image.fromarray(deep.numpy()).save(packed, "PNG")
    return packed.getvalue()


def _cityscapes_16(request: SceneRequest) -> Part:
    part = _cityscapes(request.height, request.target_scenes)
    return Part(part.images, TO_SIXTEEN[part.labels.long()])


SCENE_RECIPES = {
    "streets-to-streets-shifted": SceneRecipe(
        CAMVID_CLASSES, _flat_streets, lambda request: _streets("test", request.target_scenes, request)
    ),
    "streets-to-camvid": SceneRecipe(
        CAMVID_CLASSES,
        lambda request: _streets("train", request.source_scenes, request),
        lambda request: _camvid(request.height, request.target_scenes),
    ),
    "gta5-to-cityscapes": SceneRecipe(
        CITYSCAPES_CLASSES, _gta5, lambda request: _cityscapes(request.height, request.target_scenes)
    ),
    "synthia-to-cityscapes": SceneRecipe(SYNTHIA_CLASSES, _synthia, _cityscapes_16),
}
