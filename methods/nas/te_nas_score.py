"""TE-NAS's two indicators together, as a score of single architectures.

Chen, Gong and Wang, ICLR 2021, figure 9: over a sample of architectures the rank by the condition number of the NTK and
the rank by the number of linear regions are added up. `kappa` and `regions` are the two alone.

s scored architectures
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from bench import Count, Presets, Run, method
from methods.nas._indicators import indicators
from methods.nas._proxy_scoring import measure_sample
from methods.nas._scoring import ranked
from tasks.nas import Found, NASProblem


def rank_sum(kappas: Float[Tensor, " s"], regions: Float[Tensor, " s"]) -> Float[Tensor, " s"]:
    """Ranks by kappa, 1 for the highest, plus ranks by regions, 1 for the lowest; ties share their mean."""
    return torch.from_numpy(rankdata(-kappas.numpy()) + rankdata(regions.numpy()))


@method("nas", paper="tenas")
@dataclass(frozen=True)
class TENASScore:
    """Scores an architecture by the sum of its ranks by kappa and by linear regions, on TE-NAS's proxies."""

    init: Literal["kaiming", "default"] = "kaiming"
    """Initial weights: Kaiming normal, or torch's own."""
    repeats: Count = 3
    """Draws of weights and inputs over which both are averaged."""
    batch: Count = 72
    """Images of the NTK, where every edge is kept."""
    batch_darts: Count = 14
    """The same where a node keeps some edges only."""
    region_batches: Count = 3
    region_batch: Count = 1000
    """Inputs in each of these batches."""

    presets: ClassVar[Presets] = {
        "smoke": {"repeats": 1, "batch": 6, "batch_darts": 3, "region_batches": 1, "region_batch": 64},
        "small": {"repeats": 1, "batch": 32, "batch_darts": 8},
        "gpu": {"batch": 32},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        measure = indicators(
            problem,
            run,
            init=self.init,
            batch=self.batch if problem.space.kept is None else self.batch_darts,
            region_batches=self.region_batches,
            region_batch=self.region_batch,
        )
        kappas, regions = measure_sample(problem, run, measure, self.repeats, kappa=True, regions=True)
        return ranked(problem.sample[: len(kappas)], rank_sum(kappas, regions), run)
