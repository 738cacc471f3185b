"""BiSeNet on Xception39; the network, its sources and its training are in `_bisenet`.

BiSeNet1 of the paper's tables, and the BiSeNet of FasterSeg's: 5.8 MB, 69.0 mIoU on Cityscapes' validation images at
768 x 1536 (TorchSeg: 68.5). Xception39 has depthwise convolutions that neither batch normalisation nor a non-linearity
follows, and blocks of three separable convolutions: 4, 8 and 4 of them with 16, 32 and 64 inner channels.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bench import Count, Presets, method
from methods.segmentation._bisenet import BiSeNet, BiSeNetNetwork
from methods.segmentation._blocks import conv_bn, conv_bn_relu

STAGES = ((4, 16), (8, 32), (4, 64))
"""Blocks and inner channels of each stage; the first block of each has stride 2."""
EXPANSION = 4


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, *conv_bn(inputs, outputs, 1))


class Block(nn.Module):
    """Three separable convolutions beside a shortcut, which is one too where the block has a stride."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * inner
        self.branch = nn.Sequential(
            separable(inputs, inner, stride).append(nn.ReLU(inplace=True)),
            separable(inner, inner).append(nn.ReLU(inplace=True)),
            separable(inner, outputs),
        )
        self.shortcut = nn.Identity() if stride == 1 else separable(inputs, outputs, stride)

    def forward(self, maps: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ _ _"]:
        return functional.relu(self.branch(maps) + self.shortcut(maps))


class Xception39(nn.Module):
    """64, 128 and 256 channels at 1/8, 1/16 and 1/32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn_relu(3, 8, 3, 2).append(nn.MaxPool2d(3, 2, 1))
        stages, inputs = [], 8
        for depth, inner in STAGES:
            outputs = EXPANSION * inner
            stages.append(nn.Sequential(Block(inputs, inner, 2), *(Block(outputs, inner, 1) for _ in range(depth - 1))))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        maps = self.stem(images)
        outputs = []
        for stage in self.stages:
            maps = stage(maps)
            outputs.append(maps)
        return outputs


@method("segmentation", paper="bisenet")
@dataclass(frozen=True)
class BiSeNetXception39(BiSeNet):
    """Trains BiSeNet on Xception39 on hard pixels, with two auxiliary classifiers."""

    steps: Count = 140_000

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 400, "batch": 8},
        "gpu": {"steps": 3000},
    }

    def network(self, classes: int) -> BiSeNetNetwork:
        return BiSeNetNetwork(Xception39(), (128, 256), classes)
