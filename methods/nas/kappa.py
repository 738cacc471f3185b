"""The condition number of the neural tangent kernel alone, as a score of single architectures.

Chen, Gong and Wang, ICLR 2021, section 3.1 and figure 1; what it is stands in `methods/nas/_kappa.py`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bench import Count, Presets, Run, method
from methods.nas._indicators import indicators
from methods.nas._proxy_scoring import measure_sample
from methods.nas._scoring import ranked
from tasks.nas import Found, NASProblem


@method("nas", paper="tenas")
@dataclass(frozen=True)
class Kappa:
    """Scores an architecture by its trainability: minus the condition number of its NTK on TE-NAS's proxy."""

    init: Literal["kaiming", "default"] = "kaiming"
    """Initial weights: Kaiming normal, or torch's own."""
    repeats: Count = 3
    """Draws of weights and images over which kappa is averaged."""
    batch: Count = 72
    """Images of the NTK, where every edge is kept."""
    batch_darts: Count = 14
    """The same where a node keeps some edges only."""

    presets: ClassVar[Presets] = {
        "smoke": {"repeats": 1, "batch": 6, "batch_darts": 3},
        "small": {"repeats": 1, "batch": 32, "batch_darts": 8},
        "gpu": {"batch": 32},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        batch = self.batch if problem.space.kept is None else self.batch_darts
        measure = indicators(problem, run, init=self.init, batch=batch, region_batches=0, region_batch=0)
        kappas, _ = measure_sample(problem, run, measure, self.repeats, kappa=True, regions=False)
        return ranked(problem.sample[: len(kappas)], -kappas, run)
