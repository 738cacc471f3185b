"""DeepLabV3+ on ResNet-50; the network, its sources and its training are in `_deeplab`."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from methods.segmentation._deeplab import DeepLabNetwork, train
from methods.segmentation._recipe import drawn
from methods.segmentation._resnet import resnet50
from tasks.segmentation import SegmentationProblem


def network(classes: int, refinements: int) -> DeepLabNetwork:
    return DeepLabNetwork(resnet50(), (256, 2048), classes, refinements)


@method("segmentation", paper="deeplabv3plus")
@dataclass(frozen=True)
class DeepLabV3PlusResNet50:
    """Trains DeepLabV3+ on ResNet50 at an output stride of 16."""

    refinements: Count = 2
    """3 x 3 convolutions of the decoder."""
    steps: Count = 90_000
    batch: Count = 16
    lr: Positive = 7e-3
    """Step size of SGD at the start."""
    power: Positive = 0.9
    """Of the polynomial that takes it to zero."""
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 1e-4

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 40, "batch": 8, "lr": 0.05},
        "gpu": {"steps": 1500, "lr": 0.05},
    }
    search: ClassVar[Search] = {"lr": "log(1e-4, 0.3)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> nn.Module:
        return drawn(lambda: network(problem.classes, self.refinements), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        return train(
            lambda: network(problem.classes, self.refinements),
            problem,
            run,
            steps=self.steps,
            batch=self.batch,
            lr=self.lr,
            power=self.power,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
