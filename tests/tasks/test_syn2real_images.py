"""Where the images of the task come from: emoji, type faces, files in their layouts, crops of scenes."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from bench import DataFile, DatasetCard, MissingData, UserError, data
from bench.run import Run
from tasks.syn2real import emoji, fonts, glyphs, scenes
from tasks.syn2real.crops import Crops, crop
from tasks.syn2real.datasets import CARDS
from tasks.syn2real.pairs import RECIPES
from tasks.syn2real.pictures import evenly, from_list, from_zip, read_pictures, some_of_each, squared
from tasks.syn2real.scenes import SCENE_RECIPES

RED = Image.new("RGBA", (30, 10), (255, 0, 0, 255))


def test_every_card_has_a_recipe_and_every_recipe_a_card():
    assert {card.name for card in CARDS} == RECIPES.keys() | SCENE_RECIPES.keys()


# Drawn images ---------------------------------------------------------------------------------------------------------


def test_an_emoji_takes_half_to_all_of_the_side_and_lies_near_the_middle():
    for seed in range(40):
        pixels = emoji.draw([RED], 96, np.random.default_rng(seed)).astype(int)
        rows, columns = np.where((pixels[..., 0] > 250) & (pixels[..., 1:].max(-1) < 5))
        # The side of the glyph before it is turned by up to 25 degrees: it spans at least cos(25) of 48 pixels less an
        # edge that is blended, and what would lie outside is cut.
        assert columns.max() - columns.min() >= 48 * np.cos(np.radians(25)) - 4
        assert abs((columns.max() + columns.min()) / 2 - 48) <= 12
        assert abs((rows.max() + rows.min()) / 2 - 48) <= 12


def test_the_four_grounds_are_equally_likely():
    random = np.random.default_rng(0)
    grounds = [emoji._ground(32, random) for _ in range(400)]
    white = sum(bool((ground == 255).all()) for ground in grounds)
    plain = sum(len(np.unique(ground.reshape(-1, 3), axis=0)) == 1 for ground in grounds) - white
    # 100 of 400 each; the deviation of a binomial is 8.7.
    assert white == pytest.approx(100, abs=30) and plain == pytest.approx(100, abs=30)


def test_a_digit_is_drawn_in_one_colour_that_can_be_told_from_the_ground():
    for seed in range(20):
        ground, ink = fonts._colours(np.random.default_rng(seed))
        assert abs(np.dot(np.subtract(ground, ink), fonts.LUMA)) >= fonts.CONTRAST
    pictures = {fonts.draw(digit, 64, np.random.default_rng(3)).tobytes() for digit in range(10)}
    assert len(pictures) == 10


def test_a_turn_of_a_right_angle_and_a_shear_of_nothing_move_no_pixel_elsewhere():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    mask = Image.fromarray(pixels)
    assert np.array_equal(np.asarray(fonts.bent(mask, 0.0, 0.0)), pixels)
    turned = np.asarray(fonts.bent(mask, np.pi / 2, 0.0)).astype(int)
    # Bilinear between pixels that lie on each other but for rounding.
    assert np.abs(turned - np.rot90(pixels, -1).astype(int))[1:-1, 1:-1].max() <= 1 or (
        np.abs(turned - np.rot90(pixels).astype(int))[1:-1, 1:-1].max() <= 1
    )


def test_designs_that_are_not_here_are_named_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    monkeypatch.setattr(glyphs, "DEBIAN_FONT", tmp_path / "none")
    with pytest.raises(MissingData, match="emoji of fluent, noto are not here; `npm install") as told:
        glyphs.read_glyphs(("fluent", "noto"), ("1f697",))
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="unknown emoji design: twemojo; did you mean twemoji"):
        glyphs.read_glyphs(("twemojo",), ("1f697",))


def test_a_picture_is_found_by_any_of_its_names_and_cut_to_what_is_seen(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    folder = tmp_path / "emoji-glyphs" / "node_modules" / "@lobehub" / "fluent-emoji-3d" / "assets"
    folder.mkdir(parents=True)
    sheet = Image.new("RGBA", (64, 64))
    sheet.paste(RED, (20, 30))
    sheet.save(folder / "2708-fe0f.webp", lossless=True)
    glyphs._glyph.cache_clear()
    (found,) = glyphs.read_glyphs(("fluent",), ("2708", "1f697"))
    assert found.size == RED.size
    with pytest.raises(MissingData, match="has a picture of 1f698"):
        glyphs.read_glyphs(("fluent",), ("1f698",))
    glyphs._glyph.cache_clear()


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_limit_spreads_evenly():
    assert evenly(10, 3) == [0, 3, 6]
    assert evenly(3, 0) == evenly(3, 5) == [0, 1, 2]
    labels = torch.tensor([4, 0, 4, 0, 4, 4])
    assert some_of_each(labels, [0, 4], 2).tolist() == [1, 3, 0, 4]


def test_an_image_is_scaled_by_its_shorter_side_and_cut_in_the_middle():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 255
    assert (squared(Image.fromarray(wide), 10) == 255).all()
    assert squared(Image.fromarray(wide).resize((400, 100)), 10).shape == (3, 10, 10)


def png(colour: int) -> bytes:
    packed = io.BytesIO()
    Image.new("RGB", (4, 4), (colour, 0, 0)).save(packed, "PNG")
    return packed.getvalue()


def test_a_folder_that_a_package_of_the_system_brings_is_looked_at_after_ones_own(monkeypatch, tmp_path):
    mine, systems = tmp_path / "mine", tmp_path / "system"
    card = DatasetCard("a", "", "", "", "", "files", folder="a", files=(DataFile("x"),), system=str(systems))
    monkeypatch.setenv("ALLWIN_DATA", str(mine))
    mine.mkdir()
    assert not data.here(card)
    with pytest.raises(MissingData, match="mine/a"):
        data.locate(card)
    for folder in (systems, mine):
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "x").touch()
        assert data.here(card)
        assert data.locate(card) == folder / "a"


def test_folders_in_an_archive_are_classes_by_name(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, colour in (("dog/2.png", 2), ("dog/1.png", 1), ("cat/1.png", 3), ("doghouse/1.png", 4)):
            archive.writestr(name, png(colour))
    pictures = read_pictures(from_zip(path, ["cat", "dog"], 0), 4)
    assert pictures.labels.tolist() == [0, 1, 1]
    assert pictures.images[:, 0, 0, 0].tolist() == [3, 1, 2]
    with pytest.raises(UserError, match="has no picture of cow; fetch it again"):
        from_zip(path, ["cat", "cow"], 0)


def test_visdas_list_is_limited_class_by_class(tmp_path):
    (tmp_path / "image_list.txt").write_text("".join(f"car/{k}.png 1\n" for k in range(4)) + "bus/0.png 0\n")
    pictures = from_list(tmp_path, ["bus", "car"], 2)
    assert [(p.label, p.name.rsplit("/")[-1]) for p in pictures] == [(0, "0.png"), (1, "0.png"), (1, "2.png")]
    (tmp_path / "image_list.txt").write_text("car/1.png 7\n")
    with pytest.raises(UserError, match="line 1: 'car/1.png 7' is not a path and a label from 0 to 1"):
        from_list(tmp_path, ["bus", "car"], 0)


def test_synthias_classes_lie_in_the_low_bytes_of_the_first_channel(tmp_path):
    cv_free = np.zeros((2, 2, 3), np.uint16)
    cv_free[0, 0] = (10, 700, 3)
    path = tmp_path / "labels.png"
    path.write_bytes(sixteen_bit_png(cv_free))
    with Image.open(io.BytesIO(scenes._first_channel(path))) as read:
        assert np.asarray(read).tolist() == [[10, 0], [0, 0]]


def sixteen_bit_png(pixels: np.ndarray) -> bytes:
    """By hand: no library here writes three channels of 16 bits."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_the_sixteen_classes_of_synthia_lack_three():
    assert len(scenes.SYNTHIA_CLASSES) == 16
    # Terrain, truck and train of Cityscapes' 19 become pixels to ignore, what follows moves up.
    assert [scenes.TO_SIXTEEN[train_id].item() for train_id in (8, 9, 10, 14, 16, 18)] == [8, 255, 9, 255, 255, 15]


