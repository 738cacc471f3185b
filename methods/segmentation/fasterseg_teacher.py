"""FasterSeg's teacher: the published network of full width, trained by itself.

Chen, Gong, Liu, Zhang, Li and Wang, ICLR 2020. It was found in one search with the student, without a latency term; its
genotype is decoded from the released file (`fasterseg/teacher.json`). Departures as of `fasterseg`.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from methods.segmentation._recipe import drawn
from methods.segmentation.fasterseg.genotype import teacher
from methods.segmentation.fasterseg.network import DerivedNetwork
from methods.segmentation.fasterseg.training import finished, train
from tasks.segmentation import SegmentationProblem


@method("segmentation", paper="fasterseg")
@dataclass(frozen=True)
class FasterSegTeacher:
    """Trains the published teacher; settings as of `fasterseg`."""

    epochs: Count = 600
    epoch_steps: Count = 1000
    batch: Count = 12
    """Crops a step."""
    lr: Positive = 0.01
    """SGD's step size at the start."""
    lr_decay: UnitInterval = 0.992
    """What is left of it after an epoch."""
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 5e-4
    auxiliary: NonNegative = 0.2
    """The weight of each auxiliary head's loss."""
    threshold: UnitInterval = 0.7
    """OHEM: pixels whose class has a probability of at most this are kept."""
    least: UnitInterval = 0.0625
    """OHEM: this share of the pixels is kept at least."""
    deployed: bool = False
    """Whether the solution leaves out what only training uses."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 2, "epoch_steps": 1, "batch": 2},
        "small": {"epochs": 300, "epoch_steps": 1, "batch": 8, "lr": 0.02},
        "gpu": {"epochs": 600, "epoch_steps": 2, "batch": 16, "lr": 0.02},
    }
    search: ClassVar[Search] = {"lr": "log(1e-3, 1e-1)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> nn.Module:
        return DerivedNetwork(teacher(), problem.classes, auxiliary=not self.deployed, attention=not self.deployed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        net = drawn(lambda: DerivedNetwork(teacher(), problem.classes), problem.seed, "teacher").to(run.device)
        train(
            net,
            "fit",
            problem.batches(self.batch, run),
            run,
            epochs=self.epochs,
            epoch_steps=self.epoch_steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            auxiliary=self.auxiliary,
            threshold=self.threshold,
            least=self.least,
        )
        return finished(net, teacher(), problem.classes, deployed=self.deployed)
