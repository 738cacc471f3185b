"""Positive-unlabelled learning: a classifier from labelled positives and unlabelled images, and no labelled negative.

Setting and scenarios as in nnPU (Kiryo, Niu, du Plessis and Sugiyama, NeurIPS 2017) and Self-PU (Chen and others,
ICML 2020).

b batch, c channels, h w pixels, p labelled positives, u unlabelled, vp vu those of the validation part, n images
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from sklearn.metrics import f1_score, recall_score, roc_auc_score, roc_curve
from torch import Tensor, nn

from bench import (
    Budget,
    Count,
    Evaluation,
    EvaluationCurve,
    Fraction,
    Metric,
    Positive,
    Presets,
    UserError,
    Workload,
    task,
)
from bench.measure.mode import evaluating
from bench.registry import unknown
from bench.seeds import derive_seed
from tasks.pu.datasets import CARDS, RECIPES, load_images, split
from tasks.pu.networks import Architecture, build

PIECE = 1000
"""Images scored at once; bounds the memory of an evaluation."""

WORKLOAD_IMAGES = 256
"""Self-PU's batch size."""

CURVE_POINTS = 100
PROBE_IMAGES = 8


@dataclass(frozen=True)
class PUProblem:
    """What a method learns from. Images are as the network takes them; it holds no test data."""

    positive: Float[Tensor, "p c h w"]
    """Labelled positives; in the two-sample scenario they are among `unlabelled` too."""
    unlabelled: Float[Tensor, "u c h w"]
    prior: float
    """The share of positives in `unlabelled`, exactly."""
    validation_positive: Float[Tensor, "vp c h w"]
    validation_unlabelled: Float[Tensor, "vu c h w"]
    """Like `positive` and `unlabelled`, of other images. Nothing here tells the negatives."""
    oracle_labels: Float[Tensor, " u"]
    """FOR THE ORACLE `pn` ONLY: the true label of each unlabelled image, +1 or -1. Whoever reads it is no PU method."""
    architecture: Architecture
    width: float
    seed: int

    def build_network(self) -> nn.Module:
        """The data set's network; the same initial weights for all methods of a seed."""
        channels, height, across = self.unlabelled.shape[1:]
        return build(self.architecture, (channels, height, across), self.width, derive_seed(self.seed, "pu", "network"))


@dataclass(frozen=True)
class PUHeldOut:
    """The test part, with its true labels: +1 or -1."""

    images: Float[Tensor, "n c h w"]
    labels: Float[Tensor, " n"]


def device_of(solution: nn.Module) -> torch.device:
    """Where a solution lies; the CPU for one without parameters."""
    return next((parameter.device for parameter in solution.parameters()), torch.device("cpu"))


