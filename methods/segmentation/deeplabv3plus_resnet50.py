"""DeepLabV3+ on ResNet-50; the network, its sources and its training are in `_deeplab`."""

from dataclasses import dataclass
from typing import ClassVar

from bench import Presets, method
from methods.segmentation._deeplab import DeepLabNetwork, DeepLabV3Plus
from methods.segmentation._resnet import resnet50


@method("segmentation", paper="deeplabv3plus")
@dataclass(frozen=True)
class DeepLabV3PlusResNet50(DeepLabV3Plus):
    """Trains DeepLabV3+ on ResNet-50 at an output stride of 16."""

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 50, "batch": 8, "lr": 0.02},
        "gpu": {"steps": 1500, "lr": 0.05},
    }

    def network(self, classes: int) -> DeepLabNetwork:
        return DeepLabNetwork(resnet50(), (256, 2048), classes, self.refinements)
