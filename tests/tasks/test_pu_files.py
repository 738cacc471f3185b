"""The files of the positive-unlabelled data sets: official layouts, damaged ones, and the published counts."""

import gzip
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from bench import MissingData, UserError
from bench.data import check
from tasks.pu import PU
from tasks.pu.datasets import CARD, RECIPES
from tasks.readers import Images, read_idx


def rows(images: torch.Tensor) -> set[bytes]:
    """Each image as bytes: equal images are equal entries."""
    return {image.numpy().tobytes() for image in images}


def idx(values: np.ndarray) -> bytes:
    """IDX: zero, zero, 8 for bytes, the number of dimensions, the dimensions as big-endian integers, the bytes."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def write_fashion(folder, compressed: bool) -> np.ndarray:
    """A miniature Fashion-MNIST of 200 training and 40 test images, classes in turn; returns the training images."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (240, 28, 28))
    for part, chosen in (("train", slice(0, 200)), ("t10k", slice(200, 240))):
        contents = {"images-idx3": idx(pixels[chosen]), "labels-idx1": idx(np.arange(240)[chosen] % 10)}
        for kind, content in contents.items():
            path = folder / f"{part}-{kind}-ubyte"
            if compressed:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
            else:
                path.write_bytes(content)
    return pixels[:200]


