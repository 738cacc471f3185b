"""DeepLabV3+: pooling at several dilations on top of a backbone, and a decoder that sees an early layer too.

Chen, Zhu, Papandreou, Schroff and Adam, ECCV 2018.

    atrous spatial pyramid pooling  `Atrous`, dilations 6, 12, 18 at an output stride of 16
    decoder, Figure 2               `DeepLabNetwork.low` and `.refined`: 48 channels at 1/4, then 3 x 3 convolutions

With two 3 x 3 convolutions of 256 in the decoder, the best of the paper's Table 2, there are 5.8 M parameters on
MobileNetV2 and 40.35 M on ResNet-50. With one, as in a much used PyTorch version (VainF/DeepLabV3Plus-Pytorch), there
are 5.2 M and 39.8 M, and its multiply-adds come out within 1.5 %: it prints 17.0 G and 62.7 G for 513 x 513 pixels and
21 classes, and 135 G for 1024 x 2048 and 19 on MobileNetV2.

Departures: convolutions of the pooling and the decoder are full ones, which the paper makes separable on Xception;
weights start from scratch (theirs from ImageNet); one output stride for training and testing; scales and crops are the
task's (theirs: 0.5 to 2, crops of 769).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, NonNegative, Positive, Run, Search, UnitInterval
from bench.training import descend
from methods.segmentation._blocks import conv_bn_relu, resized
from methods.segmentation._losses import cross_entropy
from methods.segmentation._recipe import drawn, poly
from tasks.segmentation import SegmentationProblem

DILATIONS = (6, 12, 18)
CHANNELS, LOW = 256, 48


class Atrous(nn.Module):
    """A 1 x 1, three dilated 3 x 3 convolutions and the mean of the image, put together."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv_bn_relu(inputs, CHANNELS, 1),
                *(conv_bn_relu(inputs, CHANNELS, dilation=dilation) for dilation in DILATIONS),
            ]
        )
        self.everywhere = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(inputs, CHANNELS, 1))
        self.mixed = conv_bn_relu((len(self.branches) + 1) * CHANNELS, CHANNELS, 1).append(nn.Dropout(0.1))

    def forward(self, maps: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        everywhere = resized(self.everywhere(maps), maps.shape[2:])
        return self.mixed(torch.cat([*(branch(maps) for branch in self.branches), everywhere], dim=1))


class DeepLabNetwork(nn.Module):
    """On a backbone that returns maps of which the first is at 1/4 and the last at 1/16.

    Args:
        backbone: gives those maps.
        channels: of the first and of the last.
        classes: what a pixel may be.
        refinements: 3 x 3 convolutions of the decoder.
    """

    def __init__(self, backbone: nn.Module, channels: tuple[int, int], classes: int, refinements: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooled = Atrous(channels[1])
        self.low = conv_bn_relu(channels[0], LOW, 1)
        self.refined = nn.Sequential(
            *(conv_bn_relu(CHANNELS if index else CHANNELS + LOW, CHANNELS) for index in range(refinements))
        )
        self.classifier = nn.Conv2d(CHANNELS, classes, 1)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        first, *_, last = self.backbone(images)
        low = self.low(first)
        context = resized(self.pooled(last), low.shape[2:])
        return resized(self.classifier(self.refined(torch.cat([low, context], dim=1))), images.shape[2:])


@dataclass(frozen=True)
class DeepLabV3Plus(ABC):
    """What both methods are set by, and how they are fitted."""

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

    search: ClassVar[Search] = {"lr": "log(1e-4, 0.3)", "weight_decay": "log(1e-6, 1e-2)"}

    @abstractmethod
    def network(self, classes: int) -> DeepLabNetwork:
        """On the method's backbone, with any weights."""

    def build(self, problem: SegmentationProblem) -> DeepLabNetwork:
        return drawn(lambda: self.network(problem.classes), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        optimizer = torch.optim.SGD(net.parameters(), self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        schedule = poly(optimizer, self.steps, self.power)
        batches = problem.batches(self.batch, run)

        state = {"net": net, "optimizer": optimizer, "schedule": schedule, "batches": batches}
        for step in run.steps(self.steps, state):
            images, labels = next(batches)
            loss = cross_entropy(net(images), labels)
            descend(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss)
        return net
