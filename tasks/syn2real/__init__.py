"""Synthetic to real: learn from synthetic images alone, be judged by real ones.

Setting as in ASG (Chen, Yu, Wang and Anandkumar, ICML 2020) and CSG (Chen and others, ICLR 2021): the backbone comes
from ImageNet, no real image of the task is seen in training, and none selects anything.

b batch, n images, v validation images, h w pixels, d features, k classes
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bench import (
    Budget,
    Count,
    DatasetCard,
    Evaluation,
    EvaluationCurve,
    Fraction,
    Metric,
    Natural,
    Presets,
    UserError,
    Workload,
    task,
)
from bench.measure.mode import evaluating
from bench.registry import unknown
from bench.seeds import derive_seed
from tasks.segmentation.classes import IGNORE
from tasks.segmentation.files import Part
from tasks.syn2real.datasets import CARDS
from tasks.syn2real.networks import Network, Reading, Solution, Transfer, weights_of
from tasks.syn2real.pairs import RECIPES, Request, imagenet_pictures
from tasks.syn2real.pictures import Pictures
from tasks.syn2real.problem import Syn2RealHeldOut, Syn2RealProblem
from tasks.syn2real.scenes import SCENE_RECIPES, SceneRequest
from tasks.syn2real.scoring import accuracy, class_ious, device_of, energies, old_head_accuracy
from tasks.syn2real.teacher import teacher_features

__all__ = [
    "IGNORE",
    "Network",
    "Reading",
    "Syn2Real",
    "Syn2RealHeldOut",
    "Syn2RealProblem",
    "Transfer",
    "teacher_features",
]

Labelled = Pictures | Part

PROBE_IMAGES = 2


@task(version=1)
@dataclass(frozen=True)
class Syn2Real:
    """Recognise what real images show, taught by synthetic ones.

    A solution is an `nn.Module` whose `forward` takes images as bytes, `UInt8[Tensor, "b 3 h w"]`, and returns logits,
    `Float[Tensor, "b k"]`; its `features` takes the same and returns what it judges by, `Float[Tensor, "b d"]`.
    """

    backbone: Literal["efficientnet-lite0", "resnet50", "resnet101", "vgg16"] = "efficientnet-lite0"
    """Where knowledge of ImageNet comes from: `efficientnet-lite0`, whose weights are a Python package, or the papers'
    `resnet50`, `resnet101` or `vgg16`, whose weights are files of the user's."""
    side: Count = 224
    """Pixels of all images, high and wide: the shorter side is scaled to it, the middle of the longer one is kept."""
    drawn_per_class: Count = 1000
    """Synthetic images of a class, where they are drawn."""
    source_per_class: Natural = 0
    """Synthetic images of a class that are read, at most, where they are files; 0 for all."""
    target_per_class: Natural = 0
    """Real images of a class, at most, evenly spread over all; 0 for all."""
    designs: tuple[str, ...] = ("fluent", "twemoji", "openmoji", "noto")
    """Of emoji, for the data sets that are made of them."""
    height: Count = 1024
    """Pixels of dense problems' images; higher ones are made smaller, width in proportion."""
    crop: Count = 512
    """Pixels, high and wide, of what dense networks are trained on."""
    source_scenes: Natural = 0
    """Synthetic scenes of dense problems: as many are drawn; of files at most, 0 for all."""
    target_scenes: Natural = 0
    """Real scenes, likewise."""
    source_validation: Fraction = 0.1
    """Share of the synthetic images set apart."""
    trajectory: bool = False
    """Whether solutions keep the networks of every epoch, for `accuracy_best_on_target` and `miou_best_on_target`."""
    imagenet_images: Natural = 0
    """Validation images of ImageNet, of the user's, for `imagenet_top1`; without any it is not measured."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "accuracy",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="mean over the classes of the share of each one's real images that are right; last epoch",
        ),
        Metric(
            "accuracy_source_selected",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="the same, of the epoch with the least loss on synthetic validation images",
        ),
        Metric(
            "accuracy_best_on_target",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="AN ORACLE, which never ranks: the same, of the best of the networks that the solution kept, those "
            "of every epoch with `trajectory`",
        ),
        Metric(
            "source_accuracy",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="mean class accuracy on synthetic validation images; last epoch",
        ),
        Metric(
            "miou",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="mean of the classes' IoU over all real images; last epoch",
        ),
        Metric(
            "miou_source_selected",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="the same, of the epoch with the least loss on synthetic validation images",
        ),
        Metric(
            "miou_best_on_target",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="AN ORACLE, which never ranks: the same, of the best of the networks that the solution kept",
        ),
        Metric(
            "source_miou",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="mIoU on synthetic validation images; last epoch",
        ),
        Metric("energy_0", "", better="low", meaning="mean over pairs of real images of -ln d of their unit features"),
        Metric(
            "energy_0_published",
            "",
            better="low",
            meaning="the same of -2 ln d, twice energy_0: what CSG's table 1 must hold",
        ),
        Metric("energy_1", "", better="low", low=0, meaning="mean over those pairs of 1 / d"),
        Metric("energy_2", "", better="low", low=0, meaning="the same of 1 / d^2"),
        Metric("diversity", "", better="high", meaning="minus energy_0"),
        Metric(
            "imagenet_top1",
            "%",
            better="high",
            low=0,
            high=100,
            meaning="ImageNet's validation images that the old head still gets right; last epoch",
            partial=True,
        ),
    )
    cards: ClassVar[tuple[DatasetCard, ...]] = CARDS
    presets: ClassVar[Presets] = {
        "smoke": {
            "side": 32,
            "drawn_per_class": 4,
            "source_per_class": 4,
            "target_per_class": 2,
            "height": 64,
            "crop": 64,
            "source_scenes": 4,
            "target_scenes": 7,
        },
        "small": {
            "side": 96,
            "drawn_per_class": 80,
            "source_per_class": 140,
            "target_per_class": 80,
            "trajectory": True,
            "height": 96,
            "crop": 64,
            "source_scenes": 140,
            "target_scenes": 56,
        },
        "gpu": {
            "drawn_per_class": 400,
            "source_per_class": 1000,
            "target_per_class": 500,
            "trajectory": True,
            "height": 360,
            "crop": 320,
            "source_scenes": 700,
            "target_scenes": 140,
        },
    }

    def load(self, dataset: str, budget: Budget, seed: int) -> tuple[Syn2RealProblem, Syn2RealHeldOut]:  # noqa: ARG002
        """Draws or reads both sets. Budgets differ in settings alone.

        Raises `MissingData` if one of them is not here, and `UserError` if it is not whole.
        """
        # Here, so that no trial has to find out that they are missing.
        weights_of(self.backbone)
        if dataset in RECIPES:
            source, target, names, mirrored = self._images(dataset, seed)
        elif dataset in SCENE_RECIPES:
            scenes = SCENE_RECIPES[dataset]
            wanted = SceneRequest(self.height, self.source_scenes, self.target_scenes, seed)
            source, target = scenes.source(wanted), scenes.target(wanted)
            names, mirrored = scenes.class_names, False
        else:
            raise unknown("data set of syn2real", dataset, [*RECIPES, *SCENE_RECIPES], "allwin data")
        dense = dataset in SCENE_RECIPES
        kept, apart = self._parts(source.labels, seed)
        problem = Syn2RealProblem(
            images=source.images[kept],
            labels=source.labels[kept],
            validation_images=source.images[apart],
            validation_labels=source.labels[apart],
            class_names=names,
            dense=dense,
            backbone=self.backbone,
            crop=self.crop,
            seed=seed,
            trajectory=self.trajectory,
        )
        held_out = Syn2RealHeldOut(
            images=target.images,
            labels=target.labels,
            source_images=problem.validation_images,
            source_labels=problem.validation_labels,
            class_names=names,
            dense=dense,
            mirrored=mirrored,
            imagenet=imagenet_pictures(self.side, self.imagenet_images) if self.imagenet_images else None,
        )
        return problem, held_out

    def _images(self, dataset: str, seed: int) -> tuple[Labelled, Labelled, tuple[str, ...], bool]:
        """Synthetic and real ones, the names of their classes, and whether mirror images show the same."""
        recipe = RECIPES[dataset]
        request = Request(
            self.side, self.drawn_per_class, self.source_per_class, self.target_per_class, self.designs, seed
        )
        return recipe.source(request), recipe.target(request), recipe.class_names, recipe.mirrored

    def _parts(self, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Places of the images that stay and of those set apart, at least one of each class, or one scene."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "syn2real", "split"))
        groups = (
            [torch.where(labels == label)[0] for label in labels.unique()]
            if labels.ndim == 1
            else [torch.arange(len(labels))]
        )
        kept, apart = [], []
        for members in groups:
            members = members[torch.randperm(len(members), generator=generator)]
            cut = max(1, round(self.source_validation * len(members)))
            if cut >= len(members):
                raise UserError(
                    f"syn2real: there must be images of each class to learn from and to validate on, got {len(members)}"
                    "; set --set syn2real.drawn_per_class=10, or source_per_class, source_scenes or source_validation"
                )
            kept.append(members[cut:])
            apart.append(members[:cut])
        return torch.cat(kept), torch.cat(apart)

    def check(self, solution: Any, problem: Syn2RealProblem) -> None:
        """Raises `ValueError` unless the solution gives a few images finite logits and features."""
        if not isinstance(solution, nn.Module) or not isinstance(solution, Solution):
            raise ValueError(
                f"syn2real: a solution must be an nn.Module with a method `features`, got {type(solution).__name__}"
            )
        probe = problem.images[:PROBE_IMAGES].to(device_of(solution))
        with evaluating(solution):
            logits, features = solution(probe), solution.features(probe)
        wanted = (len(probe), problem.classes, *(probe.shape[2:] if problem.dense else ()))
        if not isinstance(logits, Tensor) or logits.shape != wanted:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"syn2real: a solution must return logits of shape {wanted}, got {got}")
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(probe):
            raise ValueError(f"syn2real: `features` must return a vector an image, {len(probe)} x d")
        if not (logits.isfinite().all() and features.isfinite().all()):
            raise ValueError("syn2real: a solution must return finite logits and features, got NaN or infinity")

    def evaluate(self, solution: nn.Module, held_out: Syn2RealHeldOut) -> Evaluation:
        """All metrics on the real images in eval mode; see the metrics for which epoch is meant."""
        classes, curves = len(held_out.class_names), {}

        def score(network: nn.Module, images: Tensor, labels: Tensor) -> float:
            if held_out.dense:
                return 100 * class_ious(network, images, labels, classes).nanmean().item()
            return 100 * accuracy(network, images, labels, held_out.mirrored)

        real = held_out.images, held_out.labels
        last = score(solution, *real)
        chosen, best = last, last
        if isinstance(solution, Transfer):
            if solution.chosen is not None:
                chosen = next(score(network, *real) for network in _networks(solution, [solution.chosen]))
            best = max([last, chosen, *(score(network, *real) for network in _networks(solution, solution.passed))])
        name = "miou" if held_out.dense else "accuracy"
        metrics = {
            name: last,
            f"{name}_source_selected": chosen,
            f"{name}_best_on_target": best,
            f"source_{name}": score(solution, held_out.source_images, held_out.source_labels),
            **energies(solution, held_out.images),
        }
        network = solution.network if isinstance(solution, Transfer) else solution
        if held_out.imagenet is not None and isinstance(network, Network):
            old = old_head_accuracy(network.backbone, held_out.imagenet.images, held_out.imagenet.labels)
            metrics["imagenet_top1"] = 100 * old
        if held_out.dense:
            ious = (100 * class_ious(solution, *real, classes)).tolist()
            curves["iou"] = EvaluationCurve(tuple(map(float, range(classes))), tuple(ious), "class", "%")
        return Evaluation(metrics=metrics, items=len(held_out.images), curves=curves)

    def validate(self, solution: nn.Module, problem: Syn2RealProblem) -> float:
        """The loss on the synthetic validation images."""
        return problem.validation_loss(solution)

    def workload(self, solution: nn.Module, problem: Syn2RealProblem) -> Workload:
        """One image, where the solution lies."""
        images = problem.images[:1].to(device_of(solution))
        return Workload(solution, (images,), 1, f"1 image of {' x '.join(map(str, images.shape[1:]))}")


def _networks(solution: Transfer, passed: list[Mapping[str, Tensor]]) -> Iterator[nn.Module]:
    """The networks that a solution kept, one after the other in the same place."""
    network = copy.deepcopy(solution.network)
    for weights in passed:
        network.load_state_dict(weights)
        yield network
