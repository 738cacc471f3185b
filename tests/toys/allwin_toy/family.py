"""Settings that a method in another file inherits."""

from dataclasses import dataclass
from typing import ClassVar

from bench import Count, Presets, Run

STEPS = 11


@dataclass(frozen=True)
class Family:
    steps: Count = STEPS

    presets: ClassVar[Presets] = {}

    def fit(self, problem: object, run: Run) -> None:
        return None
