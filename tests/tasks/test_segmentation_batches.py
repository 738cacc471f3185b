"""What networks of segmentation are fed: normalised images, and crops that depend on (seed, k) alone."""

import pytest
import torch
from torch.nn.functional import interpolate

from bench import UserError
from bench.run import Run
from tasks.segmentation import IGNORE, Augmented, normalised
from tasks.segmentation.batches import cut, taken


def pictures(number: int = 6, height: int = 12, width: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images, and labels that can be told from a pixel: its red, by eleven."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (number, 3, height, width), generator=generator).to(torch.uint8)
    return images, images[:, 0] % 11


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def whole(images: torch.Tensor, labels: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """All of the scaled images."""
    rows, columns = (
        taken(side, round(side * scale), one(scale), one(0.0)).expand(len(images), -1) for side in images.shape[2:]
    )
    return cut(images, labels, rows, columns)


def test_a_normalised_pixel_is_as_published():
    images = torch.tensor([255, 0, 128], dtype=torch.uint8).reshape(1, 3, 1, 1)
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    assert normalised(images).flatten().tolist() == pytest.approx(expected, rel=1e-6)
    assert images.flatten().tolist() == [255, 0, 128]


def test_without_scaling_a_crop_is_a_piece_of_the_image():
    images, labels = pictures(1)
    rows, columns = taken(12, 5, one(1.0), one(0.999)), taken(20, 8, one(1.0), one(0.0))
    crop, classes = cut(images, labels, rows, columns)
    # The last of the 12 - 5 + 1 places from above, the first from the left.
    torch.testing.assert_close(crop, normalised(images)[:, :, 7:12, 0:8], atol=2e-5, rtol=0)
    assert torch.equal(classes, labels[:, 7:12, 0:8].long())


def test_every_place_where_a_crop_fits_is_equally_likely():
    places = torch.linspace(0, 1, 80_001, dtype=torch.float64)[:-1]
    starts = taken(12, 5, torch.ones_like(places), places)[:, 0] - 0.5
    assert starts.long().bincount().tolist() == [10_000] * 8


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.25, 2.0])
def test_scaling_is_torchs_bilinear_for_images_and_nearest_for_labels(scale):
    images, labels = pictures(2)
    scaled, classes = whole(images, labels, scale)
    size = round(12 * scale), round(20 * scale)
    expected = interpolate(normalised(images), size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(scaled, expected, atol=1e-4, rtol=0)
    assert torch.equal(classes, interpolate(labels[:, None].float(), size, mode="nearest-exact")[:, 0].long())


def test_what_is_smaller_than_the_crop_gets_a_margin_of_zeros_that_is_ignored():
    images, labels = pictures(1)
    rows, columns = taken(12, 16, one(1.0), one(0.4)), taken(20, 23, one(1.0), one(0.4))
    crop, classes = cut(images, labels, rows, columns)
    # Four rows and three columns too many: 2 above and below, 2 on the left and 1 on the right.
    torch.testing.assert_close(crop[:, :, 2:14, 2:22], normalised(images), atol=2e-5, rtol=0)
    assert torch.equal(classes[:, 2:14, 2:22], labels.long())
    margin = torch.ones(16, 23, dtype=torch.bool)
    margin[2:14, 2:22] = False
    assert (classes[0, margin] == IGNORE).all()
    assert (crop[0, :, margin] == 0).all()


def batches(run: Run, **options: object) -> Augmented:
    images, labels = pictures()
    return Augmented(images, labels, 4, run, **({"crop": (12, 20), "scales": (1.0,)} | options))


def test_half_of_the_images_are_mirrored_together_with_their_labels():
    images, labels = pictures()
    source = batches(Run(seed=0))
    plain, mirrored = ([normalised(i[None])[0] for i in kind] for kind in (images, images.flip(3)))
    turned = 0
    for _ in range(50):
        for crop, classes in zip(*next(source), strict=True):
            near = [torch.allclose(crop, image, atol=1e-4) for image in (*plain, *mirrored)].index(True)
            turned += near >= 6
            expected = labels.flip(2)[near - 6] if near >= 6 else labels[near]
            assert torch.equal(classes, expected.long())
    # 200 fair coins: within four deviations (7.07) of 100.
    assert 72 <= turned <= 128


def test_every_scale_is_drawn():
    source = batches(Run(seed=0), scales=(0.5, 1.0), crop=(6, 10))
    images, _ = pictures()
    small = interpolate(normalised(images), (6, 10), mode="bilinear", align_corners=False)
    count = sum(
        any(torch.allclose(crop, image, atol=1e-4) for image in (*small, *small.flip(3)))
        for _ in range(25)
        for crop in next(source)[0]
    )
    assert 30 <= count <= 70  # 100 fair coins, four deviations of 5


def test_a_batch_depends_on_the_seed_and_its_number_alone():
    first = batches(Run(seed=7), crop=(6, 6), scales=(0.75, 1.25))
    drawn = [next(first) for _ in range(6)]
    again = batches(Run(seed=7), crop=(6, 6), scales=(0.75, 1.25))
    for _ in range(2):
        next(again)
    kept = again.state_dict()
    later = batches(Run(seed=7), crop=(6, 6), scales=(0.75, 1.25))
    later.load_state_dict(kept)
    torch.rand(5)
    for images, labels in drawn[2:]:
        resumed = next(later)
        assert torch.equal(resumed[0], images)
        assert torch.equal(resumed[1], labels)
    other = next(batches(Run(seed=8), crop=(6, 6), scales=(0.75, 1.25)))
    assert not torch.equal(other[0], drawn[0][0])


def test_two_sources_of_one_run_draw_differently_and_leave_the_global_state_alone():
    run = Run(seed=7)
    before = torch.get_rng_state()
    first, second = next(batches(run, crop=(6, 6))), next(batches(run, crop=(6, 6)))
    assert not torch.equal(first[0], second[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_without_images_there_is_nothing_to_learn_from():
    empty = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(UserError, match=r"has no images to learn from; .*stages: \[profile\]"):
        Augmented(empty, empty[:, 0], 2, Run(seed=0), crop=(8, 8), scales=(1.0,))


@pytest.mark.parametrize("scales", [(), (1.0, 0.0)])
def test_scales_that_leave_no_image_are_refused(scales):
    with pytest.raises(UserError, match=r"scales must be above 0, and one at least, .*--set segmentation\.scales"):
        batches(Run(seed=0), scales=scales)
