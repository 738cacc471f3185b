"""Learning to optimise: come close to the answer within few iterations, on instances drawn from one distribution.

Chen, Chen, Chen, Heaton, Liu, Wang and Yin, "Learning to Optimize: A Primer and A Benchmark", JMLR 2022 (Open-L2O).

A solution is a module called as `solution(instances, steps)`. It returns iterates 1 to `steps` of every instance; the
last is scored, the others are curves. It may use whatever `instances` offers: their start, objective and gradient, and
in the LASSO family dictionary, measurements and residual.

    sparse recovery    `sparse*`: find the signal; error as NMSE, in dB
    Lasso              `lasso-*`: lower the objective; error relative to its optimum (Eq. 19)

Differs from the authors' benchmark: training instances are drawn without end, as the methods' first authors did, not
51,200 times (12,800 for Lasso); 1,024 test instances for Lasso too, not 1,280; the Lasso objective that is trained on
is the one that is reported, not one with half its quadratic term.

Dimensions: b instances, m measurements, n unknowns, k iterations.
"""

from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import (
    Budget,
    Count,
    DatasetCard,
    Evaluation,
    EvaluationCurve,
    Fraction,
    Metric,
    Positive,
    Presets,
    Run,
    Workload,
    task,
)
from bench.seeds import derive_seed
from tasks.l2o.datasets import CARDS, RECIPES, Goal
from tasks.l2o.lasso import (
    Instances,
    gaussian_dictionary,
    ill_conditioned_dictionary,
    measure,
    optimum,
    sparse_signals,
    unit_columns,
)

NMSE_FLOOR_DB = -200.0
"""What a perfect recovery is given. Single precision ends at about -140 dB."""
SAMPLE_GUARD = 1e-10
"""Added to both mean squares of an instance before their ratio is taken, as the authors do."""
WORKLOAD_INSTANCES = 128


class Solution(Protocol):
    """What a method returns: an `nn.Module` that is called so."""

    def __call__(self, instances: Instances, steps: int) -> Float[Tensor, "k b n"]: ...


@dataclass(frozen=True)
class Samples:
    """Instances, and the signals that they measure."""

    instances: Instances
    signals: Float[Tensor, "b n"]

    def to(self, device: torch.device) -> "Samples":
        return replace(self, instances=self.instances.to(device), signals=self.signals.to(device))


@dataclass(frozen=True)
class SparseProblem:
    """What `fit` is given: the dictionary, the distribution of instances, and validation samples."""

    dictionary: Float[Tensor, "m n"]
    weight: float
    """Of the l1 norm in the objective."""
    sparsity: float
    snr_db: float
    goal: Goal
    steps: int
    """Iterations after which a solution is scored."""
    validation: Samples

    def draw(self, count: int, seed: int) -> Samples:
        """Samples that depend on the problem and the seed alone, on the dictionary's device."""
        return _draw(self.dictionary, self.weight, self.sparsity, self.snr_db, count, seed)

    def loss(self, x: Float[Tensor, "b n"], samples: Samples) -> Float[Tensor, ""]:
        """What to train and to select on: a sum over instances that ranks solutions as the first metric does."""
        if self.goal == "objective":
            return samples.instances.objective(x).sum()
        return 0.5 * (x - samples.signals).square().sum()

    def to(self, device: torch.device) -> "SparseProblem":
        return replace(self, dictionary=self.dictionary.to(device), validation=self.validation.to(device))


class Draws:
    """An endless iterator over fresh samples. Batch k depends on problem, seed and k: its state is one integer."""

    def __init__(self, problem: SparseProblem, size: int, run: Run) -> None:
        self._problem = problem
        self._size = size
        self._seed = run.stream()
        self._batch = 0

    def __iter__(self) -> "Draws":
        return self

    def __next__(self) -> Samples:
        seed = derive_seed(self._seed, self._batch)
        self._batch += 1
        return self._problem.draw(self._size, seed)

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self._batch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._batch = state_dict["batch"]


