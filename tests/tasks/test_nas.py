"""Architecture search as a task: what a search is given, what its solution must be, and what it is worth."""

import itertools
from dataclasses import fields, replace

import pytest
import torch

from bench import Unsupported, UserError
from bench.measure.parameters import measure_parameters
from tasks.nas import NAS, Found, NASHeldOut
from tasks.nas.augmentation import augmented
from tasks.nas.darts import DARTS, published
from tasks.nas.datasets import DIGITS_CELLS, RECIPES, noise
from tasks.nas.spaces import Architecture
from tasks.nas.tabular import NAS_BENCH_201

SMALL = NAS(sample=12, images=64)


def cell(*choice: int) -> Architecture:
    return Architecture(DIGITS_CELLS, choice)


def held_out(accuracies: torch.Tensor) -> NASHeldOut:
    """A table with the test accuracies of the 125 cells."""
    return NASHeldOut(DIGITS_CELLS, {"accuracy": accuracies.double()}, 8, 1, 10, (1, 14, 14))


RISING = held_out(torch.arange(125) / 2)
"""Cell number n reaches n / 2 %."""


@pytest.fixture(scope="module")
def training():
    return SMALL.load("digits-cells-training", "smoke", 0)


# What the found architecture is worth ---------------------------------------------------------------------------------


def test_an_architecture_is_told_its_accuracy_its_place_and_what_it_lacks():
    metrics = SMALL.evaluate(Found(DIGITS_CELLS.architecture(100)), RISING).metrics
    assert metrics["accuracy"] == 50
    # 101 of 125 are no better, itself among them; the best has 62 %.
    assert metrics["percentile"] == pytest.approx(100 * 101 / 125)
    assert metrics["regret"] == 12


def test_the_best_has_no_regret_and_ties_share_a_place():
    tied = held_out(torch.full((125,), 90.0))
    metrics = SMALL.evaluate(Found(cell(0, 0, 0)), tied).metrics
    assert (metrics["percentile"], metrics["regret"]) == (100, 0)


def test_every_column_of_the_table_is_told():
    table = replace(
        RISING, test={"accuracy": RISING.test["accuracy"], "accuracy_cifar100": torch.arange(125.0).flip(0)}
    )
    metrics = SMALL.evaluate(Found(cell(0, 0, 0)), table).metrics
    assert (metrics["accuracy"], metrics["percentile"], metrics["regret"]) == (0, 100 / 125, 62)
    assert (metrics["accuracy_cifar100"], metrics["percentile_cifar100"]) == (124, 100)


def test_the_costs_told_are_those_of_the_network_trained_in_the_end():
    metrics = SMALL.evaluate(Found(cell(3, 3, 3)), RISING).metrics
    # Stem 72 + 16; 3x3 cells of 8 and of 16 channels, three convolutions each; block 8 -> 16; last norm; classifier.
    cells = 3 * (9 * 8 * 8 + 16) + 3 * (9 * 16 * 16 + 32)
    block = 9 * 8 * 16 + 32 + 9 * 16 * 16 + 32 + 8 * 16
    assert metrics["network_parameters"] == 88 + cells + block + 32 + 170
    macs = 14 * 14 * (9 * 8 + 3 * 9 * 8 * 8) + 7 * 7 * (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16 + 3 * 9 * 16 * 16) + 160
    assert metrics["network_macs"] == macs


def test_darts_has_costs_and_no_accuracy():
    part = NASHeldOut(DARTS, {}, 36, 20, 10, (3, 32, 32))
    metrics = SMALL.evaluate(Found(published("DARTS_V2")), part).metrics
    assert set(metrics) == {"network_parameters", "network_macs"}
    assert metrics["network_parameters"] == 3_349_342


# What scores are worth ------------------------------------------------------------------------------------------------


def scored(numbers: list[int], scores: list[float], table: NASHeldOut = RISING) -> dict[str, float]:
    architectures = tuple(DIGITS_CELLS.architecture(number) for number in numbers)
    return SMALL.evaluate(Found(architectures[0], architectures, torch.tensor(scores)), table).metrics


