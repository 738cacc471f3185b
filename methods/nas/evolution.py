"""Regularised evolution: a population in which the oldest dies, whatever it is worth.

Real, Aggarwal, Huang and Le, AAAI 2019; REA of NAS-Bench-201 (Dong and Yang, ICLR 2020).

    Algorithm 1    `Population` and the loop of `Evolution.fit`
    tournament     `tournament`: the best of a few, drawn with replacement, has a child
    mutation       the space's: one edge gets another operator

Population and sample are those of the benchmark's launch script. Differs from its code: the budget is a number of
architectures, by default 100, about what its 12,000 s of training are worth on CIFAR-10 (from memory); a query gives
the mean over the training seeds, theirs a random one's. The paper's own runs have populations of 100 and samples of 25.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from bench import Count, Presets, Run, method
from bench.training import Memory
from methods.nas._trials import Trials
from tasks.nas import Found, NASProblem


def tournament(accuracies: Sequence[float], sample: int, generator: torch.Generator) -> int:
    """The index of the best among `sample` members, drawn uniformly with replacement; of equals, the first drawn."""
    drawn = torch.randint(len(accuracies), (sample,), generator=generator).tolist()
    return max(drawn, key=lambda index: accuracies[index])


@method("nas", paper="regularised-evolution")
@dataclass(frozen=True)
class Evolution:
    """Breeds architectures by tournament and mutation; ages them out in the order of their birth."""

    trials: Count = 100
    """Architectures trained, those of the first population included."""
    population: Count = 10
    sample: Count = 3
    """Members of a tournament."""

    presets: ClassVar[Presets] = {"smoke": {"trials": 20, "population": 5}}

    def fit(self, problem: NASProblem, run: Run) -> Found:
        trials = Trials(problem)
        alive = Memory(first=0)  # the living are the trials from this one on
        for step in run.steps(self.trials, {"trials": trials, "alive": alive}, name="search"):
            if step < self.population:
                child = problem.space.random(run.generator)
            else:
                winner = alive.first + tournament(trials.accuracies[alive.first :], self.sample, run.generator)
                child = problem.space.mutate(trials.tried[winner], run.generator)
            trials.ask(child, step, run)
            if len(trials.tried) - alive.first > self.population:
                alive.first += 1
            run.log(step, population_accuracy=sum(trials.accuracies[alive.first :]) / (len(trials.tried) - alive.first))
        return trials.found(run)