@dataclass(frozen=True)
class HeldOut:
    """What only `evaluate` is given."""

    samples: Samples
    goal: Goal
    steps: int


def energy(x: Float[Tensor, "*k b n"]) -> Float[Tensor, "*k b"]:
    """The squared norm of each instance's vector, in double precision."""
    return x.double().square().sum(dim=-1)


def nmse_db(error: Float[Tensor, "*k b"], signal: Float[Tensor, " b"]) -> Float[Tensor, "*k"]:
    """10 log10 of one ratio over all instances, of squared error to squared signal; not below `NMSE_FLOOR_DB`."""
    return (10 * (error.sum(dim=-1) / signal.sum()).log10()).clamp(min=NMSE_FLOOR_DB)


def mean_nmse_db(error: Float[Tensor, "*k b"], signal: Float[Tensor, " b"], unknowns: int) -> Float[Tensor, "*k"]:
    """The mean over instances of each one's NMSE in dB, guarded by `SAMPLE_GUARD`; it ends at about -90 dB."""
    ratio = (error / unknowns + SAMPLE_GUARD) / (signal / unknowns + SAMPLE_GUARD)
    return 10 * ratio.log10().mean(dim=-1)


def relative_loss(objective: Float[Tensor, " b"], least: Float[Tensor, " b"]) -> float:
    """Eq. 19: how far the mean objective is above the mean optimum, as a multiple of the latter."""
    return ((objective.mean() - least.mean()) / least.mean()).item()


