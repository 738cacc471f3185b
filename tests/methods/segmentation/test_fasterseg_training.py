"""FasterSeg's training: distillation, hard pixels at three heads, step sizes, and what is left for deployment."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.run import Run
from methods.segmentation._losses import hard_pixels, ohem
from methods.segmentation.fasterseg import FasterSeg
from methods.segmentation.fasterseg.genotype import Genotype, from_json, student
from methods.segmentation.fasterseg.network import DerivedNetwork
from methods.segmentation.fasterseg.training import distilled, finished, learning_rate, supervised, train
from methods.segmentation.fasterseg_teacher import FasterSegTeacher
from tasks.segmentation import IGNORE, Segmentation, SegmentationProblem

CLASSES = 4
RECIPE: dict[str, Any] = {
    "lr_decay": 0.992,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "auxiliary": 0.2,
    "threshold": 0.7,
    "least": 0.0625,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(seed: int = 0) -> Tensor:
    return torch.randn(2, CLASSES, 6, 8, generator=generator(seed))


def tiny() -> Genotype:
    """Eight channels at an eighth."""
    return from_json(
        {
            "stem": [4, 8, 8],
            "shared": [],
            "branches": {
                "32": [
                    {"layer": 1, "op": "conv", "inputs": 8, "outputs": 16, "stride": 2},
                    {"layer": 2, "op": "conv", "inputs": 16, "outputs": 32, "stride": 2},
                ],
                "16": [{"layer": 2, "op": "conv", "inputs": 8, "outputs": 16, "stride": 2}],
            },
        }
    )


@pytest.fixture(scope="module")
def problem() -> SegmentationProblem:
    return Segmentation(**Segmentation.presets["smoke"]).load("streets", "smoke", 0)[0]


# Distillation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", ["per-element", "per-pixel"])
def test_a_student_that_says_what_its_teacher_says_has_no_loss_and_no_gradient(average: str) -> None:
    maps = logits().requires_grad_()
    loss = distilled(maps, logits(), average)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad, torch.zeros_like(maps.grad), atol=1e-8, rtol=0)


@pytest.mark.parametrize("average", ["per-element", "per-pixel"])
def test_only_differences_of_a_pixels_logits_count(average: str) -> None:
    shift = torch.randn(2, 1, 6, 8, generator=generator(7))
    plain = distilled(logits(0), logits(1), average)
    torch.testing.assert_close(distilled(logits(0) + shift, logits(1) - 3 * shift, average), plain)


def test_the_average_over_elements_is_a_kth_of_the_one_over_pixels() -> None:
    per_pixel, per_element = (distilled(logits(0), logits(1), average) for average in ("per-pixel", "per-element"))
    torch.testing.assert_close(per_element, per_pixel / CLASSES)


def test_the_divergence_of_a_sure_student_from_an_undecided_teacher() -> None:
    """Two classes: KL((1/2, 1/2) || (9/10, 1/10)) = 1/2 ln(5/9) + 1/2 ln 5 = 0.510826; the other way 0.368064."""
    sure = torch.tensor([math.log(9), 0.0]).reshape(1, 2, 1, 1)
    even = torch.zeros(1, 2, 1, 1)
    assert distilled(sure, even, "per-pixel").item() == pytest.approx(0.510826, abs=1e-6)
    assert distilled(even, sure, "per-pixel").item() == pytest.approx(0.368064, abs=1e-6)


# Hard pixels ----------------------------------------------------------------------------------------------------------


def labels(ignored: int = 10) -> Tensor:
    drawn = torch.randint(0, CLASSES, (2, 6, 8), generator=generator(3))
    drawn.flatten()[:ignored] = IGNORE
    return drawn


def test_with_every_pixel_hard_it_is_the_plain_cross_entropy() -> None:
    plain = nn.functional.cross_entropy(logits(), labels(), ignore_index=IGNORE)
    torch.testing.assert_close(ohem(logits(), labels(), 1.0, 0.0), plain)


def test_a_crop_without_labels_has_a_loss_of_zero() -> None:
    assert ohem(logits(), torch.full((2, 6, 8), IGNORE)).item() == 0


def test_a_higher_threshold_keeps_no_fewer_pixels_and_a_sixteenth_always_stays() -> None:
    sure = 8 * logits()  # so that few pixels are hard
    kept = [hard_pixels(sure, labels(), threshold, 6) for threshold in (0.0, 0.2, 0.5, 0.7, 1.0)]
    assert all((lower <= higher).all() for lower, higher in itertools.pairwise(kept))
    assert kept[0].sum() == 6
    assert kept[-1].sum() == (labels() != IGNORE).sum()


def test_what_is_said_of_ignored_pixels_changes_nothing() -> None:
    changed = logits().clone()
    changed.permute(0, 2, 3, 1)[labels() == IGNORE] = 50.0
    torch.testing.assert_close(ohem(changed, labels()), ohem(logits(), labels()))


def test_the_auxiliary_heads_count_a_fifth() -> None:
    maps = [logits(seed) for seed in range(3)]
    first, second, third = (ohem(each, labels()) for each in maps)
    torch.testing.assert_close(supervised(maps, labels(), 0.2, 0.7, 0.0625), first + 0.2 * (second + third))


# The loop -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0.01), (1, 0.00992), (100, 0.004479), (599, 8.14e-5)])
def test_the_step_size_falls_by_eight_thousandths_an_epoch(epoch: int, expected: float) -> None:
    """0.992^100 = 0.4479, and 0.992^599 = 0.00814."""
    assert learning_rate(0.01, 0.992, epoch) == pytest.approx(expected, rel=1e-3)


def test_a_step_of_training_is_one_of_sgd_at_that_step_size(problem: SegmentationProblem) -> None:
    """The first two steps of an epoch go 0.1 times the momentum's gradient, those of the second 0.05 times."""
    net = DerivedNetwork(tiny(), problem.classes)
    moved: list[float] = []
    run = Run(seed=0, on_step=lambda *_: moved.append(net.head[1].bias.detach().clone()))
    begun = net.head[1].bias.detach().clone()
    recipe = RECIPE | {"lr_decay": 0.5, "momentum": 0.0, "weight_decay": 0.0}
    gradients: list[Tensor] = []
    net.head[1].bias.register_hook(lambda grad: gradients.append(grad.clone()))
    train(net, "fit", problem.batches(2, run), run, epochs=2, epoch_steps=2, lr=0.1, **recipe)
    steps = [later - sooner for sooner, later in zip([begun, *moved], moved, strict=False)]
    for step, gradient, lr in zip(steps, gradients, [0.1, 0.1, 0.05, 0.05], strict=True):
        torch.testing.assert_close(step, -lr * gradient, atol=1e-7, rtol=1e-4)


