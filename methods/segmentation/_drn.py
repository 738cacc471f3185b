"""Dilated residual networks, family D: residual stages that dilate from 1/8 on, then two convolutions against gridding.

Yu, Koltun and Funkhouser, CVPR 2017. The networks are those of the authors' code, where family D is described; the
paper has A to C. Their 16.4 M (D-22) and 26.5 M (D-38) parameters, with a classifier of ImageNet's 1,000 classes, come
out.

Departures: weights start from scratch (theirs from ImageNet). The fixed transposed convolution that blows logits up is
bilinear resizing, which differs from it at the border only. Scales and crops are the task's (theirs: no scaling, crops
of 896).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, NonNegative, Positive, Run, Search, UnitInterval
from bench.training import descend
from methods.segmentation._blocks import Basic, blown_up, conv_bn_relu
from methods.segmentation._losses import cross_entropy
from methods.segmentation._recipe import drawn
from tasks.segmentation import SegmentationProblem

STAGES = ((64, 2, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))
"""Channels, stride and dilation of the four residual stages."""


class DRNNetwork(nn.Module):
    """With so many basic blocks in each of the four residual stages."""

    def __init__(self, classes: int, depths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_bn_relu(3, 16, 7), conv_bn_relu(16, 16), conv_bn_relu(16, 32, 3, 2)]
        inputs = 32
        for depth, (outputs, stride, dilation) in zip(depths, STAGES, strict=True):
            for index in range(depth):
                layers.append(Basic(inputs, outputs, stride if index == 0 else 1, dilation))
                inputs = outputs
        self.backbone = nn.Sequential(*layers, conv_bn_relu(512, 512, dilation=2), conv_bn_relu(512, 512))
        self.classifier = nn.Conv2d(512, classes, 1)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        return blown_up(self.classifier(self.backbone(images)), images.shape[2:])


@dataclass(frozen=True)
class DRN(ABC):
    """What both methods are set by, with the values of the authors' command, and how they are fitted."""

    steps: Count = 46_250
    """Updates: 250 passes over the 2,975 images of Cityscapes."""
    batch: Count = 16
    lr: Positive = 1e-3
    """Step size of SGD at the start."""
    decay_every: Count = 18_500
    """Updates after which it falls to a tenth: 100 passes."""
    momentum: UnitInterval = 0.99
    weight_decay: NonNegative = 1e-4

    search: ClassVar[Search] = {"lr": "log(1e-5, 0.1)", "weight_decay": "log(1e-6, 1e-2)"}

    @abstractmethod
    def network(self, classes: int) -> DRNNetwork:
        """Of the method's depth, with any weights."""

    def build(self, problem: SegmentationProblem) -> DRNNetwork:
        return drawn(lambda: self.network(problem.classes), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        optimizer = torch.optim.SGD(net.parameters(), self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.decay_every)
        batches = problem.batches(self.batch, run)

        state = {"net": net, "optimizer": optimizer, "schedule": schedule, "batches": batches}
        for step in run.steps(self.steps, state):
            images, labels = next(batches)
            loss = cross_entropy(net(images), labels)
            descend(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss)
        return net
