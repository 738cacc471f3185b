"""Hangs, with a child that hangs too."""

from dataclasses import dataclass
from typing import ClassVar

from allwin_toy.task import Guess, ToyProblem
from bench import Presets, Run, method


@method("toy")
@dataclass(frozen=True)
class Hangs:
    """Hangs, with a child that hangs too."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        import subprocess
        import time

        subprocess.Popen(["sleep", "987654"])
        time.sleep(987_654)
        return Guess(problem.draws.mean())