# Crops ----------------------------------------------------------------------------------------------------------------


def test_a_crop_shows_the_same_place_in_image_and_labels():
    labels = torch.arange(32, dtype=torch.uint8)[None].expand(16, 32).contiguous()
    image = (4 * labels)[None].expand(3, 16, 32).contiguous()
    for drawn in ([0.9, 0.5, 0.0, 0.99], [0.1, 0.5, 0.5, 0.5]):
        part, classes = crop(image, labels, 8, torch.tensor(drawn))
        assert part.shape == (3, 8, 8)
        # A scale of 1: four times the label everywhere.
        assert torch.equal(part[0], 4 * classes)


def test_a_scene_that_is_smaller_than_the_crop_gets_a_margin_to_ignore():
    image, labels = torch.full((3, 8, 8), 7, dtype=torch.uint8), torch.zeros(8, 8, dtype=torch.uint8)
    part, classes = crop(image, labels, 16, torch.tensor([0.9, 0.5, 0.3, 0.3]))
    assert (classes == 0).sum() == 64 and (classes == 255).sum() == 256 - 64
    assert part[0][classes == 255].max() == 0 and part[0][classes == 0].unique().tolist() == [7]


def test_crops_go_on_where_they_were():
    images = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = images[:, 0] % 5

    def iterator() -> Crops:
        return Crops(images, labels, 2, Run(seed=3), side=16)

    first = iterator()
    for _ in range(3):
        next(first)
    second = iterator()
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(left, right) for left, right in zip(next(first), next(second), strict=True))
