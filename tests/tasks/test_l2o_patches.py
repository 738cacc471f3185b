"""Compressive sensing of patches in L2O: bases, how patches are cut and measured, and the photographs' two parts."""

import math
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dct

from bench import MissingData
from tasks.l2o import L2O
from tasks.l2o.patches import (
    PatchSource,
    cosine_basis,
    embedded_photographs,
    haar_basis,
    patch_dictionary,
    tiles,
    without_mean,
    zipped_images,
)

TASK = L2O(patch_side=8, steps=4, validation_instances=32, test_instances=32)


# Bases ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("basis", [cosine_basis, haar_basis])
@pytest.mark.parametrize("size", [1, 2, 8, 16])
def test_both_bases_are_orthonormal(basis, size):
    atoms = basis(size)
    assert torch.allclose(atoms.T @ atoms, torch.eye(size).double(), atol=1e-12)


def test_the_cosine_basis_is_the_transform_of_scipy():
    signal = np.random.default_rng(0).normal(size=16)
    coefficients = cosine_basis(16).T.numpy() @ signal
    assert coefficients == pytest.approx(dct(signal, type=2, norm="ortho"))


def test_the_haar_basis_of_four_pixels_is_that_of_the_textbook():
    half, root = 0.5, 1 / math.sqrt(2)
    expected = [[half, half, root, 0], [half, half, -root, 0], [half, -half, 0, root], [half, -half, 0, -root]]
    assert torch.allclose(haar_basis(4), torch.tensor(expected).double())


def test_the_dictionary_of_patches_joins_both_bases_in_two_dimensions():
    dictionary = patch_dictionary(8)
    assert dictionary.shape == (64, 128)
    assert torch.allclose(dictionary.norm(dim=0), torch.ones(128), atol=1e-6)
    # Atom 8 r + c of the first half is a cosine of frequency r down the rows and c along the columns.
    line = dct(np.eye(8), type=2, norm="ortho", axis=0).T
    assert dictionary[:, 8 * 2 + 5].numpy() == pytest.approx(np.outer(line[:, 2], line[:, 5]).reshape(-1), abs=1e-6)
    # Each half is orthonormal, so that a patch has exact coefficients in either.
    for half in dictionary.split(64, dim=1):
        assert torch.allclose(half.T @ half, torch.eye(64), atol=1e-6)


# Patches --------------------------------------------------------------------------------------------------------------


def test_tiles_cover_an_image_row_by_row_without_its_rest():
    image = torch.arange(5 * 7, dtype=torch.uint8).reshape(5, 7)
    cut = tiles([image, image[:2, :2]], 2)
    assert cut.shape == (6 + 1, 4)
    assert (cut[0] * 255).tolist() == pytest.approx([0, 1, 7, 8])
    assert (cut[1] * 255).tolist() == pytest.approx([2, 3, 9, 10])
    assert (cut[3] * 255).tolist() == pytest.approx([14, 15, 21, 22])
    rows = [torch.cat([cut[3 * row + column].reshape(2, 2) for column in range(3)], dim=1) for row in range(2)]
    assert torch.equal((torch.cat(rows) * 255).round().to(torch.uint8), image[:4, :6])


