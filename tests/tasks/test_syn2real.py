"""The task: what problems hold, what counts as right, what a solution keeps, and what the teacher knows."""

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench import UserError
from tasks.syn2real import Network, Syn2Real, Syn2RealHeldOut, Syn2RealProblem, Transfer, teacher
from tasks.syn2real.networks import Recogniser, build, weights_of
from tasks.syn2real.scoring import accuracy, class_ious, mean_class_accuracy, probabilities
from tasks.syn2real.teacher import compute, teacher_features

TINY = Syn2Real(side=32, drawn_per_class=4, target_per_class=2, height=64, crop=64, source_scenes=3, target_scenes=2)


@pytest.fixture(scope="module")
def loaded() -> tuple[Syn2RealProblem, Syn2RealHeldOut]:
    return TINY.load("font-digits-to-mnist5k", "smoke", 0)


class Brightness(nn.Module):
    """Two classes: the brightness of the left half of an image against that of the right, in hundredths."""

    def forward(self, images: Tensor) -> Tensor:
        left, right = images.float().tensor_split(2, dim=-1)
        return torch.stack([left.mean((1, 2, 3)), right.mean((1, 2, 3))], dim=1) / 100

    def features(self, images: Tensor) -> Tensor:
        return images.float().mean(3).flatten(1)


# Problems -------------------------------------------------------------------------------------------------------------


def test_images_of_a_seed_are_equal_and_a_tenth_of_each_class_is_set_apart(loaded):
    problem, held_out = loaded
    again, _ = TINY.load("font-digits-to-mnist5k", "smoke", 0)
    other, _ = TINY.load("font-digits-to-mnist5k", "smoke", 1)
    assert torch.equal(problem.images, again.images)
    assert not torch.equal(problem.images, other.images)
    # A tenth of four is none, and one is the least.
    assert problem.labels.bincount().tolist() == [3] * 10
    assert problem.validation_labels.bincount().tolist() == [1] * 10
    assert held_out.labels.bincount().tolist() == [2] * 10
    assert problem.images.shape[1:] == held_out.images.shape[1:] == (3, 32, 32)


def test_no_real_image_is_in_the_problem(loaded):
    problem, held_out = loaded
    real = {image.numpy().tobytes() for image in held_out.images}
    synthetic = {image.numpy().tobytes() for image in (*problem.images, *problem.validation_images)}
    assert not real & synthetic


def test_digits_are_never_mirrored(loaded):
    assert not loaded[1].mirrored


def test_a_class_of_one_image_is_refused_in_one_line():
    with pytest.raises(UserError, match="drawn_per_class=10"):
        replace(TINY, drawn_per_class=1).load("font-digits-to-mnist5k", "smoke", 0)


def test_scenes_are_flat_where_synthetic_and_have_all_their_pixels_labelled_alike():
    problem, held_out = TINY.load("streets-to-streets-shifted", "smoke", 0)
    assert problem.dense
    assert problem.labels.shape[1:] == problem.images.shape[2:] == (64, 128)
    # Five bits a colour: 32 values at most.
    assert len(problem.images.unique()) <= 32 < len(held_out.images.unique())


def test_weights_that_nobody_ships_are_asked_for_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"resnet101-\*\.pth into .*backbone=efficientnet-lite0"):
        replace(TINY, backbone="resnet101").load("font-digits-to-mnist5k", "smoke", 0)
    (tmp_path / "imagenet-weights").mkdir()
    file = tmp_path / "imagenet-weights" / "resnet101-5d3b4d8f.pth"
    file.touch()
    assert weights_of("resnet101") == file


def test_weights_trained_with_mixed_norms_are_found_and_two_files_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    folder = tmp_path / "imagenet-weights"
    folder.mkdir()
    plain, mixed = folder / "resnet50-0676ba61.pth", folder / "resnet50_ibn_a-d9d0bb7b.pth"
    plain.touch()
    assert weights_of("resnet50", ibn=True) == plain
    mixed.touch()
    assert weights_of("resnet50", ibn=True) == mixed
    assert weights_of("resnet50") == plain
    # What a method builds with is what was found.
    with pytest.raises(UserError, match=r"resnet50_ibn_a-d9d0bb7b\.pth cannot be read"):
        build("resnet50", 2, dense=False, ibn=True, seed=0)
    (folder / "resnet50-11ad3fa6.pth").touch()
    with pytest.raises(UserError, match=r"in 2 files, resnet50-0676ba61\.pth, resnet50-11ad3fa6\.pth; leave one"):
        weights_of("resnet50")


# Networks -------------------------------------------------------------------------------------------------------------


def test_heads_of_a_seed_are_equal_and_the_backbone_is_imagenets(loaded):
    problem, _ = loaded
    before = torch.get_rng_state()
    first, second = problem.build_network(), problem.build_network()
    assert torch.equal(torch.get_rng_state(), before)
    other = replace(problem, seed=9).build_network()
    names = [name for name, value in first.state_dict().items() if not torch.equal(value, other.state_dict()[name])]
    assert names and all(name.startswith("net.head.") for name in names)
    assert all(torch.equal(v, second.state_dict()[name]) for name, v in first.state_dict().items())
    assert not first.training


def test_groups_are_the_papers_seven_with_the_head_as_the_last(loaded):
    groups = loaded[0].build_network().groups()
    assert list(groups) == [
        "stem",
        "blocks_0_2",
        "blocks_3_4",
        "blocks_5_10",
        "blocks_11_15",
        "head_convolution",
        "new_head",
    ]
    # 1280 x 512 + 512, and 512 x 10 + 10.
    assert sum(p.numel() for p in groups["new_head"]) == 655_872 + 5_130


