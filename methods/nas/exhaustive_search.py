"""Exhaustive search: every architecture is trained, and the best on validation images kept.

What a search by validation accuracy cannot beat except by luck. It is no best by test accuracy, which nothing here may
read: on NAS-Bench-201 the choice is made after 12 epochs, and what `regret` says of it is what that choice costs.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench import Presets, Run, Unsupported, method
from tasks.nas import Found, NASProblem
from tasks.nas.tabular import TabularSpace


@method("nas", oracle=True)
@dataclass(frozen=True)
class ExhaustiveSearch:
    """Has every architecture's validation accuracy, which no search has the time for; they score the sample too."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: NASProblem, run: Run) -> Found:
        space = problem.space
        if not isinstance(space, TabularSpace):
            raise Unsupported(f"{space.name} has too many architectures to train them all")
        architectures = space.all()
        accuracies = torch.tensor([problem.validation(architecture) for architecture in architectures])
        best = architectures[int(accuracies.argmax())]
        run.artefact("architecture", str(best))
        scores = torch.tensor([problem.validation(architecture) for architecture in problem.sample])
        return Found(best, problem.sample, scores)
