"""DF1-Seg-d8: a backbone and a decoder found by partial order pruning.

Li, Zhou, Pan and Feng, CVPR 2019. The network is that of the authors' prototxt and of the log of its timing.

    DF1            `backbone`: basic blocks of 64, 128, 256 and 512 channels
    pyramid        `Means`: four means, in cells of the same shape whatever the image's
    decoder        `Decoder`, twice
    "-d8"          logits at 1/8

The backbone's 746 M multiply-adds at 224 x 224 come out. Means are over 1, 2, 4 and 8 rows and as many columns as make
cells square: at 1024 x 2048 those of the prototxt, squares of 32, 16, 8 and 4 pixels.

Departures: the paper's training could not be read; weight decay is from the authors' page, all else DeepLabV3's.
Weights start from scratch (theirs from ImageNet). The fixed transposed convolutions are bilinear resizing, which
differs from them at the border only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from bench.training import descend
from methods.segmentation._blocks import Basic, blown_up, conv_bn, conv_bn_relu, resized
from methods.segmentation._losses import cross_entropy
from methods.segmentation._recipe import drawn, poly
from tasks.segmentation import SegmentationProblem

STAGES = ((64, 3, 2), (128, 3, 2), (256, 3, 2), (512, 1, 1))
"""Channels, blocks and stride of the stages after the first two convolutions."""
ROWS = (1, 2, 4, 8)
"""Of the grids over which means are taken."""


def stage(inputs: int, outputs: int, depth: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Basic(inputs, outputs, stride), *(Basic(outputs, outputs) for _ in range(depth - 1)))


class DF1(nn.Module):
    """Maps at 1/8, 1/16 and 1/32 with 64, 128 and 512 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn_relu(3, 32, 3, 2), conv_bn_relu(32, 64, 3, 2))
        widths = (64, *(channels for channels, _, _ in STAGES))
        eighth, sixteenth, *rest = (stage(inputs, *shape) for inputs, shape in zip(widths, STAGES, strict=False))
        self.eighth = eighth
        self.sixteenth = sixteenth
        self.least = nn.Sequential(*rest)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        eighth = self.eighth(self.stem(images))
        sixteenth = self.sixteenth(eighth)
        return eighth, sixteenth, self.least(sixteenth)


def grids(size: Sequence[int]) -> list[tuple[int, int]]:
    """Rows and columns of the grids over maps of this height and width."""
    height, width = size
    return [(rows, max(1, round(rows * width / height))) for rows in ROWS]


class Means(nn.Module):
    """The maps, and beside them their means over square cells, each narrowed to `inner` channels; then mixed."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv_bn_relu(channels, inner, 1) for _ in ROWS)
        self.mixed = conv_bn_relu(channels + len(ROWS) * inner, channels)

    def forward(self, maps: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        size = maps.shape[2:]
        means = [
            resized(branch(functional.adaptive_avg_pool2d(maps, grid)), size)
            for grid, branch in zip(grids(size), self.branches, strict=True)
        ]
        return self.mixed(torch.cat([maps, *means], dim=1))


class Decoder(nn.Module):
    """A coarse map, narrowed and blown up, beside a narrowed finer one; both then mixed."""

    def __init__(self, coarse: int, fine: int, channels: int) -> None:
        super().__init__()
        self.from_coarse = conv_bn_relu(coarse, channels, 1)
        self.from_fine = conv_bn_relu(fine, channels, 1)
        self.mixed = conv_bn_relu(2 * channels, channels)

    def forward(self, coarse: Float[Tensor, "b _ _ _"], fine: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        coarse = blown_up(self.from_coarse(coarse), fine.shape[2:])
        return self.mixed(torch.cat([self.from_fine(fine), coarse], dim=1))


class DF1SegNetwork(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = DF1()
        self.pyramid = nn.Sequential(Means(512, 128), conv_bn_relu(512, 128, 1))
        self.to_sixteenth = Decoder(128, 128, 32)
        self.to_eighth = Decoder(32, 64, classes)
        self.classifier = conv_bn(classes, classes)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        eighth, sixteenth, least = self.backbone(images)
        maps = self.to_eighth(self.to_sixteenth(self.pyramid(least), sixteenth), eighth)
        return blown_up(self.classifier(maps), images.shape[2:])


@method("segmentation", paper="partial-order-pruning")
@dataclass(frozen=True)
class DF1SegD8:
    """Trains DF1-Seg-d8 as one network."""

    steps: Count = 90_000
    batch: Count = 16
    lr: Positive = 0.01
    """Step size of SGD at the start."""
    power: Positive = 0.9
    """Of the polynomial that takes it to zero."""
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 1e-4
    """The authors warn of other values."""

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 350, "batch": 8, "lr": 0.05},
        "gpu": {"steps": 4000},
    }
    search: ClassVar[Search] = {"lr": "log(1e-4, 0.3)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> DF1SegNetwork:
        return drawn(lambda: DF1SegNetwork(problem.classes), problem.seed)

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