def test_a_reading_is_what_forward_and_features_give(loaded):
    problem, _ = loaded
    network = problem.build_network()
    with torch.no_grad():
        reading = network.read(problem.images[:2])
        assert torch.equal(reading.logits, network(problem.images[:2]))
        assert torch.equal(reading.features, network.features(problem.images[:2]))
        assert reading.features.allclose(reading.maps[4].mean((2, 3)))
    assert isinstance(network, Network) and isinstance(network.net, Recogniser)


# Scores ---------------------------------------------------------------------------------------------------------------


def test_accuracy_is_the_mean_over_classes_and_not_over_images():
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert mean_class_accuracy(torch.zeros(100, dtype=torch.int64), labels) == 0.5


def test_predictions_are_means_of_sigmoids_over_an_image_and_its_mirror():
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    image[..., :2] = 100
    # The left half says 1, the right 0; the mirror image the reverse: (sigmoid(1) + sigmoid(0)) / 2 for both.
    one, none = 1 / (1 + math.exp(-1)), 0.5
    assert probabilities(Brightness(), image, True).tolist()[0] == pytest.approx([(one + none) / 2] * 2, abs=1e-6)
    assert probabilities(Brightness(), image, False).tolist()[0] == pytest.approx([one, none], abs=1e-6)


def test_an_image_equal_to_its_mirror_is_predicted_alike_with_and_without_it():
    half = torch.randint(0, 256, (3, 3, 4, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image = torch.cat([half, half.flip(-1)], dim=-1)
    assert torch.equal(probabilities(Brightness(), image, True), probabilities(Brightness(), image, False))


def test_an_absent_class_is_left_out_of_the_mean_of_ious():
    class Truth(nn.Module):
        """Class 1 where a pixel is white, else class 0; never class 2."""

        def forward(self, images: Tensor) -> Tensor:
            white = (images[:, 0] > 0).float()
            return torch.stack([1 - white, white, torch.zeros_like(white)], dim=1)

    images = torch.zeros(2, 3, 2, 2, dtype=torch.uint8)
    images[:, :, 0] = 255
    labels = (images[:, 0] > 0).byte()
    ious = class_ious(Truth(), images, labels, 3)
    assert ious[:2].tolist() == [1, 1] and ious[2].isnan()
    assert ious.nanmean() == 1


def held_out_of(images: Tensor, labels: Tensor) -> Syn2RealHeldOut:
    return Syn2RealHeldOut(images, labels, images, labels, ("left", "right"), dense=False)


class Biased(Brightness):
    """Adds a parameter to the second logit."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + self.bias * torch.tensor([0.0, 1.0])


def test_the_best_on_real_images_is_an_oracle_beside_the_last_and_the_chosen_network():
    images = torch.zeros(4, 3, 4, 4, dtype=torch.uint8)
    images[:2, ..., :2] = 200
    images[2:, ..., 2:] = 200
    labels = torch.tensor([0, 0, 1, 1])
    weights = [{"bias": torch.tensor(bias)} for bias in (9.0, 0.0)]
    # A bias of 9 calls all right, 0 is perfect, -9 calls all left.
    solution = Transfer(Biased(-9.0), weights[0], weights)
    assert accuracy(Biased(0.0), images, labels, False) == 1
    metrics = Syn2Real().evaluate(solution, held_out_of(images, labels)).metrics
    assert metrics["accuracy"] == metrics["accuracy_source_selected"] == 50
    assert metrics["accuracy_best_on_target"] == 100
    plain = Syn2Real().evaluate(Biased(0.0), held_out_of(images, labels)).metrics
    assert plain["accuracy"] == plain["accuracy_source_selected"] == plain["accuracy_best_on_target"] == 100
    assert metrics["diversity"] == -metrics["energy_0"]
    assert metrics["energy_0_published"] == 2 * metrics["energy_0"] != 0


@pytest.mark.parametrize(
    ("solution", "told"),
    [
        (lambda images: images, "must be an nn.Module with a method `features`"),
        (nn.Flatten(), "must be an nn.Module with a method `features`"),
        (Brightness(), r"logits of shape \(2, 10\), got \(2, 2\)"),
    ],
)
def test_what_is_no_solution_is_refused(loaded, solution, told):
    with pytest.raises(ValueError, match=told):
        TINY.check(solution, loaded[0])


# The teacher ----------------------------------------------------------------------------------------------------------


def test_the_teacher_is_asked_once_about_a_data_set(loaded, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(teacher, "_features", {})
    problem, _ = loaded
    known, cpu = problem.teacher(), torch.device("cpu")
    first, seconds = teacher_features(known, problem.images, cpu)
    assert seconds > 0
    assert torch.equal(first, compute(known, problem.images, cpu))
    again, none = teacher_features(known, problem.images, cpu)
    assert none == 0 and torch.equal(first, again)
    # Another process has the file alone.
    monkeypatch.setattr(teacher, "_features", {})
    elsewhere, none = teacher_features(known, problem.images, cpu)
    assert none == 0 and torch.equal(first, elsewhere)
    # Other images are another question.
    _, seconds = teacher_features(known, problem.images.flip(0), cpu)
    assert seconds > 0


def test_a_folder_that_others_can_write_is_not_trusted(loaded, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(teacher, "_features", {})
    folder = tmp_path / f"allwin-teacher-{os.getuid()}"
    folder.mkdir()
    Path(folder).chmod(0o777)
    with pytest.raises(UserError, match="can be written by others"):
        teacher_features(loaded[0].teacher(), loaded[0].images, torch.device("cpu"))
