"""Learning to optimise: come close to the answer within few iterations, on problems drawn from one distribution.

Chen, Chen, Chen, Heaton, Liu, Wang and Yin, "Learning to Optimize: A Primer and A Benchmark", JMLR 2022 (Open-L2O).

A solution is a module called as `solution(optimisees, steps)`. It gives iterates 1 to `steps` of every function, one
after another; the last is scored, the others are curves. It may use whatever `optimisees` offers: start, value and
gradient (`Optimisees`), and in the LASSO family dictionary, measurements and residual (`Instances`).

    sparse recovery    `sparse*`: find the signal; error as NMSE, in dB
    Lasso              `lasso-5x10`, `lasso-25x50`: lower the objective; error relative to its optimum (Eq. 19)
    patches            `cs-*`: compressive sensing of natural images; PSNR, in dB
    functions          `quadratic-*`, `lasso-dense-*`, `rastrigin-*`, `rosenbrock-*`: lower the value
    networks           `mlp-*`, `convnet-*`: lower the training loss of a small network

Every problem also has shifts: what a solution does on functions that it did not learn on, as metrics of their own
(`tasks/l2o/shifts.py`). They never rank.

Differs from the authors' benchmark: training instances are drawn without end, as the methods' first authors did, not
51,200 times (12,800 for Lasso); 1,024 test instances for Lasso too, not 1,280, and all methods start at zero there, not
learned optimisers at ten random points; the Lasso objective that is trained on is the one that is reported, not one
with half its quadratic term. A function that is not finite any more counts with
its last finite value, and as diverged. What the networks differ in, see `tasks/l2o/networks.py`.

Dimensions: b instances, m measurements, n unknowns, k iterations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import nn

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
    Workload,
    task,
)
from tasks.l2o.datasets import CARDS
from tasks.l2o.loading import load_functions, load_networks, load_patches, load_sparse
from tasks.l2o.optimisees import Optimisees
from tasks.l2o.problems import FunctionProblem, Problem, Samples, Solution, SparseProblem, device_of
from tasks.l2o.recipes import FUNCTIONS, NETWORKS, SPARSE
from tasks.l2o.scoring import last
from tasks.l2o.shifts import HeldOut

__all__ = ["L2O", "FunctionProblem", "Problem", "Samples", "Solution", "SparseProblem"]

WORKLOAD_INSTANCES = 128
WORKLOAD_ITERATIONS = 16
"""A longer run costs as much more. The networks that unroll have no more layers."""
CHECKED_ITERATIONS = 16


@task(version=2)
@dataclass(frozen=True)
class L2O:
    """Come close to the answer within few iterations, on problems drawn from one distribution."""

    measurements: Count = 256
    """Of each instance; the Lasso data sets fix their own."""
    unknowns: Count = 512
    """Of each instance; the Lasso data sets fix their own."""
    sparsity: Fraction = 0.1
    """Probability that an entry of a signal is not zero."""
    condition: Positive = 50.0
    """Condition number of the ill-conditioned dictionary before its columns are scaled; not published."""
    correlation: Fraction = 0.7
    """Of neighbouring columns of the coherent dictionary; not published."""
    weight: Positive = 0.005
    """Of the l1 norm in the objective of the LASSO family."""
    patch_side: Count = 16
    """Pixels; half as many measurements as pixels, twice as many atoms. A power of two."""
    steps: Count = 16
    """Iterations after which a solution is scored in the LASSO family."""
    validation_instances: Count = 1024
    test_instances: Count = 1024
    functions: Count = 128
    """Analytic functions in the validation and in the test part."""
    function_steps: Count = 1000
    """Iterations after which a solution is scored on analytic functions."""
    networks: Count = 10
    """Networks that are trained, each from its own start; as many for validation."""
    training_steps: Count = 10_000
    """Iterations after which a solution is scored on networks."""
    minibatch: Count = 128
    pooling: Count = 1
    """Digits are made smaller by this factor, by averages."""

    presets: ClassVar[Presets] = {
        "smoke": {
            "measurements": 25,
            "unknowns": 50,
            "patch_side": 4,
            "steps": 4,
            "validation_instances": 128,
            "test_instances": 128,
            "functions": 16,
            "function_steps": 20,
            "networks": 1,
            "training_steps": 5,
            "minibatch": 32,
            "pooling": 2,
        },
        "small": {
            "measurements": 50,
            "unknowns": 100,
            "patch_side": 8,
            "networks": 2,
            "training_steps": 500,
            "pooling": 2,
        },
        "gpu": {"training_steps": 2000},
    }
    cards: ClassVar[tuple[DatasetCard, ...]] = CARDS
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("nmse_db", "dB", better="low", low=-200.0, meaning="squared error over squared signal of all instances"),
        Metric("mean_nmse_db", "dB", better="low", low=-150.0, meaning="mean of each instance's NMSE in dB"),
        # A hair below zero is possible, since the optimum is found to 1e-9.
        Metric("relative_loss", "", better="low", low=-1e-6, meaning="objective above its optimum, relative to it"),
        Metric("psnr_db", "dB", better="high", high=200.0, meaning="of grey values, one mean square over all patches"),
        Metric("loss", "", better="low", meaning="mean value of the functions at the end"),
        Metric("median_loss", "", better="low", meaning="median value of the functions at the end"),
        Metric("training_loss", "", better="low", low=0.0, meaning="cross-entropy, mean over the last ten minibatches"),
        Metric("test_loss", "", better="low", low=0.0, meaning="cross-entropy on images that no network was fitted to"),
        Metric("test_error", "%", better="low", low=0.0, high=100.0, meaning="on images that no network was fitted to"),
        Metric("diverged", "%", better="low", low=0.0, high=100.0, meaning="functions whose value is not finite"),
        Metric("denser_nmse_db", "dB", better="low", low=-200.0, meaning="twice as many entries are not zero"),
        Metric("noisier_nmse_db", "dB", better="low", low=-200.0, meaning="noise at 20 dB, or 10 dB more than learnt"),
        Metric("perturbed_nmse_db", "dB", better="low", low=-200.0, meaning="the dictionary is another, 5 % off"),
        Metric("louder_nmse_db", "dB", better="low", low=-200.0, meaning="signals ten times as large"),
        Metric("denser_relative_loss", "", better="low", low=-1e-6, meaning="twice as many entries are not zero"),
        Metric("noisier_relative_loss", "", better="low", low=-1e-6, meaning="noise at 20 dB"),
        Metric("perturbed_relative_loss", "", better="low", low=-1e-6, meaning="the dictionary is another, 5 % off"),
        Metric("louder_relative_loss", "", better="low", low=-1e-6, meaning="signals ten times as large"),
        Metric("noisier_psnr_db", "dB", better="high", high=200.0, meaning="noise at 20 dB"),
        Metric("wider_loss", "", better="low", meaning="starts five times as far from zero"),
        Metric("larger_loss", "", better="low", meaning="five times as many unknowns"),
        Metric("scaled_loss", "", better="low", meaning="functions ten times as large, divided by ten again"),
        Metric("longer_training_loss", "", better="low", low=0.0, meaning="four times as many steps"),
        Metric("relu_training_loss", "", better="low", low=0.0, meaning="an MLP with ReLU"),
        Metric("deeper_training_loss", "", better="low", low=0.0, meaning="an MLP with one more hidden layer"),
        Metric("convnet_training_loss", "", better="low", low=0.0, meaning="a ConvNet"),
        Metric("lenet_training_loss", "", better="low", low=0.0, meaning="a LeNet"),
        Metric("cell_training_loss", "", better="low", low=0.0, meaning="a cell as architecture search finds them"),
    )

    def load(self, dataset: str, budget: Budget, seed: int) -> tuple[Problem, HeldOut]:  # noqa: ARG002
        """The problem of a seed, and what only `evaluate` sees: test functions, and those of the shifts."""
        if dataset in SPARSE:
            return load_sparse(self, SPARSE[dataset], seed)
        if dataset in FUNCTIONS:
            return load_functions(self, *FUNCTIONS[dataset], seed)
        if dataset in NETWORKS:
            return load_networks(self, NETWORKS[dataset], seed)
        return load_patches(self, dataset, seed)

    def check(self, solution: Any, problem: Problem) -> None:
        """Raises `ValueError` if iterates are missing or of a wrong shape. Whether they diverge, `evaluate` shows."""
        if not isinstance(solution, nn.Module):
            raise ValueError(f"l2o: a solution must be an nn.Module, got {type(solution).__name__}")
        optimisees = problem.optimisees(3, seed=0).to(device_of(solution))
        steps, shape = min(problem.steps, CHECKED_ITERATIONS), tuple(optimisees.start.shape)
        with torch.no_grad():
            shapes = [tuple(x.shape) for x in islice(solution(optimisees, steps), steps + 1)]
        if shapes != [shape] * steps:
            wrong = next((came for came in shapes if came != shape), f"{len(shapes)} of them")
            raise ValueError(f"l2o: a solution must give {steps} iterates of shape {shape} (b, n), got {wrong}")

    def evaluate(self, solution: Any, held_out: HeldOut) -> Evaluation:
        """Metrics at the last iteration with their curves from iteration 0, which is the start; and those of shifts."""
        evaluation = held_out.score(solution)
        units = {metric.name: metric.unit for metric in self.metrics}
        return Evaluation(
            metrics=evaluation.metrics,
            items=evaluation.items,
            curves={name: _curve(points, units[name]) for name, points in evaluation.curves.items()},
        )

    def validate(self, solution: Any, problem: Problem) -> float:
        """What to select by, from the problem's own validation part."""
        return problem.to(device_of(solution)).validation_loss(solution)

    def workload(self, solution: Any, problem: Problem) -> Workload:
        """The first iterations on a batch of the size that training uses; on a single network."""
        count = 1 if problem.trains_networks else WORKLOAD_INSTANCES
        iterations = min(problem.steps, WORKLOAD_ITERATIONS)
        optimisees = problem.optimisees(count, seed=0).to(device_of(solution))
        unknowns = optimisees.start.shape[1]
        label = f"{iterations} iterations on {count} function{'s' * (count > 1)} of {unknowns:,} unknowns"
        return Workload(run_to_the_end, (solution, optimisees, iterations), count, label, iterations)


def run_to_the_end(solution: Solution, optimisees: Optimisees, steps: int) -> torch.Tensor:
    """The last iterate."""
    return last(solution(optimisees, steps))


def _curve(points: Mapping[int, float], unit: str) -> EvaluationCurve:
    return EvaluationCurve(tuple(map(float, points)), tuple(points.values()), "iteration", unit)
