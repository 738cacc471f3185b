"""BiSeNet: a shallow path that keeps detail beside a deep one that shrinks fast for context.

Yu, Wang, Peng, Gao, Yu and Sang, ECCV 2018. The network is that of the authors' TorchSeg, in its version for speed.

    spatial path, section 3.1             `BiSeNetNetwork.spatial`: three convolutions of stride 2
    context path, section 3.2             a backbone, and `BiSeNetNetwork.context`
    attention refinement, Figure 2 (b)    `Refinement`
    feature fusion, Figure 2 (c)          `Fusion`
    loss, Eq. 2, with alpha = 1           `BiSeNet.fit`

The paper tells sizes in bytes without a word: its "parameters" of ResNet-18 under FCN-32s, 42.7 M, are the 4-byte
weights of that backbone in MiB. So its 49.0 M for ResNet-18 are 12.8 million numbers, and its 5.8 M for Xception39 1.5.
TorchSeg's networks differ from the paper's figure in a 3 x 3 convolution inside the attention refinement and a 1 x 1
one in the feature fusion, and have a few more than that.

Departures: weights start from scratch (theirs from ImageNet for ResNet-18); scales and crops are the task's (theirs:
0.75 to 2).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, NonNegative, Positive, Run, Search, UnitInterval
from bench.training import descend
from methods.segmentation._blocks import conv_bn, conv_bn_relu, resized
from methods.segmentation._losses import ohem
from methods.segmentation._recipe import decayed, drawn, poly, shrunk
from tasks.segmentation import SegmentationProblem

DETAIL, CONTEXT = 128, 128
"""Channels of the two paths."""
HEAD, AUXILIARY_HEAD = 64, 128
"""Channels before a classifier."""


class Refinement(nn.Module):
    """Channels weighed by their means."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = conv_bn_relu(inputs, outputs)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_bn(outputs, outputs, 1), nn.Sigmoid())

    def forward(self, maps: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        maps = self.convolution(maps)
        return maps * self.attention(maps)


class Fusion(nn.Module):
    """Both paths mixed, and channels weighed by their means added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mixed = conv_bn_relu(channels, channels, 1)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, detail: Float[Tensor, "b _ h w"], context: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        maps = self.mixed(torch.cat([detail, context], dim=1))
        return maps + maps * self.attention(maps)


def classifier(inputs: int, inner: int, classes: int) -> nn.Sequential:
    return conv_bn_relu(inputs, inner).append(nn.Conv2d(inner, classes, 1))


class BiSeNetNetwork(nn.Module):
    """On a backbone that returns maps of which the last three are at 1/8, 1/16 and 1/32.

    Args:
        backbone: gives those maps.
        channels: of the maps at 1/16 and at 1/32.
        classes: what a pixel may be.
    """

    def __init__(self, backbone: nn.Module, channels: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.spatial = nn.Sequential(
            conv_bn_relu(3, 64, 7, 2),
            conv_bn_relu(64, 64, 3, 2),
            conv_bn_relu(64, 64, 3, 2),
            conv_bn_relu(64, DETAIL, 1),
        )
        self.everywhere = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(channels[1], CONTEXT, 1))
        self.refined = nn.ModuleList(Refinement(inputs, CONTEXT) for inputs in reversed(channels))
        self.smoothed = nn.ModuleList(conv_bn_relu(CONTEXT, CONTEXT) for _ in channels)
        self.fusion = Fusion(DETAIL + CONTEXT)
        self.classifier = classifier(DETAIL + CONTEXT, HEAD, classes)

    def maps(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits at 1/8, and the context's 128 channels at 1/16 and at 1/8."""
        *_, eighth, sixteenth, least = self.backbone(images)
        context = resized(self.everywhere(least), least.shape[2:])
        contexts = []
        for maps, finer, refined, smoothed in zip(
            (least, sixteenth), (sixteenth, eighth), self.refined, self.smoothed, strict=True
        ):
            context = smoothed(resized(refined(maps) + context, finer.shape[2:]))
            contexts.append(context)
        return self.classifier(self.fusion(self.spatial(images), context)), contexts[0], contexts[1]

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        return resized(self.maps(images)[0], images.shape[2:])


def auxiliary_heads(classes: int) -> nn.ModuleList:
    """Classifiers of the two maps of context; only training has them."""
    return nn.ModuleList(classifier(CONTEXT, AUXILIARY_HEAD, classes) for _ in range(2))


@dataclass(frozen=True)
class BiSeNet(ABC):
    """What both methods are set by, with the values of the authors' code, and how they are fitted."""

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

    search: ClassVar[Search] = {"lr": "log(1e-4, 0.1)", "weight_decay": "log(1e-6, 1e-2)"}

    @abstractmethod
    def network(self, classes: int) -> BiSeNetNetwork:
        """On the method's backbone, with any weights."""

    def build(self, problem: SegmentationProblem) -> BiSeNetNetwork:
        return drawn(lambda: self.network(problem.classes), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        heads = drawn(lambda: auxiliary_heads(problem.classes), problem.seed, "auxiliary").to(run.device)
        groups = []
        fresh = [part for part in net.children() if part is not net.backbone]
        for parts, lr in (([net.backbone], self.lr), ([*fresh, heads], self.head_lr * self.lr)):
            with_decay, without = decayed(*parts)
            groups.append({"params": with_decay, "lr": lr, "weight_decay": self.weight_decay})
            groups.append({"params": without, "lr": lr})
        optimizer = torch.optim.SGD(groups, self.lr, momentum=self.momentum)
        schedule = poly(optimizer, self.steps, self.power)
        batches = problem.batches(self.batch, run)

        state = {"net": net, "heads": heads, "optimizer": optimizer, "schedule": schedule, "batches": batches}
        for step in run.steps(self.steps, state):
            images, labels = next(batches)
            logits, *contexts = net.maps(images)
            eighth = shrunk(labels, logits)
            loss = ohem(logits, eighth, self.threshold)
            for head, context in zip(heads, contexts, strict=True):
                loss = loss + ohem(resized(head(context), logits.shape[2:]), eighth, self.threshold)
            descend(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss)
        return net
