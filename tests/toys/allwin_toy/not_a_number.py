"""Returns NaN."""

from dataclasses import dataclass
from typing import ClassVar

from allwin_toy.task import Guess, ToyProblem
from bench import Presets, Run, method


@method("toy")
@dataclass(frozen=True)
class NotANumber:
    """Returns NaN."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        return Guess(problem.draws.mean() * float("nan"))