def test_correlations_are_those_of_the_scored_architectures():
    metrics = scored([5, 10, 20, 40], [1.0, 3.0, 2.0, 4.0])
    # Of six pairs one is in the wrong order; squared differences of ranks are 0, 1, 1, 0.
    assert metrics["kendall"] == pytest.approx((5 - 1) / 6)
    assert metrics["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert metrics["kendall_low"] <= metrics["kendall"] <= metrics["kendall_high"]


def test_high_scores_are_good_ones():
    numbers = torch.randperm(125, generator=torch.Generator().manual_seed(0))[:8].tolist()
    assert scored(numbers, [float(number) for number in numbers])["kendall"] == pytest.approx(1)
    assert scored(numbers, [-float(number) for number in numbers])["kendall"] == pytest.approx(-1)


def test_the_parameter_count_is_told_beside_on_the_same_architectures():
    # 3x3 convolutions: none, one, two, three; accuracies fall with them; the scores say the opposite of that.
    architectures = (cell(1, 1, 1), cell(3, 1, 1), cell(3, 3, 1), cell(3, 3, 3))
    accuracies = torch.zeros(125)
    for place, architecture in enumerate(architectures):
        accuracies[DIGITS_CELLS.number(architecture)] = 90 - place
    found = Found(architectures[0], architectures, torch.tensor([4.0, 3.0, 2.0, 1.0]))
    metrics = SMALL.evaluate(found, held_out(accuracies)).metrics
    assert metrics["kendall"] == pytest.approx(1)
    assert metrics["kendall_parameters"] == pytest.approx(-1)


def test_cells_that_let_nothing_through_are_left_out_of_one_correlation():
    # Two dead cells, both 10 %, score least; among the living the order is reversed.
    dead, living = (cell(0, 0, 0), cell(1, 0, 0)), (cell(1, 1, 1), cell(3, 3, 3), cell(2, 2, 2))
    accuracies = torch.full((125,), 10.0)
    for place, architecture in enumerate(living):
        accuracies[DIGITS_CELLS.number(architecture)] = 70 + place
    found = Found(dead[0], dead + living, torch.tensor([0.0, 0.0, 9.0, 8.0, 7.0]))
    metrics = SMALL.evaluate(found, held_out(accuracies)).metrics
    assert metrics["kendall_connected"] == pytest.approx(-1)
    # Ten pairs, one of them tied in both: six in order, three not. tau-b: 3 / 9.
    assert metrics["kendall"] == pytest.approx(3 / 9)


def test_without_scores_or_with_equal_ones_there_is_no_correlation():
    without = SMALL.evaluate(Found(cell(1, 1, 1)), RISING).metrics
    assert not [name for name in without if name.startswith(("kendall", "spearman"))]
    equal = scored([5, 10, 20, 40], [1.0] * 4)
    assert "kendall" not in equal
    assert "spearman" not in equal
    # The parameter count's does not depend on them.
    assert "kendall_parameters" in equal


# What a solution must be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        ("conv3", "a solution must be a Found, got str"),
        (Found(NAS_BENCH_201.architecture(0)), "must be of digits-cells, got nas-bench-201"),
        (Found(cell(0, 0)), "one of 5 operators on each of 3 edges"),
        (Found(cell(0, 0, 7)), "one of 5 operators on each of 3 edges"),
        (Found(cell(0, 0, 0), scores=torch.ones(1)), "come together"),
        (Found(cell(0, 0, 0), (cell(1, 1, 1),)), "come together"),
        (Found(cell(0, 0, 0), (cell(1, 1, 1),), torch.ones(2)), r"1 architectures need as many finite scores"),
        (Found(cell(0, 0, 0), (cell(1, 1, 1),), torch.tensor([torch.nan])), "with NaN or infinity"),
        (Found(cell(0, 0, 0)), "must bring its trained network"),
    ],
)
def test_what_is_no_solution_is_refused(solution, message, training):
    with pytest.raises(ValueError, match=message):
        SMALL.check(solution, training[0])


# What a search is given -----------------------------------------------------------------------------------------------


def images_of(problem) -> set[bytes]:
    return {image.numpy().tobytes() for part in (problem.images, problem.search_images) for image in part}


def test_a_problem_holds_no_test_image(training):
    problem, part = NAS(images=5000).load("digits-cells-training", "smoke", 0)
    assert (len(problem.images), len(problem.search_images), len(part.test_part[1])) == (500, 1000, 3500)
    assert not images_of(problem) & {image.numpy().tobytes() for image in part.test_part[0]}
    # Nor does the half for weights hold an image of the half for architectures.
    assert not {image.numpy().tobytes() for image in problem.images} & {
        image.numpy().tobytes() for image in problem.search_images
    }


def test_the_digits_are_cut_once_for_all_seeds_and_the_sample_is_not(training):
    problem, _ = training
    other, _ = SMALL.load("digits-cells-training", "smoke", 1)
    assert torch.equal(problem.images, other.images)
    assert problem.sample != other.sample
    assert len(set(problem.sample)) == 12


