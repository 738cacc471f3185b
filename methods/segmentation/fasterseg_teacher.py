"""FasterSeg's teacher: the published network of full width, trained by itself.

Chen, Gong, Liu, Zhang, Li and Wang, ICLR 2020. It was found in one search with the student, without a latency term; its
genotype is decoded from the released file (`fasterseg/teacher.json`). Departures as of `fasterseg`.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bench import Presets, Run, Search, method
from methods.segmentation.fasterseg.genotype import teacher
from methods.segmentation.fasterseg.network import DerivedNetwork
from methods.segmentation.fasterseg.training import Training, finished, untrained
from tasks.segmentation import SegmentationProblem


@method("segmentation", paper="fasterseg")
@dataclass(frozen=True)
class FasterSegTeacher(Training):
    """Trains the published teacher; settings as of `fasterseg`."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 2, "epoch_steps": 1, "batch": 2},
        "small": {"epochs": 300, "epoch_steps": 1, "batch": 8, "lr": 0.02},
        "gpu": {"epochs": 600, "epoch_steps": 2, "batch": 16, "lr": 0.02},
    }
    search: ClassVar[Search] = {"lr": "log(1e-3, 1e-1)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> nn.Module:
        return DerivedNetwork(teacher(), problem.classes, auxiliary=not self.deployed, attention=not self.deployed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        net = self.train(untrained(teacher(), problem, "teacher", run), "fit", self.epochs, problem, run)
        return finished(net, teacher(), problem.classes, deployed=self.deployed)
