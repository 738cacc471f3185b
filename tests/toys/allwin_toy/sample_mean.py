"""The mean of the draws."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from allwin_toy.task import Guess, ToyProblem
from bench import Presets, Run, method


@method("toy", paper="gauss")
@dataclass(frozen=True)
class SampleMean:
    """The mean of the draws, in closed form."""

    presets: ClassVar[Presets] = {}

    def build(self, problem: ToyProblem) -> Guess:
        return Guess(torch.zeros(()))

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        return Guess(problem.draws.mean())
