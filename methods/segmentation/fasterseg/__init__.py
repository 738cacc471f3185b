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

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from methods.segmentation._recipe import drawn
from methods.segmentation.fasterseg.genotype import student, teacher
from methods.segmentation.fasterseg.network import DerivedNetwork
from methods.segmentation.fasterseg.training import finished, train
from tasks.segmentation import SegmentationProblem


@method("segmentation", paper="fasterseg")
@dataclass(frozen=True)
class FasterSeg:
    """Trains the published student; before that, with distillation, the published teacher."""

    epochs: Count = 600
    """Of the student, each of `epoch_steps` batches; after each the step size falls by `lr_decay`."""
    teacher_epochs: Count = 600
    epoch_steps: Count = 1000
    batch: Count = 12
    """Crops a step."""
    lr: Positive = 0.01
    """SGD's step size at the start."""
    lr_decay: UnitInterval = 0.992
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 5e-4
    """Of all parameters, batch norms among them."""
    auxiliary: NonNegative = 0.2
    """The weight of each auxiliary head's loss."""
    threshold: UnitInterval = 0.7
    """OHEM: pixels whose class has a probability of at most this are kept."""
    least: UnitInterval = 0.0625
    """OHEM: this share of the pixels is kept at least."""
    distillation: Literal["per-element", "per-pixel", "none"] = "per-element"
    """Whether the student follows the teacher, and over what the divergence is averaged: every element, as in the
    released code, or every pixel, which is as many times stronger as there are classes."""
    distillation_weight: NonNegative = 1.0
    deployed: bool = False
    """Whether the solution leaves out the auxiliary heads, and the attention that the released code builds and never
    calls: the published number of parameters counts them."""

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
            taught = drawn(lambda: DerivedNetwork(teacher(), problem.classes), problem.seed, "teacher").to(run.device)
            self._train(taught, "teacher", self.teacher_epochs, problem, run, None)
            taught.eval()
        net = drawn(lambda: DerivedNetwork(student(), problem.classes), problem.seed, "student").to(run.device)
        self._train(net, "student", self.epochs, problem, run, taught)
        return finished(net, student(), problem.classes, deployed=self.deployed)

    def _train(
        self,
        net: DerivedNetwork,
        phase: str,
        epochs: int,
        problem: SegmentationProblem,
        run: Run,
        taught: nn.Module | None,
    ) -> None:
        train(
            net,
            phase,
            problem.batches(self.batch, run),
            run,
            epochs=epochs,
            epoch_steps=self.epoch_steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            auxiliary=self.auxiliary,
            threshold=self.threshold,
            least=self.least,
            teacher=taught,
            distillation=self.distillation,
            distillation_weight=self.distillation_weight,
        )
