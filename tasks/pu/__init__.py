"""Positive-unlabelled learning: a classifier from labelled positives and unlabelled images, and no labelled negative.

Setting and scenarios as in nnPU (Kiryo, Niu, du Plessis and Sugiyama, NeurIPS 2017) and Self-PU (Chen and others,
ICML 2020).

b batch, c channels, h w pixels, p labelled positives, u unlabelled, vp vu those of the validation part, n images
"""

import copy
from collections.abc import Mapping
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
    Natural,
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
from tasks.pu.priors import estimate

Selection = Literal["pu-risk", "last", "oracle-labels"]

PIECE = 1000
"""Images scored at once; bounds the memory of an evaluation."""

WORKLOAD_IMAGES = 256
"""Self-PU's batch size."""

CURVE_POINTS = 100
PROBE_IMAGES = 8


@dataclass(frozen=True)
class Labelled:
    """Images with their true labels: +1 or -1."""

    images: Float[Tensor, "n c h w"]
    labels: Float[Tensor, " n"]


@dataclass(frozen=True)
class PUProblem:
    """What a method learns from. Images are as the network takes them; it holds no test data."""

    positive: Float[Tensor, "p c h w"]
    """Labelled positives; in the two-sample scenario they are among `unlabelled` too."""
    unlabelled: Float[Tensor, "u c h w"]
    prior: float
    """The share of positives in `unlabelled`, as methods are told it: exact, unless the settings say otherwise."""
    validation_positive: Float[Tensor, "vp c h w"]
    validation_unlabelled: Float[Tensor, "vu c h w"]
    """Like `positive` and `unlabelled`, of other images. Nothing here tells the negatives."""
    oracle_labels: Float[Tensor, " u"]
    """FOR THE ORACLE `pn` ONLY: the true label of each unlabelled image, +1 or -1. Whoever reads it is no PU method."""
    architecture: Architecture
    width: float
    seed: int
    selection: Selection = "pu-risk"
    """By what a method chooses among the networks that its fit passes through."""
    trajectory: bool = False
    """Whether a solution keeps the networks of every epoch, so that their best on the test part can be told."""
    clean: Labelled | None = None
    """FOR ORACLES ONLY: labelled images, negatives among them, of no other part; where the settings ask for them."""
    test_inputs: Float[Tensor, "n c h w"] | None = None
    """FOR A FAULT OF SELF-PU'S RELEASED CODE ONLY: the test images, where the settings ask for them."""

    def build_network(self, number: int = 0) -> nn.Module:
        """The data set's network; the same initial weights for all methods of a seed, others for another `number`."""
        channels, height, across = self.unlabelled.shape[1:]
        seed = derive_seed(self.seed, "pu", "network", *([number] if number else []))
        return build(self.architecture, (channels, height, across), self.width, seed)


@dataclass(frozen=True)
class PUHeldOut:
    """The test part, with its true labels: +1 or -1."""

    images: Float[Tensor, "n c h w"]
    labels: Float[Tensor, " n"]
    prior_error: float = 0.0
    """How far the prior that methods are told is from the true one."""


