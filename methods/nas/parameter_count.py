"""The number of parameters: the baseline that a score must beat to be worth anything."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench import Presets, Run, method
from methods.nas._scoring import score_sample
from tasks.nas import Architecture, Found, NASProblem


@method("nas")
@dataclass(frozen=True)
class ParameterCount:
    """Scores an architecture by the parameters of the network that is trained in the end: a baseline."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: NASProblem, run: Run) -> Found:
        def parameters(architecture: Architecture, _: int) -> float:
            with torch.device("meta"):
                return float(sum(parameter.numel() for parameter in problem.network(architecture).parameters()))

        return score_sample(problem, run, parameters)
