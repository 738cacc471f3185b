"""Toy: guess the mean of a normal distribution from a few draws."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench import Count, DatasetCard, Evaluation, Metric, Positive, Presets, Workload, task

CARDS = (
    DatasetCard("normal", "Draws from N(mean, 1)", "none", "generated from the seed", "20 draws", "generated"),
    DatasetCard("absent", "A set that nobody has", "none", "nowhere", "none", "files", folder="nowhere-at-all"),
)


@dataclass(frozen=True)
class ToyProblem:
    draws: Tensor


@dataclass(frozen=True)
class ToyHeldOut:
    mean: Tensor


@task(version=1)
@dataclass(frozen=True)
class Toy:
    """Guess a mean."""

    draws: Count = 20
    spread: Positive = 3.0
    """Deviation of the mean itself."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("distance", "1", better="low", low=0),)
    cards: ClassVar[tuple[DatasetCard, ...]] = CARDS
    presets: ClassVar[Presets] = {"smoke": {"draws": 10}}

    def load(self, dataset: str, budget: str, seed: int) -> tuple[ToyProblem, ToyHeldOut]:
        generator = torch.Generator().manual_seed(seed)
        mean = self.spread * torch.randn((), generator=generator)
        return ToyProblem(mean + torch.randn(self.draws, generator=generator)), ToyHeldOut(mean)

    def check(self, solution: nn.Module, problem: ToyProblem) -> None:
        if solution(problem.draws).shape != ():
            raise ValueError("a solution gives one number")

    def evaluate(self, solution: nn.Module, held_out: ToyHeldOut) -> Evaluation:
        guess = solution(torch.zeros(1))
        return Evaluation({"distance": (guess - held_out.mean).abs().item()}, 1)

    def validate(self, solution: nn.Module, problem: ToyProblem) -> float:
        return (solution(problem.draws) - problem.draws).square().mean().item()

    def workload(self, solution: nn.Module, problem: ToyProblem) -> Workload:
        return Workload(solution, (problem.draws,), 1, "one guess")


class Guess(nn.Module):
    """Ignores its input and answers with its one parameter."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value.clone())

    def forward(self, _: Tensor) -> Tensor:
        return self.value
