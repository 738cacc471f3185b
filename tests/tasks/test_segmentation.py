"""The segmentation task: what a problem holds, and how a solution is checked, judged and profiled."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench import UserError
from bench.measure import macs as macs_module
from bench.registry import load as load_registry
from bench.run import Run
from tasks import segmentation
from tasks.segmentation import IGNORE, Segmentation, SegmentationHeldOut
from tasks.segmentation.batches import DEVIATION, MEAN
from tasks.segmentation.datasets import RECIPES, Drawing, Recipe, Splits
from tasks.segmentation.files import Part

TASK = Segmentation(height=64, crop_height=64, crop_width=64, scenes=2, test_scenes=2, validation=0.1)
NAMES = ("sky", "road", "car")


class ReadsRed(nn.Module):
    """Calls the class that is written in an image's red."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = ((images[:, 0] * DEVIATION[0] + MEAN[0]) * 255).round().long()
        return nn.functional.one_hot(red % self.classes, self.classes).permute(0, 3, 1, 2).float()


def held_out(called: torch.Tensor, labels: torch.Tensor, names: tuple[str, ...] = NAMES) -> SegmentationHeldOut:
    """Images on which `ReadsRed` calls what is given."""
    images = called.to(torch.uint8)[:, None].expand(-1, 3, -1, -1).contiguous()
    return SegmentationHeldOut(images, labels.to(torch.uint8), names)


# Problems -------------------------------------------------------------------------------------------------------------


def test_the_default_data_set_is_generated_and_says_so():
    entry = load_registry().tasks["segmentation"]
    assert (entry.cards[0].name, entry.cards[0].kind) == ("streets", "generated")
    assert entry.cards[0].title.startswith("GENERATED")
    assert {card.name for card in entry.cards} == set(RECIPES)


def test_a_problem_has_the_sizes_that_the_settings_ask_for():
    problem, test = replace(TASK, scenes=3).load("streets", "smoke", 0)
    assert problem.images.shape == (3, 3, 64, 128)
    assert problem.labels.shape == (3, 64, 128)
    assert problem.validation_images.shape == test.images.shape == (2, 3, 64, 128)
    assert (problem.images.dtype, problem.labels.dtype) == (torch.uint8, torch.uint8)
    assert (problem.classes, problem.crop, problem.workload_size) == (11, (64, 64), (1024, 2048))


def test_the_defaults_are_published():
    task = Segmentation()
    assert (task.crop_height, task.crop_width, task.scales) == (512, 1024, (0.75, 1.0, 1.25))
    assert (task.workload_height, task.workload_width, task.height) == (1024, 2048, 1024)


