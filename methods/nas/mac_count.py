"""The number of multiply-adds: a baseline, as the number of parameters is."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench import Presets, Run, method
from methods.nas._scoring import score_sample
from tasks.nas import Architecture, Found, NASProblem
from tasks.nas.scoring import costs


@method("nas")
@dataclass(frozen=True)
class MACCount:
    """Scores an architecture by the multiply-adds of the network that is trained in the end: a baseline."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: NASProblem, run: Run) -> Found:
        channels, height, width = problem.images.shape[1:]

        def macs(architecture: Architecture, _: int) -> float:
            with torch.device("meta"):
                network = problem.network(architecture)
            return float(costs(network, (channels, height, width))[1])

        return score_sample(problem, run, macs)
