"""TE-NAS's indicators of single architectures, over the problem's sample.

a b architectures measured by each
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from bench import Run
from bench.training import Memory
from methods.nas._indicators import Measure, Place
from tasks.nas import NASProblem

Indicator = Callable[[Float[Tensor, "e o"], Place, Place], float]


def measure_sample(
    problem: NASProblem, run: Run, measure: Measure, repeats: int, *, kappa: bool, regions: bool
) -> tuple[Float[Tensor, " a"], Float[Tensor, " b"]]:
    """Kappa and the number of linear regions of each architecture, means over draws; empty where not asked for.

    An architecture a step. All architectures are measured with the same draws of inputs, each with weights of its own.
    """
    memory = Memory(kappas=[], regions=[])

    def mean(indicator: Indicator, number: int) -> float:
        weights = problem.sample[number].weights()
        return sum(indicator(weights, (number, repeat), (repeat,)) for repeat in range(repeats)) / repeats

    for step in run.steps(len(problem.sample), {"measured": memory}, name="score"):
        if kappa:
            memory.kappas = [*memory.kappas, mean(measure.kappa, step)]
        if regions:
            memory.regions = [*memory.regions, mean(measure.regions, step)]
    return torch.tensor(memory.kappas, dtype=torch.float64), torch.tensor(memory.regions, dtype=torch.float64)
