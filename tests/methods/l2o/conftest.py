"""A small problem in double precision, and the iteration that every network of thresholds starts as, by hand."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.run import Run
from tasks.l2o import Samples, SparseProblem
from tasks.l2o.lasso import Instances, gaussian_dictionary, lipschitz, sparse_signals, unit_columns
from tasks.l2o.problems import SparseSource

WEIGHT = 0.005


def small_problem(dictionary: torch.Tensor, snr_db: float = float("inf")) -> SparseProblem:
    signals = sparse_signals(8, dictionary.shape[1], 0.1, torch.Generator().manual_seed(0)).to(dictionary)
    validation = Samples(Instances(dictionary, signals @ dictionary.T, WEIGHT), signals)
    source = SparseSource(dictionary, WEIGHT, 0.1, snr_db)
    return SparseProblem(dictionary, WEIGHT, source, "signal", 16, validation)


@pytest.fixture(scope="session")
def problem_of() -> Callable[..., SparseProblem]:
    """From a dictionary to its problem; without noise unless `snr_db` says otherwise."""
    return small_problem


@pytest.fixture(scope="session")
def problem() -> SparseProblem:
    return small_problem(unit_columns(gaussian_dictionary(25, 50, 0).double()))


@pytest.fixture(scope="session")
def dictionary(problem: SparseProblem) -> torch.Tensor:
    return problem.dictionary


@pytest.fixture(scope="session")
def instances(problem: SparseProblem) -> Instances:
    return problem.validation.instances


@pytest.fixture(scope="session")
def ista_by_hand(instances: Instances) -> Callable[[float, int], np.ndarray]:
    """The textbook iteration, one instance at a time."""

    def iterate(weight: float, steps: int) -> np.ndarray:
        A, scale = instances.dictionary.numpy(), lipschitz(instances.dictionary)
        iterates = np.zeros((steps, len(instances.measurements), A.shape[1]))
        for row, b in enumerate(instances.measurements.numpy()):
            x = np.zeros(A.shape[1])
            for k in range(steps):
                z = x - A.T @ (A @ x - b) / scale
                above, below = z > weight / scale, z < -weight / scale
                x = np.where(above, z - weight / scale, np.where(below, z + weight / scale, 0))
                iterates[k, row] = x
        return iterates

    return iterate


@pytest.fixture
def killed_again_and_again(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Run]]:
    """Fits a method with seed 7, killed after at most `longest` steps a leg, until it gets to its end.

    Gives the weights that it ends with, and the run of the last leg. It was killed twice at least.
    """

    def fit(method: Any, problem: Any, *, longest: int) -> tuple[dict[str, Any], Run]:
        dice = random.Random(0)
        kills = 0
        while True:
            left = dice.randint(1, longest)

            def die(phase: str, step: int) -> None:
                nonlocal left
                left -= 1
                if not left:
                    raise KeyboardInterrupt

            run = Run(seed=7, checkpoints=tmp_path, save_every_s=0, on_step=die)
            try:
                resumed = method.fit(problem, run).state_dict()
            except KeyboardInterrupt:
                kills += 1
                continue
            assert kills >= 2
            return resumed, run

    return fit