def test_a_patch_without_its_mean_has_none_and_the_same_differences():
    patches = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    assert without_mean(patches).tolist() == [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_drawn_patches_are_cut_anywhere_in_an_image_and_nowhere_else():
    image = torch.arange(6 * 6, dtype=torch.uint8).reshape(6, 6)
    source = PatchSource((image,), 5, torch.eye(25), torch.eye(25), 0.005)
    signals = source.draw(200, 0).signals
    # Left and top neighbours differ by 1 and by 6 wherever a patch is cut, so that all patches are alike without mean.
    by_hand = without_mean(image[:5, :5].reshape(1, -1).float() / 255)
    assert torch.allclose(signals, by_hand.expand_as(signals), atol=1e-6)
    flag = torch.zeros(6, 6, dtype=torch.uint8)
    flag[0, 0], flag[5, 5] = 255, 255
    corners = PatchSource((flag,), 5, torch.eye(25), torch.eye(25), 0.005).draw(200, 0).signals
    # Four places: one shows the first corner, one the last, two show nothing.
    shown = {tuple((patch - patch.min() > 0.5).nonzero().flatten().tolist()) for patch in corners}
    assert shown == {(0,), (24,), ()}


def test_measurements_are_those_of_the_patch_and_of_any_vector_that_composes_it():
    problem, held_out = TASK.load("cs-photos", "small", 0)
    samples, source = problem.validation, problem.source
    assert source.sensing.shape == (32, 64)
    assert samples.instances.measurements.numpy() == pytest.approx(
        (samples.signals @ source.sensing.T).numpy(), abs=1e-5
    )
    assert torch.allclose(problem.dictionary.norm(dim=0), torch.ones(128), atol=1e-5)
    x = torch.randn(5, 128, generator=torch.Generator().manual_seed(0))
    # A x = Phi D x.
    assert torch.allclose(x @ problem.dictionary.T, problem.target(x) @ source.sensing.T, atol=1e-4)
    # The exact coefficients of a patch in the cosine half: D is fixed, and its columns were scaled.
    scale = problem.synthesis[:, :64].norm(dim=0)
    exact = torch.zeros(32, 128)
    exact[:, :64] = samples.signals @ (problem.synthesis[:, :64] / scale) / scale
    assert torch.allclose(problem.target(exact), samples.signals, atol=1e-4)
    assert samples.instances.residual(exact).abs().max().item() < 1e-3
    assert problem.loss(exact, samples).item() == pytest.approx(0, abs=1e-6)
    # The test's tiles are measured without their mean.
    centred = held_out.tiles - held_out.tiles.mean(dim=1, keepdim=True)
    assert torch.allclose(held_out.samples.instances.measurements, centred @ source.sensing.T, atol=1e-4)


def test_draws_of_patches_depend_on_the_seed_alone():
    problem, _ = TASK.load("cs-photos", "small", 0)
    first = problem.draw(8, 1)
    problem.draw(3, 2)
    assert torch.equal(first.signals, problem.draw(8, 1).signals)
    assert not torch.equal(first.signals, problem.draw(8, 2).signals)


# The images -----------------------------------------------------------------------------------------------------------


def test_the_two_parts_of_the_photographs_are_all_of_their_columns_and_share_none():
    train, test = embedded_photographs()
    from sklearn.datasets import load_sample_images

    for left, right, whole in zip(train, test, load_sample_images().images, strict=True):
        assert left.shape[0] == right.shape[0] == 427
        assert (left.shape[1], right.shape[1]) == (427, 213)
        grey = np.array(Image.fromarray(whole).convert("L"))
        assert np.array_equal(torch.cat([left, right], dim=1).numpy(), grey)
    # No patch of the test is a patch of the training part: all places, by their bytes.
    side = 8
    places = {
        image[r : r + side, c : c + side].numpy().tobytes()
        for image in train
        for r in range(0, 419, 1)
        for c in range(0, 419, 7)
    }
    held = {tile.numpy().tobytes() for tile in (tiles(list(test), side) * 255).round().to(torch.uint8)}
    assert not held & places


def test_test_tiles_are_chosen_by_the_seed_without_repetition():
    (_, one), (_, two) = (TASK.load("cs-photos", "small", seed) for seed in (0, 1))
    assert one.tiles.shape == (32, 64)
    assert not torch.equal(one.tiles, two.tiles)
    everything = L2O(patch_side=8, validation_instances=1, test_instances=10**6).load("cs-photos", "small", 0)[1]
    # 427 x 213 of both: 53 x 26 tiles each.
    assert len(everything.tiles) == 2 * 53 * 26


def test_an_archive_is_read_in_the_order_of_its_names_and_in_grey(tmp_path):
    with ZipFile(tmp_path / "images.zip", "w") as archive:
        for name, colour in (("b.png", (0, 255, 0)), ("a.png", (255, 255, 255))):
            Image.new("RGB", (6, 4), colour).save(tmp_path / name)
            archive.write(tmp_path / name, f"folder/{name}")
        archive.writestr("readme.txt", "none")
    white, green = zipped_images(tmp_path / "images.zip")
    assert white.shape == (4, 6)
    assert white.unique().tolist() == [255]
    # 0.587 of 255.
    assert green.unique().tolist() == [150]


def test_the_archives_of_bsd_have_200_images_and_set14_has_14():
    try:
        problem, held_out = TASK.load("cs-bsd", "small", 0)
    except MissingData as error:
        pytest.skip(str(error))
    assert len(problem.source.images) == 200
    assert held_out.tiles.shape == (32, 64)
    assert {image.shape for image in problem.source.images} <= {(321, 481), (481, 321)}