def test_settings_bound_the_images_and_scale_the_supernet(training):
    problem, _ = NAS(sample=3, images=64, width=0.5, depth=2.0).load("digits-cells-training", "small", 0)
    assert len(problem.images) == len(problem.search_images) == 64
    assert (problem.channels, problem.cells) == (4, 2)
    # The network that is trained in the end keeps its size.
    assert (problem.network_channels, problem.network_cells) == (8, 1)
    supernet = problem.supernet()
    assert supernet(problem.images[:2], problem.sample[0].weights()).shape == (2, 10)
    assert sum(type(layer).__name__ == "Cell" for layer in supernet.layers) == 2 * 2


def test_nothing_that_was_never_trained_can_be_tried_out(training):
    with pytest.raises(Unsupported, match="no architecture of digits-cells has been trained"):
        training[0].validation(cell(1, 1, 1))
    assert training[0].oracle_best is None


def test_noise_has_the_shape_of_the_images_and_no_label_to_learn():
    parts = noise(RECIPES["nasbench201"], 500, torch.Generator().manual_seed(0))
    assert parts.train[0].shape == parts.validation[0].shape == (500, 3, 32, 32)
    # 1.5 million draws of N(0, 1): five deviations of the mean are 0.004.
    assert abs(parts.train[0].mean().item()) < 0.004
    assert parts.train[0].std().item() == pytest.approx(1, abs=0.004)
    assert set(parts.train[1].tolist()) == set(range(10))
    assert parts.background.tolist() == [0, 0, 0]


def test_an_unknown_data_set_is_refused():
    with pytest.raises(UserError, match="unknown data set of nas: nasbench2O1; did you mean nasbench201"):
        SMALL.load("nasbench2O1", "smoke", 0)


# Augmentation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flips", [False, True])
def test_an_augmented_image_is_a_shifted_and_perhaps_mirrored_one(flips):
    rng = torch.Generator().manual_seed(0)
    image = torch.randn(2, 5, 5, generator=rng)
    shade = torch.tensor([-3.0, 7.0])
    wide = shade.reshape(2, 1, 1).repeat(1, 7, 7)
    wide[:, 1:6, 1:6] = image
    crops = [wide[:, top : top + 5, left : left + 5] for top, left in itertools.product(range(3), range(3))]
    expected = {crop.contiguous().numpy().tobytes() for crop in crops}
    if flips:
        expected |= {crop.flip(2).contiguous().numpy().tobytes() for crop in crops}
    drawn = augmented(image.expand(900, 2, 5, 5), shade, 1, flips, rng)
    # Taking the shade off and putting it back rounds; the image itself survives it to a few ulp.
    found = {crop.numpy().tobytes() for crop in crops_near(drawn, [*crops, *(crop.flip(2) for crop in crops)])}
    assert found == expected


def crops_near(drawn: torch.Tensor, crops: list[torch.Tensor]) -> list[torch.Tensor]:
    """For each image the crop that it is, to rounding."""
    stacked = torch.stack([crop.contiguous() for crop in crops])
    nearest = [(stacked - image).abs().amax(dim=(1, 2, 3)).min(dim=0) for image in drawn]
    assert all(distance < 1e-5 for distance, _ in nearest)
    return [stacked[place] for _, place in nearest]


def test_no_padding_and_no_flip_leave_images_as_they_are():
    images = torch.randn(4, 1, 6, 6)
    same = augmented(images, torch.zeros(1), 0, False, torch.Generator())
    assert torch.equal(same, images)


# Costs ----------------------------------------------------------------------------------------------------------------


def test_the_workload_is_the_network_found(training):
    problem, _ = training
    before = torch.get_rng_state()
    workload = SMALL.workload(Found(cell(3, 3, 3)), problem)
    assert torch.equal(before, torch.get_rng_state())
    found = SMALL.evaluate(Found(cell(3, 3, 3)), RISING).metrics
    assert measure_parameters(Found(cell(3, 3, 3)), workload.call).value == found["network_parameters"]
    assert not workload.call.training
    assert workload.call(*workload.inputs).shape == (workload.items, 10)


def test_a_problem_names_what_only_oracles_may_read():
    told = {item.name for item in fields(SMALL.load("digits-cells-training", "smoke", 0)[0])}
    assert "oracle_best" in told
    assert not any("test" in name for name in told)
