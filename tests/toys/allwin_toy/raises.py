"""Raises."""

from dataclasses import dataclass
from typing import ClassVar

from allwin_toy.task import Guess, ToyProblem
from bench import Presets, Run, method


@method("toy")
@dataclass(frozen=True)
class Raises:
    """Raises."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        raise RuntimeError("the paper forgot <b>a term</b>")
