"""Eats memory without end."""

from dataclasses import dataclass
from typing import ClassVar

from allwin_toy.task import Guess, ToyProblem
from bench import Presets, Run, method


@method("toy")
@dataclass(frozen=True)
class Swells:
    """Eats memory without end."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        import torch

        eaten = []
        while True:
            eaten.append(torch.ones(128, 2**20))
