"""The number of linear regions alone, as a score of single architectures.

Chen, Gong and Wang, ICLR 2021, section 3.2 and figure 3; what it is stands in `methods/nas/_regions.py`.
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
class Regions:
    """Scores an architecture by its expressivity: the linear regions that random inputs of TE-NAS's proxy fall into."""

    init: Literal["kaiming", "default"] = "kaiming"
    """Initial weights: Kaiming normal, or torch's own."""
    repeats: Count = 3
    """Draws of weights and inputs over which the number is averaged."""
    region_batches: Count = 3
    region_batch: Count = 1000
    """Inputs in each of these batches."""

    presets: ClassVar[Presets] = {"smoke": {"repeats": 1, "region_batches": 1, "region_batch": 64}}

    def fit(self, problem: NASProblem, run: Run) -> Found:
        measure = indicators(
            problem,
            run,
            init=self.init,
            batch=0,
            region_batches=self.region_batches,
            region_batch=self.region_batch,
        )
        _, regions = measure_sample(problem, run, measure, self.repeats, kappa=False, regions=True)
        return ranked(problem.sample[: len(regions)], regions, run)