@task(version=1)
@dataclass(frozen=True)
class L2O:
    """Come close to the answer within few iterations, on instances drawn from one distribution."""

    measurements: Count = 256
    """Of each instance; the Lasso data sets fix their own."""
    unknowns: Count = 512
    """Of each instance; the Lasso data sets fix their own."""
    sparsity: Fraction = 0.1
    """Probability that an entry of a signal is not zero."""
    condition: Positive = 50.0
    """Condition number of the ill-conditioned dictionary before its columns are scaled; not published."""
    weight: Positive = 0.005
    """Of the l1 norm in the objective."""
    steps: Count = 16
    """Iterations after which a solution is scored."""
    validation_instances: Count = 1024
    test_instances: Count = 1024

    presets: ClassVar[Presets] = {
        "smoke": {
            "measurements": 25,
            "unknowns": 50,
            "steps": 4,
            "validation_instances": 128,
            "test_instances": 128,
        },
        "small": {"measurements": 50, "unknowns": 100},
    }
    cards: ClassVar[tuple[DatasetCard, ...]] = CARDS
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("nmse_db", "dB", better="low", low=-200.0, meaning="squared error over squared signal of all instances"),
        Metric("mean_nmse_db", "dB", better="low", low=-150.0, meaning="mean of each instance's NMSE in dB"),
        # A hair below zero is possible, since the optimum is found to 1e-9.
        Metric("relative_loss", "", better="low", low=-1e-6, meaning="objective above its optimum, relative to it"),
    )

    def load(self, dataset: str, budget: Budget, seed: int) -> tuple[SparseProblem, HeldOut]:  # noqa: ARG002
        """The problem of a seed: one dictionary, with validation and test samples of their own seeds."""
        recipe = RECIPES[dataset]
        measurements, unknowns = recipe.shape or (self.measurements, self.unknowns)
        dictionary_seed = derive_seed(seed, "l2o", "dictionary")
        dictionary = unit_columns(
            ill_conditioned_dictionary(measurements, unknowns, self.condition, dictionary_seed)
            if recipe.ill_conditioned
            else gaussian_dictionary(measurements, unknowns, dictionary_seed)
        )

        def draw(count: int, part: str) -> Samples:
            part_seed = derive_seed(seed, "l2o", part)
            return _draw(dictionary, self.weight, self.sparsity, recipe.snr_db, count, part_seed)

        problem = SparseProblem(
            dictionary,
            self.weight,
            self.sparsity,
            recipe.snr_db,
            recipe.goal,
            self.steps,
            draw(self.validation_instances, "validation"),
        )
        return problem, HeldOut(draw(self.test_instances, "test"), recipe.goal, self.steps)

    def check(self, solution: Any, problem: SparseProblem) -> None:
        """Raises `ValueError` if iterates are missing or of a wrong shape. Whether they diverge, `evaluate` shows."""
        if not isinstance(solution, nn.Module):
            raise ValueError(f"l2o: a solution must be an nn.Module, got {type(solution).__name__}")
        samples = problem.draw(3, seed=0).to(_device_of(solution))
        with torch.no_grad():
            iterates = solution(samples.instances, problem.steps)
        wanted = (problem.steps, *samples.signals.shape)
        if not isinstance(iterates, Tensor) or iterates.shape != wanted:
            came = tuple(iterates.shape) if isinstance(iterates, Tensor) else type(iterates).__name__
            raise ValueError(f"l2o: a solution must return iterates of shape {wanted} (k, b, n), got {came}")

    def evaluate(self, solution: Any, held_out: HeldOut) -> Evaluation:
        """Metrics at the last iteration, and their curves from iteration 0, which is the start."""
        samples = held_out.samples.to(_device_of(solution))
        instances, signals = samples.instances, samples.signals
        with torch.no_grad():
            iterates = [instances.start, *solution(instances, held_out.steps)]
        # One iterate at a time: all of them in double precision may be gigabytes.
        error, signal = torch.stack([energy(x - signals) for x in iterates]), energy(signals)
        values = {
            "nmse_db": nmse_db(error, signal).tolist(),
            "mean_nmse_db": mean_nmse_db(error, signal, signals.shape[-1]).tolist(),
        }
        if held_out.goal == "objective":
            exact, least = instances.to(torch.float64), optimum(instances)
            values["relative_loss"] = [relative_loss(exact.objective(x.double()), least) for x in iterates]
        units = {metric.name: metric.unit for metric in self.metrics}
        iterations = tuple(float(k) for k in range(len(iterates)))
        return Evaluation(
            metrics={name: curve[-1] for name, curve in values.items()},
            items=len(signals),
            curves={
                name: EvaluationCurve(iterations, tuple(curve), "iteration", units[name])
                for name, curve in values.items()
            },
        )

    def validate(self, solution: Any, problem: SparseProblem) -> float:
        """The problem's loss of the last iterate on the validation samples, for each sample."""
        samples = problem.validation.to(_device_of(solution))
        with torch.no_grad():
            iterates = solution(samples.instances, problem.steps)
        return problem.loss(iterates[-1], samples).item() / len(samples.signals)

    def workload(self, solution: Any, problem: SparseProblem) -> Workload:
        """All iterations on a batch of the size that training uses."""
        samples = problem.draw(WORKLOAD_INSTANCES, seed=0).to(_device_of(solution))
        m, n = problem.dictionary.shape
        label = f"{problem.steps} iterations on {WORKLOAD_INSTANCES} instances of {m} measurements, {n} unknowns"
        inputs = (samples.instances, problem.steps)
        return Workload(solution, inputs, WORKLOAD_INSTANCES, label, iterations=problem.steps)


def _draw(
    dictionary: Float[Tensor, "m n"], weight: float, sparsity: float, snr_db: float, count: int, seed: int
) -> Samples:
    # Drawn on the CPU, so that every device sees the same samples.
    generator = torch.Generator().manual_seed(seed)
    signals = sparse_signals(count, dictionary.shape[1], sparsity, generator).to(dictionary)
    return Samples(Instances(dictionary, measure(dictionary, signals, snr_db, generator), weight), signals)


def _device_of(solution: nn.Module) -> torch.device:
    """Where a solution's tensors are; one without any computes wherever its instances are, so on the CPU."""
    tensor = next(chain(solution.parameters(), solution.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device
