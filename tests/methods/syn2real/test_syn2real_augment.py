"""Views of CSG: what operations do at a magnitude, against Pillow and by hand, and that draws come from a generator."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from methods.syn2real._augment import OPERATIONS, Draws, augmented, colour_jittered, draw


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


IMAGES = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8, generator=generator())


def drawn(name, *, images=3, negative=False, chance=0.0):
    return Draws(
        torch.full((images, 1), OPERATIONS.index(name)),
        torch.full((images, 1), negative),
        torch.full((images, 1), chance),
    )


def by_pillow(change):
    """Each image after a change of Pillow's."""
    changed = [np.array(change(Image.fromarray(image.permute(1, 2, 0).numpy()))) for image in IMAGES]
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("negative", [False, True])
def test_at_magnitude_0_nothing_changes(name, negative):
    assert torch.equal(augmented(IMAGES, drawn(name, negative=negative), 0.0), IMAGES)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"identity"}))
def test_at_magnitude_6_every_operation_but_the_identity_changes_something(name):
    images = IMAGES // 2 if name == "auto-contrast" else IMAGES
    views = augmented(images, drawn(name), 6.0)
    assert views.shape == images.shape
    assert not torch.equal(views, images)
    assert torch.equal(augmented(images, drawn("identity"), 6.0), images)


def test_at_magnitude_6_posterize_keeps_seven_bits():
    # 8 - int(7 x 6 / 30) = 8 - int(1.4)
    assert torch.equal(augmented(IMAGES, drawn("posterize"), 6.0), IMAGES & 0b11111110)


def test_at_magnitude_6_solarize_inverts_from_205_on():
    views = augmented(IMAGES, drawn("solarize"), 6.0)
    bright = IMAGES >= 205
    assert bright.any()
    assert torch.equal(views[~bright], IMAGES[~bright])
    assert torch.equal(views[bright], 255 - IMAGES[bright])


@pytest.mark.parametrize("name", ["auto-contrast", "equalize"])
def test_at_magnitude_6_one_chance_in_five(name):
    images = IMAGES // 2
    assert not torch.equal(augmented(images, drawn(name, chance=0.19), 6.0), images)
    assert torch.equal(augmented(images, drawn(name, chance=0.2), 6.0), images)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("colour", ImageEnhance.Color),
        ("contrast", ImageEnhance.Contrast),
        ("brightness", ImageEnhance.Brightness),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_blends_are_pillows_at_factors_1_18_and_0_82(name, enhance, negative):
    wanted = by_pillow(lambda image: enhance(image).enhance(0.82 if negative else 1.18))
    views = augmented(IMAGES, drawn(name, negative=negative), 6.0)
    # Grey, means and blends are rounded at other places.
    assert (views.int() - wanted.int()).abs().max() <= 2


@pytest.mark.parametrize(
    ("name", "change"), [("auto-contrast", ImageOps.autocontrast), ("equalize", ImageOps.equalize)]
)
def test_histograms_are_changed_as_pillow_does(name, change):
    views = augmented(IMAGES, drawn(name), 6.0)
    assert (views.int() - by_pillow(change).int()).abs().max() <= 1


@pytest.mark.parametrize(("negative", "shift"), [(False, 6), (True, -6)])
def test_translations_are_in_pixels(negative, shift):
    # 30 pixels at full magnitude are 6 at a fifth of it.
    views = augmented(IMAGES, drawn("translate-x", negative=negative), 6.0, translation_px=30.0)
    wanted = torch.zeros_like(IMAGES)
    if shift > 0:
        wanted[..., shift:] = IMAGES[..., :-shift]
    else:
        wanted[..., :shift] = IMAGES[..., -shift:]
    assert torch.equal(views, wanted)
    views = augmented(IMAGES, drawn("translate-y"), 6.0, translation_px=30.0)
    assert torch.equal(views[:, :, 6:], IMAGES[:, :, :-6])
    assert not views[:, :, :6].any()


def test_shears_keep_the_first_row_or_column_and_move_the_others():
    images = torch.zeros(1, 3, 101, 101, dtype=torch.uint8)
    images[..., 50] = 255
    # A shear of 0.06 moves row 99.5 by about 6 pixels.
    for negative in (False, True):
        views = augmented(images, drawn("shear-x", images=1, negative=negative), 6.0)[0, 0]
        assert views[0].argmax() == 50
        assert abs(views[99].int().argmax().item() - 50) == 6
    views = augmented(images.transpose(2, 3), drawn("shear-y", images=1), 6.0)[0, 0]
    assert views[:, 0].argmax() == 50
    assert abs(views[:, 99].argmax().item() - 50) == 6


def test_a_rotation_is_by_6_degrees():
    wanted = {
        negative: by_pillow(lambda image, angle=angle: image.rotate(angle))
        for negative, angle in ((False, 6.0), (True, -6.0))
    }
    for negative, expected in wanted.items():
        views = augmented(IMAGES, drawn("rotate", negative=negative), 6.0)
        # Ties between neighbours may fall otherwise.
        assert (views == expected).float().mean() > 0.97


def test_images_of_a_batch_have_operations_of_their_own():
    draws = Draws(
        torch.tensor([[OPERATIONS.index("identity")], [OPERATIONS.index("solarize")], [OPERATIONS.index("posterize")]]),
        torch.zeros(3, 1, dtype=torch.bool),
        torch.zeros(3, 1),
    )
    views = augmented(IMAGES, draws, 6.0)
    assert torch.equal(views[0], IMAGES[0])
    assert torch.equal(views[1:2], augmented(IMAGES[1:2], drawn("solarize", images=1), 6.0))
    assert torch.equal(views[2:], augmented(IMAGES[2:], drawn("posterize", images=1), 6.0))


def test_two_operations_follow_each_other():
    both = Draws(*(torch.cat(parts, dim=1) for parts in zip(
        (drawn("solarize").operations, drawn("solarize").negative, drawn("solarize").chances),
        (drawn("posterize").operations, drawn("posterize").negative, drawn("posterize").chances),
        strict=True,
    )))  # fmt: skip
    wanted = augmented(augmented(IMAGES, drawn("solarize"), 6.0), drawn("posterize"), 6.0)
    assert torch.equal(augmented(IMAGES, both, 6.0), wanted)


def test_draws_come_from_the_generator_and_reach_every_operation():
    one, again, other = (draw(2000, 1, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.operations, again.operations)
    assert torch.equal(one.chances, again.chances)
    assert not torch.equal(one.operations, other.operations)
    counts = one.operations.flatten().bincount(minlength=14)
    assert len(counts) == 14
    # 2,000 / 14 = 143, with a deviation of 11.5.
    assert counts.min() > 143 - 46
    assert counts.max() < 143 + 46
    assert one.negative.float().mean().item() == pytest.approx(0.5, abs=0.04)


def test_a_jitter_of_strength_0_changes_nothing_and_draws_from_the_generator():
    # Hue goes there and back again through floating point.
    assert (colour_jittered(IMAGES, 0.0, generator()).int() - IMAGES.int()).abs().max() <= 1
    one, again, other = (colour_jittered(IMAGES, 0.4, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    grey = torch.full((64, 3, 2, 2), 100, dtype=torch.uint8)
    levels = colour_jittered(grey, 0.4, generator())[:, 0, 0, 0]
    # Of grey only the brightness changes: by factors from 0.6 to 1.4.
    assert 60 <= levels.min() < 70
    assert 130 < levels.max() <= 140
