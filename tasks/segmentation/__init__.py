"""Semantic segmentation of street scenes: a class for each pixel, in real time.

Setting as in FasterSeg (Chen, Gong, Liu, Zhang, Li and Wang, ICLR 2020) and the networks that it is compared with.

b batch, n images, v validation images, h w pixels, k classes
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bench import Budget, Count, DatasetCard, Evaluation, Metric, Presets, Run, UnitInterval, UserError, Workload, task
from bench.measure.mode import evaluating
from bench.registry import unknown
from bench.seeds import derive_seed
from tasks.segmentation.batches import Augmented, normalised
from tasks.segmentation.classes import IGNORE
from tasks.segmentation.datasets import CARDS, RECIPES, Drawing, Splits
from tasks.segmentation.files import Part
from tasks.segmentation.scoring import class_ious, confusion, mean_accuracy, mean_iou, pixel_accuracy

__all__ = [
    "IGNORE",
    "Augmented",
    "Segmentation",
    "SegmentationHeldOut",
    "SegmentationProblem",
    "normalised",
]

SCORED_PIXELS = 2**21
"""Pixels scored at once, one image at least: their logits bound the memory of an evaluation."""

PROBES = ((64, 96), (72, 104))
"""Sizes (h, w) that `check` tries: multiples of 32, and none."""


@dataclass(frozen=True)
class SegmentationProblem:
    """What a method learns from. Images are bytes, for `normalised`; it holds no test data."""

    images: UInt8[Tensor, "n 3 h w"]
    labels: UInt8[Tensor, "n h w"]
    """The class of each pixel, or `IGNORE`."""
    validation_images: UInt8[Tensor, "v 3 h w"]
    validation_labels: UInt8[Tensor, "v h w"]
    class_names: tuple[str, ...]
    crop: tuple[int, int]
    """Height and width of what is trained on."""
    scales: tuple[float, ...]
    """By one of which a training image is scaled before it is cropped."""
    workload_size: tuple[int, int]
    """Height and width of the image on which costs are measured."""
    seed: int

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def batches(self, size: int, run: Run) -> Augmented:
        """Augmented batches of all training images, as most methods want them."""
        return Augmented(self.images, self.labels, size, run, crop=self.crop, scales=self.scales)


@dataclass(frozen=True)
class SegmentationHeldOut:
    """The test part."""

    images: UInt8[Tensor, "n 3 h w"]
    labels: UInt8[Tensor, "n h w"]
    class_names: tuple[str, ...]


def device_of(solution: nn.Module) -> torch.device:
    """Where a solution lies; the CPU for one without parameters."""
    return next((parameter.device for parameter in solution.parameters()), torch.device("cpu"))


def score(
    solution: nn.Module, images: UInt8[Tensor, "n 3 h w"], labels: UInt8[Tensor, "n h w"], classes: int
) -> Tensor:
    """The confusion matrix (truth by prediction) of all pixels of a part, in eval mode, on whole images."""
    device = device_of(solution)
    size = max(1, SCORED_PIXELS // math.prod(labels.shape[1:]))
    matrix = torch.zeros(classes, classes, dtype=torch.int64)
    with evaluating(solution):
        for some, truth in zip(images.split(size), labels.split(size), strict=True):
            predicted = solution(normalised(some.to(device))).argmax(1)
            matrix += confusion(predicted, truth.to(device), classes).cpu()
    return matrix


@task(version=1)
@dataclass(frozen=True)
class Segmentation:
    """Tell the class of each pixel of a street scene.

    A solution is an `nn.Module` whose `forward`, in eval mode, takes normalised images, `Float[Tensor, "b 3 h w"]`, of
    any height and width of at least 64, and returns logits of their size, `Float[Tensor, "b k h w"]`.
    """

    height: Count = 1024
    """Pixels. Images that are higher are made smaller, width in proportion, for training and for scoring."""
    crop_height: Count = 512
    crop_width: Count = 1024
    """Of the crops that networks are trained on."""
    scales: tuple[float, ...] = (0.75, 1.0, 1.25)
    """By one of which each training image is scaled before it is cropped."""
    workload_height: Count = 1024
    workload_width: Count = 2048
    """Of the one image on which latency, MACs, memory and energy are measured."""
    validation: UnitInterval = 0.0
    """Share of the training images set apart for validation, where the data set has no part for it besides the one that
    is scored: Cityscapes and BDD100K, whose test labels are not public."""
    scenes: Count = 1000
    """Training scenes of `streets`."""
    test_scenes: Count = 200
    """Its test scenes, and as many for validation."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("miou", "%", better="high", low=0, high=100, meaning="mean of the classes' IoU over the whole part"),
        Metric("pixel_accuracy", "%", better="high", low=0, high=100, meaning="pixels that are right"),
        Metric("mean_accuracy", "%", better="high", low=0, high=100, meaning="pixels that are right, mean of classes"),
        Metric("iou_road", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_pavement", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_sidewalk", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_building", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_wall", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_fence", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_pole", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_sign", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_traffic_light", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_traffic_sign", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_tree", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_vegetation", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_terrain", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_sky", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_pedestrian", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_person", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_rider", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_car", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_truck", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_bus", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_train", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_motorcycle", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_bicycle", "%", better="high", low=0, high=100, meaning="IoU of one class"),
        Metric("iou_bicyclist", "%", better="high", low=0, high=100, meaning="IoU of one class"),
    )
    cards: ClassVar[tuple[DatasetCard, ...]] = CARDS
    presets: ClassVar[Presets] = {
        "smoke": {
            "height": 64,
            "crop_height": 64,
            "crop_width": 64,
            "workload_height": 64,
            "workload_width": 128,
            "validation": 0.1,
            "scenes": 8,
            "test_scenes": 8,
        },
        "small": {
            "height": 96,
            "crop_height": 96,
            "crop_width": 128,
            "workload_height": 256,
            "workload_width": 512,
            "validation": 0.1,
            "scenes": 300,
            "test_scenes": 60,
        },
        "gpu": {
            "height": 360,
            "crop_height": 352,
            "crop_width": 480,
            "validation": 0.1,
            "scenes": 400,
            "test_scenes": 100,
        },
    }

    def load(self, dataset: str, budget: Budget, seed: int) -> tuple[SegmentationProblem, SegmentationHeldOut]:  # noqa: ARG002
        """Reads or draws all parts. Budgets differ in settings alone.

        Raises `MissingData` if the data set is not here, and `UserError` if it is not whole.
        """
        if dataset not in RECIPES:
            raise unknown("data set of segmentation", dataset, RECIPES, "allwin data")
        recipe = RECIPES[dataset]
        splits = recipe.read(self.height, Drawing(self.scenes, self.test_scenes, seed))
        train, validation = self._parts(splits, seed)
        problem = SegmentationProblem(
            images=train.images,
            labels=train.labels,
            validation_images=validation.images,
            validation_labels=validation.labels,
            class_names=recipe.class_names,
            crop=(self.crop_height, self.crop_width),
            scales=self.scales,
            workload_size=(self.workload_height, self.workload_width),
            seed=seed,
        )
        return problem, SegmentationHeldOut(splits.test.images, splits.test.labels, recipe.class_names)

    def _parts(self, splits: Splits, seed: int) -> tuple[Part, Part]:
        """The training and the validation part."""
        train = splits.train
        if splits.validation is not None:
            return train, splits.validation
        generator = torch.Generator().manual_seed(derive_seed(seed, "segmentation", "split"))
        order = torch.randperm(len(train.images), generator=generator)
        apart = round(self.validation * len(order))
        if apart == len(order):
            raise UserError(
                f"segmentation: validation must leave images to learn from, got {self.validation} of {len(order)}; "
                "set it with --set segmentation.validation=0.1"
            )
        # In the order of the files: batches are drawn at random anyway.
        kept, held = order[apart:].sort().values, order[:apart].sort().values
        return Part(train.images[kept], train.labels[kept]), Part(train.images[held], train.labels[held])

    def check(self, solution: Any, problem: SegmentationProblem) -> None:
        """Raises `ValueError` unless the solution gives finite logits of the images' size, whatever that is."""
        if not isinstance(solution, nn.Module):
            raise ValueError(f"segmentation: a solution must be an nn.Module, got {type(solution).__name__}")
        for size in PROBES:
            probe = _noise(1, size, problem.seed).to(device_of(solution))
            with evaluating(solution):
                logits = solution(probe)
            wanted = (1, problem.classes, *size)
            if not isinstance(logits, Tensor) or logits.shape != wanted:
                got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise ValueError(f"segmentation: a solution must return logits of shape {wanted}, got {got}")
            if not logits.isfinite().all():
                raise ValueError("segmentation: a solution must return finite logits, got NaN or infinity")

    def evaluate(self, solution: nn.Module, held_out: SegmentationHeldOut) -> Evaluation:
        """All metrics from one confusion matrix over all pixels of the test part, in eval mode, on whole images.

        A class that neither truth nor prediction has is left out of `miou`; as its own IoU does not exist, that raises
        `ValueError` where the data set reports it.
        """
        names = held_out.class_names
        matrix = score(solution, held_out.images, held_out.labels, len(names))
        absent = [name for name, pixels in zip(names, matrix.sum(1).tolist(), strict=True) if not pixels]
        if absent:
            raise ValueError(f"segmentation: the test part has no pixel of {', '.join(absent)}, so no IoU of it exists")
        ious = {f"iou_{name}": 100 * iou for name, iou in zip(names, class_ious(matrix).tolist(), strict=True)}
        return Evaluation(
            metrics={
                "miou": 100 * mean_iou(matrix),
                "pixel_accuracy": 100 * pixel_accuracy(matrix),
                "mean_accuracy": 100 * mean_accuracy(matrix),
                **ious,
            },
            items=len(held_out.images),
        )

    def validate(self, solution: nn.Module, problem: SegmentationProblem) -> float:
        """100 less the mIoU, in %, of the validation part. Raises `UserError` where there is none."""
        if not len(problem.validation_images):
            raise UserError(
                "segmentation: there is no validation part; set one apart with --set segmentation.validation=0.1"
            )
        matrix = score(solution, problem.validation_images, problem.validation_labels, problem.classes)
        return 100 - 100 * mean_iou(matrix)

    def workload(self, solution: nn.Module, problem: SegmentationProblem) -> Workload:
        """One image of random pixels, of the size in the settings, where the solution lies."""
        height, width = problem.workload_size
        images = _noise(1, problem.workload_size, problem.seed).to(device_of(solution))
        return Workload(solution, (images,), 1, f"1 image of 3 x {height} x {width}")


def _noise(number: int, size: Sequence[int], seed: int) -> Float[Tensor, "b 3 h w"]:
    """Random pixels, normalised: what a network costs does not depend on what it sees."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "segmentation", "noise"))
    return normalised(torch.randint(0, 256, (number, 3, *size), dtype=torch.uint8, generator=generator))
