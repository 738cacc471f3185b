"""DRN-D-38, in FasterSeg's table with 55.2 mIoU on BDD100K at 12.9 FPS; the network, its sources and its training are in `_drn`."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from methods.segmentation._drn import DRNNetwork, train
from methods.segmentation._recipe import drawn
from tasks.segmentation import SegmentationProblem

DEPTHS = (3, 4, 6, 3)
"""Blocks of the residual stages."""


@method("segmentation", paper="drn")
@dataclass(frozen=True)
class DRND38:
    """Trains DRN-D-38 with the authors' command."""

    steps: Count = 46_250
    """Updates: 250 passes over the 2,975 images of Cityscapes."""
    batch: Count = 16
    lr: Positive = 1e-3
    """Step size of SGD at the start."""
    decay_every: Count = 18_500
    """Updates after which it falls to a tenth: 100 passes."""
    momentum: UnitInterval = 0.99
    weight_decay: NonNegative = 1e-4

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 15, "batch": 8, "decay_every": 12},
        "gpu": {"steps": 1500, "decay_every": 1000},
    }
    search: ClassVar[Search] = {"lr": "log(1e-5, 0.1)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> nn.Module:
        return drawn(lambda: DRNNetwork(problem.classes, DEPTHS), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        return train(
            lambda: DRNNetwork(problem.classes, DEPTHS),
            problem,
            run,
            steps=self.steps,
            batch=self.batch,
            lr=self.lr,
            decay_every=self.decay_every,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
