"""BiSeNet on ResNet18; the network, its sources and its training are in `_bisenet`.

BiSeNet2 of the paper's tables: 49.0 MB, 74.8 mIoU on Cityscapes' validation images at 768 x 1536 (TorchSeg: 74.6).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from methods.segmentation._bisenet import BiSeNetNetwork, train
from methods.segmentation._recipe import drawn
from methods.segmentation._resnet import resnet18
from tasks.segmentation import SegmentationProblem


def network(classes: int) -> BiSeNetNetwork:
    return BiSeNetNetwork(resnet18(), (256, 512), classes)


@method("segmentation", paper="bisenet")
@dataclass(frozen=True)
class BiSeNetResNet18:
    """Trains BiSeNet on ResNet18 with the authors' settings."""

    steps: Count = 80_000
    batch: Count = 16
    lr: Positive = 0.01
    """Step size of SGD at the start, in the backbone."""
    head_lr: Positive = 10.0
    """Step size of all else, relative to `lr`."""
    power: Positive = 0.9
    """Of the polynomial that takes both to zero."""
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 5e-4
    """Of the weights of convolutions; the paper's text has 1e-4."""
    threshold: UnitInterval = 0.7
    """Pixels whose class is known with more than this probability are left out of the loss."""

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 200, "batch": 8},
        "gpu": {"steps": 3000},
    }
    search: ClassVar[Search] = {"lr": "log(1e-4, 0.1)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> nn.Module:
        return drawn(lambda: network(problem.classes), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        return train(
            lambda: network(problem.classes),
            problem,
            run,
            steps=self.steps,
            batch=self.batch,
            lr=self.lr,
            head_lr=self.head_lr,
            power=self.power,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            threshold=self.threshold,
        )
