"""FasterSeg: the published student, trained by itself or distilled from the published teacher.

Chen, Gong, Liu, Zhang, Li and Wang, "FasterSeg: Searching for Faster Real-time Semantic Segmentation", ICLR 2020.

    operators, section 3.1        `operators.py`: zoomed and plain convolutions
    the network, figure 6         `network.py` from `student.json`, decoded from the released file
    distillation, section 3.4     `training.distilled`; the teacher is `teacher.json`
    the search                    `fasterseg_search.py` beside this package: supernet, latency, derivation

Differs from the authors' code: sizes that 32 does not divide work (`network.py`); the learning rate falls once for
`epoch_steps` steps, however many images there are; no averaging over flipped images. Accuracy is the last step's, where
the published figure is the best of all epochs on the validation images.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from bench import Count, NonNegative, Presets, Run, Search, method
from methods.segmentation.fasterseg.genotype import student, teacher
from methods.segmentation.fasterseg.network import DerivedNetwork
from methods.segmentation.fasterseg.training import Training, finished, untrained
from tasks.segmentation import SegmentationProblem


@method("segmentation", paper="fasterseg")
@dataclass(frozen=True)
class FasterSeg(Training):
    """Trains the published student; before that, with distillation, the published teacher."""

    teacher_epochs: Count = 600
    distillation: Literal["per-element", "per-pixel", "none"] = "per-element"
    """Whether the student follows the teacher, and over what the divergence is averaged: every element, as in the
    released code, or every pixel, which is as many times stronger as there are classes."""
    distillation_weight: NonNegative = 1.0

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 3, "teacher_epochs": 2, "epoch_steps": 1, "batch": 2},
        "small": {"epochs": 300, "teacher_epochs": 200, "epoch_steps": 1, "batch": 8, "lr": 0.02},
        "gpu": {"epochs": 600, "teacher_epochs": 600, "epoch_steps": 2, "batch": 16, "lr": 0.02},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-3, 1e-1)",
        "weight_decay": "log(1e-6, 1e-2)",
        "distillation_weight": "log(0.1, 30)",
    }

    def build(self, problem: SegmentationProblem) -> nn.Module:
        return DerivedNetwork(student(), problem.classes, auxiliary=not self.deployed, attention=not self.deployed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        taught = None
        if self.distillation != "none":
            taught = untrained(teacher(), problem, "teacher", run)
            self.train(taught, "teacher", self.teacher_epochs, problem, run).eval()
        net = untrained(student(), problem, "student", run)
        self.train(net, "student", self.epochs, problem, run, taught, self.distillation, self.distillation_weight)
        return finished(net, student(), problem.classes, deployed=self.deployed)
