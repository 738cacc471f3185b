"""The files of the segmentation data sets: official layouts, damaged ones, and the published classes and counts."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from bench import MissingData, UserError
from bench.data import check, locate
from tasks.segmentation import IGNORE, Segmentation
from tasks.segmentation.classes import CAMVID_CLASSES, CITYSCAPES_CLASSES, LABEL_ID_TABLE, TRAIN_ID_TABLE
from tasks.segmentation.datasets import CARD, RECIPES
from tasks.segmentation.files import bdd100k_folder, camvid_folder, camvid_zip, cityscapes_folder, read_part, whole

ANY_HEIGHT = 10_000


def picture(values: np.ndarray, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(content, form)
    return content.getvalue()


def write(path, values: np.ndarray, form: str = "PNG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(values, form))


def grey(value: int, size: tuple[int, int] = (4, 8)) -> np.ndarray:
    return np.full((*size, 3), value)


# Class maps -----------------------------------------------------------------------------------------------------------


def test_the_34_label_ids_of_cityscapes_become_its_19_train_ids():
    published = {
        7: "road",
        8: "sidewalk",
        11: "building",
        12: "wall",
        13: "fence",
        17: "pole",
        19: "traffic_light",
        20: "traffic_sign",
        21: "vegetation",
        22: "terrain",
        23: "sky",
        24: "person",
        25: "rider",
        26: "car",
        27: "truck",
        28: "bus",
        31: "train",
        32: "motorcycle",
        33: "bicycle",
    }
    names = [*CITYSCAPES_CLASSES]
    mapped = {value: int(LABEL_ID_TABLE[value]) for value in range(256)}
    assert {value: names[index] for value, index in mapped.items() if index != IGNORE} == published
    # Unlabelled, ego vehicle, border, out of roi, static, dynamic, ground, parking, rail track, guard rail, bridge,
    # tunnel, polegroup, caravan and trailer are ignored; so is the licence plate, -1, which is 255 as a byte.
    ignored = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255]
    assert [value for value in (*range(34), 255) if mapped[value] == IGNORE] == ignored


def test_train_ids_stay_what_they_are():
    assert TRAIN_ID_TABLE[:19].tolist() == list(range(19))
    assert TRAIN_ID_TABLE[19:].unique().tolist() == [IGNORE]


@pytest.mark.parametrize("dataset", RECIPES)
def test_a_card_names_the_metrics_of_its_classes(dataset):
    names = RECIPES[dataset].class_names
    assert len(names) == (11 if "camvid" in dataset or dataset == "streets" else 19)
    assert CARD[dataset].metrics == ("miou", "pixel_accuracy", "mean_accuracy", *(f"iou_{name}" for name in names))
    assert set(CARD[dataset].metrics) <= {metric.name for metric in Segmentation.metrics}


# Layouts --------------------------------------------------------------------------------------------------------------


def write_cityscapes(folder, kind: str) -> None:
    """A training image of Aachen, whose row k of labels has value k, and one of Zurich, all of value 8."""
    for city, value, labels in (
        ("aachen", 10, np.repeat(np.arange(34), 8).reshape(34, 8)),
        ("zurich", 20, np.full((34, 8), 8)),
    ):
        name = f"{city}_000001_000019"
        write(folder / f"leftImg8bit/train/{city}/{name}_leftImg8bit.png", grey(value, (34, 8)))
        write(folder / f"gtFine/train/{city}/{name}_gtFine_{kind}.png", labels)
        # Each official archive has these beside it.
        write(folder / f"gtFine/train/{city}/{name}_gtFine_instanceIds.png", labels)


def test_cityscapes_is_read_from_label_ids(tmp_path):
    write_cityscapes(tmp_path, "labelIds")
    part = read_part(cityscapes_folder(tmp_path, "train"), ANY_HEIGHT)
    assert part.images.shape == (2, 3, 34, 8)
    assert part.images[:, 0, 0, 0].tolist() == [10, 20]
    assert part.labels[0, [7, 8, 10, 26, 33], 3].tolist() == [0, 1, IGNORE, 13, 18]
    assert part.labels[1].unique().tolist() == [1]


def test_cityscapes_is_read_from_train_ids_where_they_are(tmp_path):
    write_cityscapes(tmp_path, "labelTrainIds")
    part = read_part(cityscapes_folder(tmp_path, "train"), ANY_HEIGHT)
    assert part.labels[0, :, 3].tolist() == [*range(19), *[IGNORE] * 15]
    assert part.labels[1].unique().tolist() == [8]


def test_files_of_train_ids_count_only_if_all_are_there(tmp_path):
    write_cityscapes(tmp_path, "labelIds")
    write(tmp_path / "gtFine/train/zurich/zurich_000001_000019_gtFine_labelTrainIds.png", np.full((34, 8), 5))
    part = read_part(cityscapes_folder(tmp_path, "train"), ANY_HEIGHT)
    assert part.labels[1].unique().tolist() == [1]  # label id 8


def test_bdd100k_is_read_by_its_layout(tmp_path):
    write(tmp_path / "images/10k/val/b.jpg", grey(60), "JPEG")
    write(tmp_path / "images/10k/val/a.jpg", grey(200), "JPEG")
    write(tmp_path / "labels/sem_seg/masks/val/a.png", np.full((4, 8), 18))
    write(tmp_path / "labels/sem_seg/masks/val/b.png", np.full((4, 8), 255))
    part = read_part(bdd100k_folder(tmp_path, "val"), ANY_HEIGHT)
    assert part.images[:, 1, 2, 2].tolist() == pytest.approx([200, 60], abs=2)
    assert part.labels[:, 0, 0].tolist() == [18, IGNORE]


def write_camvid_folder(folder) -> None:
    for number, part in enumerate(("train", "val", "test")):
        write(folder / part / "0001TP_006690.png", np.stack([np.full((4, 8), c + number) for c in (1, 2, 3)], -1))
        write(folder / f"{part}annot" / "0001TP_006690.png", np.arange(32).reshape(4, 8) % 12)


def test_camvid_is_read_from_segnets_folders(tmp_path):
    write_camvid_folder(tmp_path)
    part = read_part(camvid_folder(tmp_path, "val"), ANY_HEIGHT)
    assert part.images[0, :, 0, 0].tolist() == [2, 3, 4]
    assert part.labels[0].flatten().tolist() == [IGNORE if v % 12 == 11 else v % 12 for v in range(32)]


def write_camvid_zip(path, labels: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for value, name in enumerate(("x", "y")):
            archive.writestr(f"images/{name}.webp", picture(grey(100 * (value + 1), (32, 32)), "WEBP"))
        for name, values in labels.items():
            archive.writestr(f"labels/{name}.png", picture(values))


def test_camvid_is_read_from_the_archives(tmp_path):
    write_camvid_zip(tmp_path / "camvid_val.zip", {"y": np.full((32, 32), 11), "x": np.full((32, 32), 9)})
    part = read_part(camvid_zip(tmp_path, "val"), ANY_HEIGHT)
    assert part.images[:, 0, 8, 8].tolist() == pytest.approx([100, 200], abs=2)
    assert part.labels[:, 0, 0].tolist() == [9, IGNORE]


# Making images smaller ------------------------------------------------------------------------------------------------


def test_a_high_image_is_made_smaller_by_averages_and_its_labels_by_nearest(tmp_path):
    stripes = np.repeat(np.tile([0, 200], 16)[None, :, None], 32, 0).repeat(3, 2)  # a column of 0, one of 200, ...
    labels = np.repeat(np.arange(4), 8)[:, None].repeat(32, 1) * 5  # rows of 0, then 5, 10 and 15
    write(tmp_path / "images/10k/val/a.jpg", stripes)
    write(tmp_path / "labels/sem_seg/masks/val/a.png", labels)
    part = read_part(bdd100k_folder(tmp_path, "val"), 8)
    assert part.images.shape == (1, 3, 8, 8)
    # A pixel is a mean over some four columns of 0 and of 200 in equal shares.
    assert part.images[0, :, :, 1:-1].float().sub(100).abs().max() <= 8
    assert part.labels[0, :, 4].tolist() == [0, 0, 5, 5, 10, 10, 15, 15]


def test_a_low_image_stays_as_it_is(tmp_path):
    write_camvid_folder(tmp_path)
    assert read_part(camvid_folder(tmp_path, "test"), 4).images.shape == (1, 3, 4, 8)
    assert read_part(camvid_folder(tmp_path, "test"), 3).images.shape == (1, 3, 3, 6)


# What is wrong is named -----------------------------------------------------------------------------------------------


def test_an_image_without_labels_is_named(tmp_path):
    write_camvid_folder(tmp_path)
    (tmp_path / "trainannot/0001TP_006690.png").unlink()
    with pytest.raises(UserError, match=r"train/0001TP_006690\.png has no labels: .*trainannot/0001TP_006690\.png is"):
        camvid_folder(tmp_path, "train")
    write_camvid_zip(tmp_path / "camvid_val.zip", {"x": np.zeros((32, 32))})
    with pytest.raises(UserError, match=r"camvid_val\.zip has images/y\.webp and no labels/y\.png"):
        camvid_zip(tmp_path, "val")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((4, 9)), r"is \(8, 4\) pixels wide and high, its labels are \(9, 4\)"),
        (np.zeros((4, 8, 3)), "no map of class indices, but a picture in mode RGB"),
    ],
)
def test_labels_of_another_form_are_named(labels, message, tmp_path):
    write_camvid_folder(tmp_path)
    write(tmp_path / "trainannot/0001TP_006690.png", labels)
    with pytest.raises(UserError, match=rf"0001TP_006690\.png.*{message}"):
        read_part(camvid_folder(tmp_path, "train"), ANY_HEIGHT)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    write_camvid_folder(tmp_path)
    (tmp_path / "train/0001TP_006690.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"train/0001TP_006690\.png or its labels cannot be read .*fetch it again"):
        read_part(camvid_folder(tmp_path, "train"), ANY_HEIGHT)
    (tmp_path / "camvid_test.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"camvid_test\.zip cannot be read .*fetch it again"):
        camvid_zip(tmp_path, "test")


def test_images_of_two_sizes_are_named(tmp_path):
    write_camvid_folder(tmp_path)
    write(tmp_path / "train/z.png", grey(0, (4, 6)))
    write(tmp_path / "trainannot/z.png", np.zeros((4, 6)))
    with pytest.raises(UserError, match=r"z\.png is 4 x 6 pixels high and wide, .*0001TP_006690\.png is 4 x 8"):
        read_part(camvid_folder(tmp_path, "train"), ANY_HEIGHT)


def test_a_part_that_is_not_whole_is_refused(tmp_path, monkeypatch):
    write_camvid_folder(tmp_path / "CamVid")
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"CamVid/train has 1 images, as published it has 367"):
        Segmentation().load("camvid-segnet", "gpu", 0)
    pairs = camvid_folder(tmp_path / "CamVid", "train")
    assert whole(pairs, 1) is pairs


def test_a_missing_city_is_told(tmp_path, monkeypatch):
    folder = tmp_path / "cityscapes"
    for file in CARD["cityscapes"].files:
        (folder / file.path).mkdir(parents=True)
    (folder / "gtFine/train/ulm").rmdir()
    states = {state.path: state.state for state in check(CARD["cityscapes"], tmp_path)}
    assert [path for path, state in states.items() if state != "ok"] == ["gtFine/train/ulm"]
    # 18 cities for training and 3 for validation, each with images and labels.
    assert len(states) == 2 * (18 + 3)
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="gtFine/train/ulm is missing"):
        Segmentation().load("cityscapes", "gpu", 0)


# The real CamVid ------------------------------------------------------------------------------------------------------

SHARES = {
    "train": [0.1685, 0.2326, 0.0098, 0.3166, 0.0449, 0.0972, 0.0117, 0.0113, 0.0587, 0.0064, 0.0029, 0.0395],
    "val": [0.0918, 0.2596, 0.0056, 0.2895, 0.0872, 0.1634, 0.0089, 0.0308, 0.0175, 0.0065, 0.0222, 0.0170],
    "test": [0.1707, 0.2461, 0.0118, 0.2581, 0.0927, 0.1125, 0.0101, 0.0118, 0.0397, 0.0063, 0.0019, 0.0383],
}
"""Of all pixels, by class, and unlabelled last: as measured by those who packed the files."""


@pytest.mark.parametrize(("part", "count"), [("train", 367), ("val", 101), ("test", 233)])
def test_the_real_camvid_has_the_published_counts_and_shares(part, count):
    try:
        pairs = camvid_zip(locate(CARD["camvid"]), part)
    except MissingData as error:
        pytest.skip(str(error))
    assert len(pairs.pairs) == count
    pixels = torch.zeros(256, dtype=torch.int64)
    for pair in pairs.pairs[::4]:
        labels = np.array(Image.open(io.BytesIO(pair.labels())))
        assert labels.shape == (360, 480)
        pixels += pairs.table[torch.from_numpy(labels).long()].flatten().bincount(minlength=256)
    shares = (pixels / pixels.sum()).tolist()
    # Every fourth frame of a film has the shares of the whole within a point or two.
    assert [*shares[: len(CAMVID_CLASSES)], shares[IGNORE]] == pytest.approx(SHARES[part], abs=0.015)


def test_the_real_camvid_has_sky_above_road(tmp_path):
    try:
        pairs = camvid_zip(locate(CARD["camvid"]), "test")
    except MissingData as error:
        pytest.skip(str(error))
    first = type(pairs)(pairs.where, pairs.pairs[:8], pairs.table)
    part = read_part(first, 90)
    assert part.images.shape == (8, 3, 90, 120)
    rows = torch.arange(90.0)[None, :, None].expand(part.labels.shape)
    sky, road = ((part.labels == CAMVID_CLASSES.index(name)) for name in ("sky", "road"))
    assert rows[sky].mean() < 30 < 60 < rows[road].mean()
    # The sky is bright, and bluer than the road.
    tone = part.images.float()
    assert tone.mean(1)[sky].mean() > tone.mean(1)[road].mean() + 50