def scores(solution: nn.Module, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """The solution's scores in eval mode, for any number of images; they lie where the solution does."""
    device = device_of(solution)
    with evaluating(solution):
        return torch.cat([solution(piece.to(device)) for piece in images.split(PIECE)])


@task(version=1)
@dataclass(frozen=True)
class PU:
    """Tell positive images from negative ones, taught by labelled positives and unlabelled images.

    A solution is an `nn.Module` whose `forward` takes images, `Float[Tensor, "b c h w"]`, and returns a score for each,
    `Float[Tensor, " b"]`; a score above zero means positive.
    """

    positives: Count = 1000
    """Labelled positives to learn from, n_p of the papers."""
    scenario: Literal["two-sample", "one-sample"] = "two-sample"
    """Whether the labelled positives are among the unlabelled images too, as in the papers, or taken from them."""
    validation: Fraction = 0.1
    """Share of the training images set apart for a validation risk, with labelled positives in the same proportion on
    top of `positives`. The papers' code has none and looks at the test set."""
    width: Positive = 1.0
    """Units and channels of the network, as a share of the published ones."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("error", "%", better="low", low=0, high=100, meaning="images on the wrong side of zero"),
        Metric("auc", "", better="high", low=0, high=1, meaning="area under the ROC curve of the scores"),
        Metric("f1", "", better="high", low=0, high=1, meaning="harmonic mean of precision and recall of positives"),
        Metric("recall", "", better="high", low=0, high=1, meaning="share of the positives that score above zero"),
    )
    cards: ClassVar = CARDS
    presets: ClassVar[Presets] = {
        "smoke": {"positives": 50, "validation": 0.2, "width": 0.25},
        "small": {"positives": 100, "validation": 0.2},
    }

    def load(self, dataset: str, budget: Budget, seed: int) -> tuple[PUProblem, PUHeldOut]:  # noqa: ARG002
        """Draws training, validation and test images by the seed. Budgets differ in settings alone.

        Raises `UserError` if the data set has too few positives, and `MissingData` if it is not here.
        """
        if dataset not in RECIPES:
            raise unknown("data set of pu", dataset, RECIPES, "allwin data")
        recipe = RECIPES[dataset]
        generator = torch.Generator().manual_seed(derive_seed(seed, "pu", "split"))
        train, test = load_images(recipe, generator)
        labels = recipe.sign(train.classes)
        fit, apart = split(train.classes, self.validation, generator)
        # In proportion, so that the prior without the labelled positives is the same in both parts.
        validation_positives = max(1, round(self.positives * len(apart) / len(fit)))
        positive, unlabelled = self._draw(dataset, fit, labels, self.positives)
        validation_positive, validation_unlabelled = self._draw(dataset, apart, labels, validation_positives)
        problem = PUProblem(
            positive=recipe.prepare(train.pixels[positive]),
            unlabelled=recipe.prepare(train.pixels[unlabelled]),
            prior=(labels[unlabelled] > 0).double().mean().item(),
            validation_positive=recipe.prepare(train.pixels[validation_positive]),
            validation_unlabelled=recipe.prepare(train.pixels[validation_unlabelled]),
            oracle_labels=labels[unlabelled],
            architecture=recipe.architecture,
            width=self.width,
            seed=seed,
        )
        return problem, PUHeldOut(recipe.prepare(test.pixels), recipe.sign(test.classes))

    def _draw(self, dataset: str, part: Tensor, labels: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
        """Indices of the labelled positives and of the unlabelled images of a part that is in random order."""
        positives = part[labels[part] > 0]
        if wanted >= len(positives):
            raise UserError(
                f"pu: positives must be fewer than there are: a part of {dataset} has {len(positives)}, "
                f"{wanted} were asked of it; set it with --set pu.positives=100"
            )
        labelled = positives[:wanted]
        if self.scenario == "two-sample":
            return labelled, part
        return labelled, part[~torch.isin(part, labelled)]

    def check(self, solution: Any, problem: PUProblem) -> None:
        """Raises `ValueError` unless the solution gives each of a few images one finite score."""
        if not isinstance(solution, nn.Module):
            raise ValueError(f"pu: a solution must be an nn.Module, got {type(solution).__name__}")
        probe = problem.unlabelled[:PROBE_IMAGES].to(device_of(solution))
        with evaluating(solution):
            answer = solution(probe)
        if not isinstance(answer, Tensor) or answer.shape != (len(probe),):
            got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise ValueError(f"pu: a solution must return a score an image, shape ({len(probe)},), got {got}")
        if not answer.isfinite().all():
            raise ValueError("pu: a solution must return finite scores, got NaN or infinity")

    def evaluate(self, solution: nn.Module, held_out: PUHeldOut) -> Evaluation:
        """All metrics on the whole test part in eval mode, and the ROC curve.

        Precision is left out: it does not exist for a solution that calls everything negative, as `pu-naive` does.
        Raises `ValueError` where the AUC does not exist: labels of one class, or scores that are not finite.
        """
        values = scores(solution, held_out.images).double().cpu().numpy()
        truth = held_out.labels.cpu().numpy() > 0
        if truth.all() or not truth.any():
            raise ValueError("pu: the AUC does not exist for test labels of one class")
        if not np.isfinite(values).all():
            raise ValueError("pu: the AUC does not exist for scores that are not finite")
        predicted = values > 0
        false_positive_rate, true_positive_rate, _ = roc_curve(truth, values)
        picked = np.unique(np.linspace(0, len(false_positive_rate) - 1, CURVE_POINTS).round().astype(int))
        return Evaluation(
            metrics={
                "error": 100 * float(np.mean(predicted != truth)),
                "auc": float(roc_auc_score(truth, values)),
                "f1": float(f1_score(truth, predicted)),
                "recall": float(recall_score(truth, predicted)),
            },
            items=len(truth),
            curves={
                "roc": EvaluationCurve(
                    x=tuple(false_positive_rate[picked].tolist()),
                    y=tuple(true_positive_rate[picked].tolist()),
                    x_name="false positive rate",
                    unit="true positive rate",
                )
            },
        )

    def validate(self, solution: nn.Module, problem: PUProblem) -> float:
        """The share of images on the wrong side of zero, as the validation part tells it without a labelled negative.

        The non-negative estimate (Kiryo and others, NeurIPS 2017, Eq. 6) with the zero-one loss. NaN where a score is
        not finite.
        """
        positive = scores(solution, problem.validation_positive)
        unlabelled = scores(solution, problem.validation_unlabelled)
        if not (positive.isfinite().all() and unlabelled.isfinite().all()):
            return float("nan")
        missed = (positive <= 0).double().mean().item()
        called_positive = (unlabelled > 0).double().mean().item()
        return problem.prior * missed + max(0.0, called_positive - problem.prior * (1 - missed))

    def workload(self, solution: nn.Module, problem: PUProblem) -> Workload:
        """A batch of Self-PU's size, where the solution lies."""
        images = problem.unlabelled[:WORKLOAD_IMAGES].clone().to(device_of(solution))
        shape = " x ".join(str(axis) for axis in images.shape[1:])
        return Workload(solution, (images,), len(images), f"{len(images)} images of {shape}")
