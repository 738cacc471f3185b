"""BiSeNet on ResNet-18; the network, its sources and its training are in `_bisenet`.

BiSeNet2 of the paper's tables: 49.0 MB, 74.8 mIoU on Cityscapes' validation images at 768 x 1536 (TorchSeg: 74.6).
"""

from dataclasses import dataclass
from typing import ClassVar

from bench import Presets, method
from methods.segmentation._bisenet import BiSeNet, BiSeNetNetwork
from methods.segmentation._resnet import resnet18


@method("segmentation", paper="bisenet")
@dataclass(frozen=True)
class BiSeNetResNet18(BiSeNet):
    """Trains BiSeNet on ResNet-18 on hard pixels, with two auxiliary classifiers."""

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 200, "batch": 8},
        "gpu": {"steps": 3000},
    }

    def network(self, classes: int) -> BiSeNetNetwork:
        return BiSeNetNetwork(resnet18(), (256, 512), classes)