def test_the_same_seed_gives_the_same_problem_and_another_seed_another():
    (first, first_out), (second, second_out), (other, other_out) = (
        TASK.load("streets", "smoke", seed) for seed in (1, 1, 2)
    )
    for name in ("images", "labels", "validation_images", "validation_labels"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
        assert not torch.equal(getattr(first, name), getattr(other, name)), name
    assert torch.equal(first_out.images, second_out.images)
    assert not torch.equal(first_out.images, other_out.images)


def test_no_image_is_in_two_parts():
    problem, test = TASK.load("streets", "smoke", 0)
    parts = [problem.images, problem.validation_images, test.images]
    assert len({image.numpy().tobytes() for part in parts for image in part}) == 6


def test_a_data_set_without_a_validation_part_gives_a_share_of_its_training_images(monkeypatch):
    numbers = torch.arange(20, dtype=torch.uint8)[:, None, None, None]
    train = Part(numbers.expand(-1, 3, 4, 4).contiguous(), numbers[:, 0].expand(-1, 4, 4).contiguous())
    splits = Splits(train, None, train)
    monkeypatch.setitem(RECIPES, "cityscapes", Recipe(NAMES, lambda height, drawing: splits))
    problem, test = replace(TASK, validation=0.25).load("cityscapes", "paper", 0)
    kept, apart = (part[:, 0, 0].tolist() for part in (problem.labels, problem.validation_labels))
    assert (len(kept), len(apart), len(test.images)) == (15, 5, 20)
    assert sorted(kept + apart) == list(range(20))
    assert problem.images[:, 0, 0, 0].tolist() == kept
    other, _ = replace(TASK, validation=0.25).load("cityscapes", "paper", 1)
    assert other.validation_labels[:, 0, 0].tolist() != apart
    published, _ = replace(TASK, validation=0.0).load("cityscapes", "paper", 0)
    assert len(published.images) == 20
    with pytest.raises(UserError, match="no validation part; set one apart with --set segmentation.validation"):
        TASK.validate(ReadsRed(3), published)
    with pytest.raises(UserError, match="must leave images to learn from"):
        replace(TASK, validation=1.0).load("cityscapes", "paper", 0)


def test_a_problem_hands_out_batches_of_crops():
    problem, _ = TASK.load("streets", "smoke", 0)
    images, labels = next(problem.batches(3, Run(seed=0)))
    assert (images.shape, images.dtype) == ((3, 3, 64, 64), torch.float32)
    assert (labels.shape, labels.dtype) == ((3, 64, 64), torch.int64)
    assert set(labels.unique().tolist()) <= {*range(11), IGNORE}


def test_an_unknown_data_set_is_an_error_that_names_the_nearest():
    with pytest.raises(UserError, match="unknown data set of segmentation: cityscape; did you mean cityscapes"):
        TASK.load("cityscape", "smoke", 0)


# Networks that are only profiled --------------------------------------------------------------------------------------


def test_the_shape_of_cityscapes_has_its_classes_and_no_image():
    problem, test = Segmentation().load("cityscapes-shape", "paper", 0)
    assert (problem.classes, len(problem.images), len(test.images)) == (19, 0, 0)
    with pytest.raises(UserError, match="has no images to learn from"):
        problem.batches(2, Run(seed=0))
    with pytest.raises(ValueError, match="the test part has no pixel of road, sidewalk"):
        TASK.evaluate(ReadsRed(19), test)


def test_the_workload_is_one_image_of_the_published_size():
    problem, _ = Segmentation().load("cityscapes-shape", "paper", 0)
    net = nn.Conv2d(3, 19, 3, stride=8, padding=1, bias=False)
    workload = Segmentation().workload(net, problem)
    assert (workload.items, workload.label) == (1, "1 image of 3 x 1024 x 2048")
    with macs_module.MacsCounter() as counter:
        assert workload.call(*workload.inputs).shape == (1, 19, 128, 256)
    assert counter.macs == 128 * 256 * 19 * 3 * 9


@pytest.mark.parametrize(("dataset", "size"), [("cityscapes-shape", (72, 128)), ("streets", (72, 96))])
def test_the_workload_is_of_the_size_in_the_settings_whatever_the_data(dataset, size):
    task = replace(TASK, workload_height=size[0], workload_width=size[1])
    problem, _ = task.load(dataset, "smoke", 0)
    (images,) = task.workload(ReadsRed(problem.classes), problem).inputs
    assert images.shape == (1, 3, *size)
    assert images.std() > 0.5  # normalised noise, no constant


# Judging a solution ---------------------------------------------------------------------------------------------------

# Rows: 0 is right twice of three; 1 once, once called 0; 2 always, of two. The last pixel is ignored.
TRUTH = torch.tensor([[[0, 0, 0, 1], [1, 2, 2, IGNORE]]])
CALLED = torch.tensor([[[0, 0, 2, 1], [0, 2, 2, 1]]])


def test_metrics_agree_with_a_hand_worked_example():
    evaluation = TASK.evaluate(ReadsRed(3), held_out(CALLED, TRUTH))
    # IoU: 2 / (3 + 3 - 2), 1 / (2 + 1 - 1), 2 / (2 + 3 - 2).
    assert evaluation.metrics == pytest.approx(
        {
            "miou": 100 * (1 / 2 + 1 / 2 + 2 / 3) / 3,
            "pixel_accuracy": 100 * 5 / 7,
            "mean_accuracy": 100 * (2 / 3 + 1 / 2 + 1) / 3,
            "iou_sky": 50,
            "iou_road": 50,
            "iou_car": 100 * 2 / 3,
        }
    )
    assert evaluation.items == 1


def test_metrics_are_those_that_the_card_declares_and_a_perfect_solution_has_100():
    entry = load_registry().tasks["segmentation"]
    labels = torch.arange(22).reshape(1, 2, 11) % 11
    metrics = TASK.evaluate(ReadsRed(11), held_out(labels, labels, RECIPES["camvid"].class_names)).metrics
    assert set(metrics) == {metric.name for metric in entry.metrics_on("camvid")}
    assert set(metrics.values()) == {100.0}


def test_images_are_judged_alike_one_by_one_or_together(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    called, labels = (torch.randint(0, 3, (9, 8, 10), generator=generator) for _ in range(2))
    net = nn.Sequential(nn.BatchNorm2d(3), ReadsRed(3))
    net[0](torch.randn(4, 3, 8, 8) + 1)  # running statistics that no batch has
    together = TASK.evaluate(net, held_out(called, labels)).metrics
    monkeypatch.setattr(segmentation, "SCORED_PIXELS", 1)
    assert TASK.evaluate(net, held_out(called, labels)).metrics == together
    assert net.training
    assert net[0].num_batches_tracked == 1


def test_a_class_that_the_test_part_lacks_is_an_error():
    with pytest.raises(ValueError, match="the test part has no pixel of car, so no IoU of it exists"):
        TASK.evaluate(ReadsRed(3), held_out(CALLED, TRUTH.where(TRUTH != 2, 0)))


def test_validation_is_what_the_mean_iou_lacks():
    judged = held_out(CALLED, TRUTH)
    problem = replace(
        TASK.load("streets", "smoke", 0)[0],
        images=judged.images,
        labels=judged.labels,
        validation_images=judged.images,
        validation_labels=judged.labels,
        class_names=NAMES,
    )
    assert TASK.validate(ReadsRed(3), problem) == pytest.approx(100 - 100 * (1 / 2 + 1 / 2 + 2 / 3) / 3)


class Wrong(nn.Module):
    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor) -> object:
        return self.answer(images)


def logits(images: torch.Tensor, classes: int = 11) -> torch.Tensor:
    return torch.zeros(len(images), classes, *images.shape[2:])


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        (lambda images: images, "must be an nn.Module, got function"),
        (Wrong(lambda images: logits(images, 12)), r"shape \(1, 11, 64, 96\), got \(1, 12, 64, 96\)"),
        (Wrong(lambda images: logits(images)[:, :, ::8, ::8]), r"shape \(1, 11, 64, 96\), got \(1, 11, 8, 12\)"),
        # A network that rounds its sizes to multiples of 32 fails on the second size only.
        (
            Wrong(lambda images: logits(images)[:, :, : images.shape[2] // 32 * 32, : images.shape[3] // 32 * 32]),
            r"shape \(1, 11, 72, 104\), got \(1, 11, 64, 96\)",
        ),
        (Wrong(lambda images: (logits(images),)), "got tuple"),
        (Wrong(lambda images: logits(images) / 0), "must return finite logits"),
    ],
)
def test_a_solution_that_breaks_the_protocol_is_told_what_is_wrong(solution, message):
    problem, _ = Segmentation().load("cityscapes-shape", "smoke", 0)
    with pytest.raises(ValueError, match=message):
        TASK.check(solution, replace(problem, class_names=RECIPES["camvid"].class_names))


def test_a_solution_that_keeps_the_protocol_keeps_its_mode():
    problem, _ = Segmentation().load("cityscapes-shape", "smoke", 0)
    net = nn.Conv2d(3, 19, 1)
    Segmentation().check(net, problem)
    assert net.training


def test_drawing_says_how_much_is_drawn():
    splits = RECIPES["streets"].read(64, Drawing(scenes=2, test_scenes=1, seed=0))
    assert [len(part.images) for part in (splits.train, splits.validation, splits.test)] == [2, 1, 1]
