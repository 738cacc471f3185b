"""Architecture search: find the architecture that is best once it is trained, at little cost.

A space is a set of architectures; what each of them reaches when it is trained stands in a table that a search may not
read. The protocol is NAS-Bench-201's (Dong and Yang, ICLR 2020): test accuracy of the architecture found, after 200
epochs; searches that try architectures out are told validation accuracies after 12 epochs.

    digits-cells             a small space whose table this project made itself; needs no download
    digits-cells-training    how that table was made: a solution brings its trained network
    nasbench201              NAS-Bench-201's space and table
    darts                    the space of DARTS; what the found network holds and costs, and no accuracy

A training-free score is judged by its rank correlation with test accuracy over a random sample of architectures, beside
the correlation that the number of parameters has on the very same ones.

n m t images, c channels, h w pixels, k classes, a architectures, s scored architectures, e edges, o operators
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from bench import Budget, Count, Evaluation, Metric, Positive, Presets, Workload, task
from bench.registry import unknown
from bench.seeds import derive_seed
from tasks.nas.datasets import CARDS, RECIPES, best, noise
from tasks.nas.problem import Found, NASHeldOut, NASProblem
from tasks.nas.scoring import Kind, accuracy, agreement, by_metric, costs
from tasks.nas.spaces import Architecture, Norms, Space, check, draw_sample
from tasks.nas.tabular import TabularSpace

__all__ = ["NAS", "Architecture", "Found", "NASHeldOut", "NASProblem", "Norms", "Space", "TabularSpace"]


@task(version=1)
@dataclass(frozen=True)
class NAS:
    """Find the architecture that is best once it is trained, at little cost.

    A solution is a `Found`: an architecture of the problem's space, and scores of others where the method gives some.
    """

    sample: Count = 1000
    """Architectures drawn for methods that score them; all of a space that has no more."""
    images: Count = 25_000
    """Of each half of the training images, at most."""
    width: Positive = 1.0
    """Channels of supernets, as a share of the published ones: 16, and 8 on digits."""
    depth: Positive = 1.0
    """Cells of supernets, as a share of the published ones: 5 a stage, 8 in all in the space of DARTS, 1 on digits."""
    inputs: Literal["images", "noise"] = "images"
    """Whether searches are given real images, or Gaussian noise of their shape with random labels: then no image is
    needed, and what trains weights learns nothing."""
    cifar10: Literal["20k", "official"] = "20k"
    """Which copy of CIFAR-10 the images come from: 20,000 in the folder cifar10, or 50,000 in cifar-10-batches-bin."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "%", better="high", low=0, high=100, meaning="test accuracy of the architecture, trained"),
        Metric("percentile", "%", better="high", low=0, high=100, meaning="share of the space that is no better"),
        Metric("regret", "%", better="low", low=0, high=100, meaning="by how much the best of the space is better"),
        Metric(
            "kendall",
            "",
            better="high",
            low=-1,
            high=1,
            partial=True,
            meaning="Kendall's tau-b of the scores with test accuracy, over the architectures scored",
        ),
        Metric("kendall_low", "", better="high", low=-1, high=1, partial=True, meaning="lower end, at 95 %"),
        Metric("kendall_high", "", better="high", low=-1, high=1, partial=True, meaning="upper end, at 95 %"),
        Metric(
            "kendall_parameters",
            "",
            better="high",
            low=-1,
            high=1,
            partial=True,
            meaning="the same of the number of parameters, on the very same architectures: what a score must beat",
        ),
        Metric(
            "kendall_connected",
            "",
            better="high",
            low=-1,
            high=1,
            partial=True,
            meaning="the scores' without the architectures that let nothing through",
        ),
        Metric("spearman", "", better="high", low=-1, high=1, partial=True, meaning="Spearman's rho of the scores"),
        Metric("spearman_low", "", better="high", low=-1, high=1, partial=True, meaning="lower end, at 95 %"),
        Metric("spearman_high", "", better="high", low=-1, high=1, partial=True, meaning="upper end, at 95 %"),
        Metric("accuracy_cifar100", "%", better="high", low=0, high=100, meaning="on CIFAR-100"),
        Metric("percentile_cifar100", "%", better="high", low=0, high=100, meaning="on CIFAR-100"),
        Metric("kendall_cifar100", "", better="high", low=-1, high=1, partial=True, meaning="on CIFAR-100"),
        Metric("kendall_low_cifar100", "", better="high", low=-1, high=1, partial=True, meaning="on CIFAR-100"),
        Metric("kendall_high_cifar100", "", better="high", low=-1, high=1, partial=True, meaning="on CIFAR-100"),
        Metric("kendall_parameters_cifar100", "", better="high", low=-1, high=1, partial=True, meaning="on CIFAR-100"),
        Metric("accuracy_imagenet16", "%", better="high", low=0, high=100, meaning="on ImageNet16"),
        Metric("percentile_imagenet16", "%", better="high", low=0, high=100, meaning="on ImageNet16"),
        Metric("kendall_imagenet16", "", better="high", low=-1, high=1, partial=True, meaning="on ImageNet16"),
        Metric("kendall_low_imagenet16", "", better="high", low=-1, high=1, partial=True, meaning="on ImageNet16"),
        Metric("kendall_high_imagenet16", "", better="high", low=-1, high=1, partial=True, meaning="on ImageNet16"),
        Metric(
            "kendall_parameters_imagenet16",
            "",
            better="high",
            low=-1,
            high=1,
            partial=True,
            meaning="on ImageNet16-120",
        ),
        Metric("validation_accuracy", "%", better="high", low=0, high=100, meaning="of the network that was brought"),
        Metric("network_parameters", "parameter", better="low", low=0, meaning="of the network trained in the end"),
        Metric("network_macs", "MAC", better="low", low=0, meaning="of that network, for one image"),
    )
    cards: ClassVar = CARDS
    presets: ClassVar[Presets] = {
        "smoke": {"sample": 12, "images": 64, "width": 0.25, "depth": 0.2},
        "small": {"sample": 128, "images": 2000, "width": 0.5, "depth": 0.2},
        "gpu": {"sample": 300, "images": 10_000},
    }

    def load(self, dataset: str, budget: Budget, seed: int) -> tuple[NASProblem, NASHeldOut]:  # noqa: ARG002
        """Draws halves of the images and the sample by the seed. Budgets differ in settings alone.

        Raises `MissingData` if the table or the images are not here.
        """
        if dataset not in RECIPES:
            raise unknown("data set of nas", dataset, RECIPES, "allwin data")
        recipe = RECIPES[dataset]
        generator = torch.Generator().manual_seed(derive_seed(seed, "nas", "images"))
        parts = (
            noise(recipe, self.images, generator) if self.inputs == "noise" else recipe.images(generator, self.cifar10)
        )
        truth = recipe.truth() if recipe.truth else None
        space = recipe.space
        problem = NASProblem(
            space=space,
            images=parts.train[0][: self.images],
            labels=parts.train[1][: self.images],
            search_images=parts.validation[0][: self.images],
            search_labels=parts.validation[1][: self.images],
            classes=recipe.classes,
            background=parts.background,
            padding=recipe.padding,
            flips=recipe.flips,
            sample=draw_sample(space, self.sample, derive_seed(seed, "nas", "sample")),
            channels=max(1, round(self.width * recipe.search_channels)),
            cells=max(1, round(self.depth * recipe.search_cells)),
            network_channels=recipe.channels,
            network_cells=recipe.cells,
            validations=truth.validation[seed % len(truth.validation)] if truth else None,
            seed=seed,
            oracle_best=best(space, truth) if truth else None,
            workload_images=recipe.workload_images,
            needs_network=recipe.measures_networks,
        )
        held_out = NASHeldOut(
            space=space,
            test=truth.test if truth else {},
            network_channels=recipe.channels,
            network_cells=recipe.cells,
            classes=recipe.classes,
            shape=recipe.shape,
            validation=parts.validation if recipe.measures_networks else None,
            test_part=parts.test if recipe.measures_networks else None,
        )
        return problem, held_out

    def check(self, solution: Any, problem: NASProblem) -> None:
        """Raises `ValueError` unless the solution is of the space, with a finite score for all that it scored."""
        if not isinstance(solution, Found):
            raise ValueError(f"nas: a solution must be a Found, got {type(solution).__name__}")
        for architecture in (solution.architecture, *solution.scored):
            if architecture.space != problem.space:
                raise ValueError(f"nas: an architecture must be of {problem.space.name}, got {architecture.space.name}")
            check(architecture)
        scores = solution.scores
        if (scores is None) != (not solution.scored):
            raise ValueError("nas: scores and the architectures scored come together, got one without the other")
        if scores is not None and (scores.shape != (len(solution.scored),) or not scores.isfinite().all()):
            raise ValueError(
                f"nas: {len(solution.scored)} architectures need as many finite scores, got shape {tuple(scores.shape)}"
                + ("" if scores.isfinite().all() else " with NaN or infinity")
            )
        if problem.needs_network and solution.network is None:
            raise ValueError("nas: on this data set a solution must bring its trained network, got none")

    def evaluate(self, solution: Found, held_out: NASHeldOut) -> Evaluation:
        """What the table says of the architecture and of the scores; a trained network is measured where due."""
        space, architecture = held_out.space, solution.architecture
        layers = space.layers(held_out.network_cells)
        with torch.device("meta"):
            network = space.network(
                architecture, held_out.network_channels, layers, held_out.classes, held_out.shape[0]
            )
        parameters, macs = costs(network, held_out.shape)
        metrics: dict[str, float] = {"network_parameters": parameters, "network_macs": macs}
        items = 1
        if held_out.test_part and held_out.validation:
            assert solution.network is not None
            metrics["accuracy"] = accuracy(solution.network, *held_out.test_part)
            metrics["validation_accuracy"] = accuracy(solution.network, *held_out.validation)
            items = len(held_out.test_part[1])
        if held_out.test:
            assert isinstance(space, TabularSpace)
            metrics |= by_metric(held_out.test, space.number(architecture))
            if solution.scores is not None:
                metrics |= self._agreement(solution, space, held_out)
                items = len(solution.scored)
        return Evaluation(metrics=metrics, items=items)

    def _agreement(self, solution: Found, space: TabularSpace, held_out: NASHeldOut) -> dict[str, float]:
        """How well the scores order the architectures, by each column of the table."""
        assert solution.scores is not None
        numbers = [space.number(architecture) for architecture in solution.scored]
        sizes = [
            float(
                space.parameters(
                    architecture,
                    held_out.network_channels,
                    held_out.network_cells,
                    held_out.classes,
                    held_out.shape[0],
                )
            )
            for architecture in solution.scored
        ]
        connected = [space.connected(architecture) for architecture in solution.scored]
        found: dict[str, float] = {}
        for metric, accuracies in held_out.test.items():
            truth = accuracies[numbers].tolist()
            # `accuracy_cifar100` has `kendall_cifar100` beside it; Spearman's rho is told on the first data set only.
            suffix = metric.removeprefix("accuracy")
            kinds: tuple[Kind, ...] = ("kendall",) if suffix else ("kendall", "spearman")
            told = agreement(solution.scores.tolist(), truth, sizes, connected, kinds)
            found |= {f"{name}{suffix}": value for name, value in told.items()}
        return found

    def workload(self, solution: Found, problem: NASProblem) -> Workload:
        """The network that is trained with the architecture, on a few images; its weights are untrained."""
        with torch.random.fork_rng(devices=[]):
            network = problem.network(solution.architecture).eval()
        images = problem.images[: problem.workload_images].clone()
        shape = " x ".join(str(axis) for axis in images.shape[1:])
        return Workload(network, (images,), len(images), f"{len(images)} images of {shape} through the network found")