def test_a_teacher_stays_as_it_is_and_is_followed(problem: SegmentationProblem) -> None:
    """With the divergence alone weighing much, the student comes nearer to its teacher than without."""
    ends = {}
    for weight in (0.0, 300.0):
        torch.manual_seed(0)
        teacher, net = (DerivedNetwork(tiny(), problem.classes) for _ in range(2))
        teacher.eval()
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        run = Run(seed=0)
        train(
            net, "fit", problem.batches(2, run), run, epochs=1, epoch_steps=12, lr=0.05, **RECIPE,
            teacher=teacher, distillation="per-element", distillation_weight=weight,
        )  # fmt: skip
        assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
        ends[weight] = sum(run.curves()["divergence"].y[-3:])
    assert ends[300.0] < 0.7 * ends[0.0]


@pytest.mark.parametrize("deployed", [False, True])
def test_deployment_leaves_out_what_only_training_uses_and_changes_no_logit(deployed: bool) -> None:
    net = DerivedNetwork(tiny(), CLASSES).eval()
    solution = finished(net, tiny(), CLASSES, deployed=deployed).eval()
    images = torch.rand(1, 3, 64, 64, generator=generator())
    assert torch.equal(solution(images), net(images))
    parameters = [sum(p.numel() for p in each.parameters()) for each in (solution, net)]
    assert (parameters[0] < parameters[1]) == deployed


def test_what_is_profiled_has_the_published_parameters() -> None:
    """Cityscapes' shapes, no image: 19 classes."""
    shapes = Segmentation().load("cityscapes-shape", "smoke", 0)[0]
    counts = [
        sum(p.numel() for p in method.build(shapes).parameters())
        for method in (FasterSeg(), FasterSeg(deployed=True), FasterSegTeacher(), FasterSegTeacher(deployed=True))
    ]
    assert counts == [4_385_689, 3_421_875, 23_524_137, 22_115_203]


@pytest.mark.parametrize(("distillation", "phases"), [("none", {"student"}), ("per-pixel", {"teacher", "student"})])
def test_a_teacher_is_trained_only_to_be_distilled(
    problem: SegmentationProblem, distillation: str, phases: set[str]
) -> None:
    run = Run(seed=0)
    recipe = FasterSeg.presets["smoke"] | {"epochs": 1, "teacher_epochs": 1}
    solution = FasterSeg(**recipe, distillation=distillation).fit(problem, run)
    assert {name.split("/")[0] for name in run.curves()} == phases
    assert solution.state_dict().keys() == DerivedNetwork(student(), problem.classes).state_dict().keys()