class Trajectory(nn.Module):
    """A solution that also keeps the weights of other networks of its fit, which cost nothing where it is used."""

    def __init__(self, network: nn.Module, passed: list[Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.network = network
        self.passed = passed
        """Weights and buffers, each a state of `network`."""

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        return self.network(images)


def device_of(solution: nn.Module) -> torch.device:
    """Where a solution lies; the CPU for one without parameters."""
    return next((parameter.device for parameter in solution.parameters()), torch.device("cpu"))


def scores(solution: nn.Module, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """The solution's scores in eval mode, for any number of images; they lie where the solution does."""
    device = device_of(solution)
    with evaluating(solution):
        return torch.cat([solution(piece.to(device)) for piece in images.split(PIECE)])


def passed_errors(solution: nn.Module, held_out: PUHeldOut) -> list[float]:
    """The test errors, in %, of the networks that a `Trajectory` keeps; none for another solution."""
    if not isinstance(solution, Trajectory):
        return []
    network = copy.deepcopy(solution.network)
    errors = []
    for weights in solution.passed:
        network.load_state_dict(weights)
        called = scores(network, held_out.images).cpu() > 0
        errors.append(100 * (called != (held_out.labels.cpu() > 0)).double().mean().item())
    return errors


@task(version=2)
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
    prior: Literal["known", "bbe", "km2"] = "known"
    """Where the prior that methods are told comes from: the true one, or an estimate from the training images."""
    prior_factor: Positive = 1.0
    """By how much that prior is wrong: methods are told this many times it."""
    selection: Selection = "pu-risk"
    """Which network of a fit is its solution: the one with the least PU risk on the validation part, which needs no
    labelled negative; the last; or, as an oracle, the one with the fewest errors on `clean_labels` images."""
    clean_labels: Natural = 0
    """FOR ORACLES ONLY: so many validation images are set apart and labelled."""
    trajectory: bool = False
    """Whether solutions keep the networks of every epoch, for `error_best_on_test`."""
    test_inputs: bool = False
    """A FAULT OF SELF-PU'S RELEASED CODE, by choice: hands the test images, without labels, to `fit`."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("error", "%", better="low", low=0, high=100, meaning="images on the wrong side of zero"),
        Metric("auc", "", better="high", low=0, high=1, meaning="area under the ROC curve of the scores"),
        Metric("f1", "", better="high", low=0, high=1, meaning="harmonic mean of precision and recall of positives"),
        Metric("recall", "", better="high", low=0, high=1, meaning="share of the positives that score above zero"),
        Metric(
            "error_best_on_test",
            "%",
            better="low",
            low=0,
            high=100,
            meaning="AN ORACLE, which never ranks: least error on the test part among the networks that the solution "
            "kept, those of every epoch with `trajectory`, otherwise the chosen one alone",
        ),
        Metric("prior_error", "", better="low", low=0, high=1, meaning="distance of the prior told from the true one"),
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
        clean, apart = self._set_apart(dataset, apart)
        # In proportion, so that the prior without the labelled positives is the same in both parts.
        validation_positives = max(1, round(self.positives * len(apart) / len(fit)))
        may = recipe.may_be_labelled(train.classes)
        positive, unlabelled = self._draw(dataset, fit, may, self.positives)
        validation_positive, validation_unlabelled = self._draw(dataset, apart, may, validation_positives)
        true_prior = (labels[unlabelled] > 0).double().mean().item()
        positive_images = recipe.prepare(train.pixels[positive])
        unlabelled_images = recipe.prepare(train.pixels[unlabelled])
        told = self._told(true_prior, positive_images, unlabelled_images, seed)
        test_images = recipe.prepare(test.pixels)
        problem = PUProblem(
            positive=positive_images,
            unlabelled=unlabelled_images,
            prior=told,
            validation_positive=recipe.prepare(train.pixels[validation_positive]),
            validation_unlabelled=recipe.prepare(train.pixels[validation_unlabelled]),
            oracle_labels=labels[unlabelled],
            architecture=recipe.architecture,
            width=self.width,
            seed=seed,
            selection=self.selection,
            trajectory=self.trajectory,
            clean=Labelled(recipe.prepare(train.pixels[clean]), labels[clean]) if self.clean_labels else None,
            test_inputs=test_images if self.test_inputs else None,
        )
        return problem, PUHeldOut(test_images, recipe.sign(test.classes), abs(told - true_prior))

    def _set_apart(self, dataset: str, apart: Tensor) -> tuple[Tensor, Tensor]:
        """The labelled images of the oracles, and the rest of a part that is in random order."""
        if self.clean_labels >= len(apart):
            raise UserError(
                f"pu: clean_labels must be fewer than the {len(apart)} images of {dataset} set apart for validation, "
                f"got {self.clean_labels}; set it with --set pu.clean_labels=100"
            )
        if self.selection == "oracle-labels" and not self.clean_labels:
            raise UserError("pu: selection=oracle-labels needs labels; set them with --set pu.clean_labels=100")
        return apart[: self.clean_labels], apart[self.clean_labels :]

    def _told(self, true: float, positive: Tensor, unlabelled: Tensor, seed: int) -> float:
        """The prior that methods are told."""
        origin = true
        if self.prior != "known":
            origin = estimate(self.prior, positive, unlabelled, derive_seed(seed, "pu", "prior"))
        told = self.prior_factor * origin
        if not 0 < told < 1:
            raise UserError(
                f"pu: the prior told must be between 0 and 1, got {self.prior_factor} x {origin:.3f}; "
                "set the factor with --set pu.prior_factor=1.0"
            )
        return told

    def _draw(self, dataset: str, part: Tensor, may: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
        """Indices of the labelled positives and of the unlabelled images of a part that is in random order."""
        positives = part[may[part]]
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
        error = 100 * float(np.mean(predicted != truth))
        false_positive_rate, true_positive_rate, _ = roc_curve(truth, values)
        picked = np.unique(np.linspace(0, len(false_positive_rate) - 1, CURVE_POINTS).round().astype(int))
        return Evaluation(
            metrics={
                "error": error,
                "auc": float(roc_auc_score(truth, values)),
                "f1": float(f1_score(truth, predicted)),
                "recall": float(recall_score(truth, predicted)),
                "error_best_on_test": min([error, *passed_errors(solution, held_out)]),
                "prior_error": held_out.prior_error,
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
