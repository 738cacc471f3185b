"""Another method's guess, shrunk towards zero."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from allwin_toy.task import Guess, ToyProblem
from bench import Method, Presets, Run, UnitInterval, method


@method("toy")
@dataclass(frozen=True)
class Shrunk:
    """Wraps another method and multiplies its guess."""

    base: Method
    factor: UnitInterval = 0.5

    presets: ClassVar[Presets] = {}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        solution = self.base.fit(problem, run)
        return Guess((self.factor * solution(torch.zeros(1))).detach())