@pytest.mark.parametrize("compressed", [True, False])
def test_idx_files_are_read_compressed_or_not(compressed, tmp_path, monkeypatch):
    pixels = write_fashion(tmp_path / "fashion-mnist", compressed)
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    problem, held_out = PU(positives=20, validation=0.1).load("fashion-mnist", "small", 0)
    assert (len(problem.unlabelled), len(held_out.images)) == (180, 40)
    assert problem.prior == pytest.approx(0.4)  # classes 0, 2, 4 and 6 of ten
    # Image 7 is of class 7, no garment: it is read as it was written, and it is negative.
    written = torch.from_numpy(pixels[7]).float().div(255).numpy().tobytes()
    apart = rows(problem.validation_unlabelled)
    labels = {
        image.numpy().tobytes(): label
        for image, label in zip(problem.unlabelled, problem.oracle_labels.tolist(), strict=True)
    }
    assert written in apart or labels[written] == -1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b garbage", "cannot be read"),
        (gzip.compress(b"<html>not found</html>"), "is no IDX file of bytes"),
        (gzip.compress(idx(np.zeros((3, 28, 28)))[:-1]), "has 2367 bytes, its header says 2368"),
    ],
)
def test_a_damaged_idx_file_is_named(content, message, tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(UserError, match=f"train-images-idx3-ubyte.gz {message}"):
        read_idx(tmp_path, "train-images-idx3-ubyte")


def test_a_missing_file_is_named_as_it_was_published(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    with pytest.raises(MissingData, match=r"train-images-idx3-ubyte\.gz is missing"):
        PU().load("mnist", "gpu", 0)


def test_the_binary_version_of_cifar10_is_read_record_by_record(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for card_file in CARD["cifar10"].files:
        records = np.zeros((10_000, 3073), np.uint8)
        records[:, 0] = np.arange(10_000) % 10
        records[:, 1:1025] = 10  # red
        records[:, 1025:2049] = 20  # green
        records[:, 2049:] = 30  # blue
        records.tofile(folder / card_file.path)
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    train, test = RECIPES["cifar10"].read()
    assert (len(train.classes), len(test.classes)) == (50_000, 10_000)
    assert train.pixels.shape[1:] == (3, 32, 32)
    assert train.pixels[40_123, :, 5, 6].tolist() == [10, 20, 30]
    assert train.classes[40_123].item() == 3
    assert (RECIPES["cifar10"].sign(train.classes) > 0).float().mean().item() == pytest.approx(0.4)


@pytest.mark.parametrize("dataset", ["mnist5k", "digits"])
def test_an_embedded_digit_one_is_taller_than_it_is_wide(dataset):
    (whole,) = RECIPES[dataset].read()
    ink = whole.pixels[whole.classes == 1].double().mean((0, 1))  # h, w
    places = torch.arange(len(ink), dtype=torch.float64)

    def spread(profile: torch.Tensor) -> float:
        centre = (profile * places).sum() / profile.sum()
        return ((profile * (places - centre) ** 2).sum() / profile.sum()).item()

    assert spread(ink.sum(1)) > 1.5 * spread(ink.sum(0))


def read_or_skip(dataset: str) -> tuple[Images, ...]:
    """The parts of a data set, as they lie in its files."""
    try:
        return RECIPES[dataset].read()
    except MissingData as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("dataset", "train_count", "train_positive", "test_positive"),
    [
        ("mnist5k", 4_000, 2_000, 500),
        ("mnist", 60_000, 29_492, 4_926),
        # Even digits of the first 10,000 by the class counts of its README: 1,001 + 991 + 980 + 1,014 + 944.
        ("mnist-10k", 10_000, 4_930, 4_926),
        ("fashion-mnist", 60_000, 24_000, 4_000),
        ("cifar10", 50_000, 20_000, 4_000),
        ("cifar10-20k", 20_000, 8_000, 4_000),
        ("cifar10-2k", 2_000, 800, 4_000),
    ],
)
def test_a_real_data_set_has_the_published_number_of_positives(dataset, train_count, train_positive, test_positive):
    read_or_skip(dataset)
    task = PU(positives=100, validation=0.2)
    problem, held_out = task.load(dataset, "small", 0)
    # The validation part is a fifth of each class, rounded: at most five images of the ten classes' halves.
    assert len(problem.unlabelled) + len(problem.validation_unlabelled) == train_count
    assert (problem.oracle_labels > 0).sum().item() == pytest.approx(0.8 * train_positive, abs=2.5)
    assert (held_out.labels > 0).sum().item() == test_positive


def test_the_mosaics_of_cifar10_are_cut_in_the_order_of_their_labels():
    for part in read_or_skip("cifar10-20k"):
        assert part.classes[:20].tolist() == [*range(10), *range(10)]
        # Its README: means .4914 .4822 .4465 of all 50,000; 10,000 or more balanced images agree within 0.005.
        means = part.pixels.float().div(255).mean((0, 2, 3))
        assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-3)
        # Sky and sea: airplanes (0) and ships (8) are the only classes with more blue than red.
        red, _, blue = part.pixels.float().mean((2, 3)).unbind(1)
        bluish = [number for number in range(10) if (blue - red)[part.classes == number].mean() > 0]
        assert bluish == [0, 8]
        # A tile cut across two pictures has a seam: neighbouring pixels differ little inside a picture.
        steps = (part.pixels[:, :, :, 1:].float() - part.pixels[:, :, :, :-1].float()).abs().mean((0, 1, 2))
        assert steps.max() < 1.5 * steps.mean()


def write_folder(folder, mode: str = "L", size: tuple[int, int] = (8, 6)) -> None:
    """20 pictures in each folder, of one brightness: 10 for negatives, 20 for positives, 30 for the labelled."""
    brightness = {"negative": 10, "positive": 20, "labelled": 30}
    for name in ("train/negative", "train/positive", "train/labelled", "test/negative", "test/positive"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            value = brightness[name.split("/")[1]]
            colour = value if mode == "L" else (value, value, value)
            Image.new(mode, size, colour).save(folder / name / f"{number:02d}.png")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_a_folder_of_ones_own_images_is_read_by_its_layout(mode, channels, tmp_path, monkeypatch):
    write_folder(tmp_path / "image-folder", mode)
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    problem, held_out = PU(positives=10, validation=0.2).load("image-folder", "small", 0)
    assert problem.unlabelled.shape == (48, channels, 6, 8)
    assert len(held_out.images) == 40
    assert held_out.labels.sum() == 0
    # Of 16 each of the three kinds two are positive; only the third is ever labelled.
    assert problem.prior == pytest.approx(2 / 3)
    assert problem.positive.unique().tolist() == pytest.approx([30 / 255])
    assert problem.validation_positive.unique().tolist() == pytest.approx([30 / 255])
    assert problem.unlabelled.unique().tolist() == pytest.approx([10 / 255, 20 / 255, 30 / 255])
    assert problem.build_network()(problem.unlabelled[:4]).shape == (4,)


def test_a_folder_that_is_not_as_it_should_be_is_told_file_by_file(tmp_path, monkeypatch):
    write_folder(tmp_path / "image-folder")
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    folder = tmp_path / "image-folder"
    Image.new("L", (9, 6)).save(folder / "train/positive/99.png")
    with pytest.raises(UserError, match=r"99\.png is 1 x 6 x 9 \(channels, height, width\), .*00\.png is 1 x 6 x 8"):
        RECIPES["image-folder"].read()
    (folder / "train/positive/99.png").write_text("no picture")
    with pytest.raises(UserError, match=r"99\.png is no image that can be read"):
        RECIPES["image-folder"].read()
    (folder / "train/positive/99.png").unlink()
    (folder / "train/labelled").rename(folder / "train/known")
    states = {state.path: state.state for state in check(CARD["image-folder"], tmp_path)}
    assert states == {
        "train/negative": "ok",
        "train/positive": "ok",
        "train/labelled": "missing",
        "test/negative": "ok",
        "test/positive": "ok",
    }
    with pytest.raises(MissingData, match="train/labelled is missing"):
        RECIPES["image-folder"].read()
