"""Fast-SCNN: two branches, at full and at low resolution, that share their first layers.

Poudel, Liwicki and Cipolla, BMVC 2019 (arXiv 1902.04502). The authors published no code.

    learning to downsample, Table 1    `FastSCNNNetwork.detail`
    global feature extractor, Table 2  `FastSCNNNetwork.context`: nine bottlenecks of MobileNetV2 and pyramid pooling
    feature fusion, Table 3            `Fusion`
    classifier                         `FastSCNNNetwork.classifier`
    training, section 4.1              `FastSCNN`, its values from memory

What the paper leaves open, and what is here: batch normalisation, but no ReLU, between the two convolutions of a
separable one; bins of 1, 2, 3 and 6 (PSPNet's); dropout of 0.1; auxiliary classifiers of one 1 x 1 convolution; the
corners of maps on one another when they are resized. The published 1.11 M parameters are those of the convolutions
alone, 1,114,115 with the classifier's 19 biases; batch normalisation adds 23,680, which makes 1.14 M.

Departures: scales and crops are the task's (theirs: 0.5 to 2, and changes of colour and brightness).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from bench.training import descend
from methods.segmentation._blocks import Inverted, Pyramid, conv_bn, conv_bn_relu, resized
from methods.segmentation._losses import cross_entropy
from methods.segmentation._recipe import drawn, poly
from tasks.segmentation import SegmentationProblem

STAGES = ((64, 3, 2), (96, 3, 2), (128, 3, 1))
"""Channels, blocks and stride of each stage of the global feature extractor."""
BINS = (1, 2, 3, 6)


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*conv_bn(inputs, inputs, 3, stride, groups=inputs), *conv_bn_relu(inputs, outputs, 1))


class Fusion(nn.Module):
    """Adds the low-resolution branch, brought to the size of the other, to it."""

    def __init__(self, detail: int, context: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = conv_bn_relu(context, context, dilation=4, groups=context)
        self.from_context = conv_bn(context, outputs, 1)
        self.from_detail = conv_bn(detail, outputs, 1)

    def forward(self, detail: Float[Tensor, "b _ h w"], context: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ h w"]:
        context = self.depthwise(resized(context, detail.shape[2:]))
        return functional.relu(self.from_context(context) + self.from_detail(detail))


class FastSCNNNetwork(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.detail = nn.Sequential(conv_bn_relu(3, 32, 3, 2), separable(32, 48, 2), separable(48, 64, 2))
        blocks, inputs = [], 64
        for outputs, depth, stride in STAGES:
            for index in range(depth):
                blocks.append(Inverted(inputs, outputs, stride if index == 0 else 1, activation=nn.ReLU))
                inputs = outputs
        self.context = nn.Sequential(*blocks, Pyramid(128, 32, BINS), conv_bn_relu(256, 128, 1))
        self.fusion = Fusion(64, 128, 128)
        self.classifier = nn.Sequential(
            separable(128, 128), separable(128, 128), nn.Dropout(0.1), nn.Conv2d(128, classes, 1)
        )

    def maps(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits at 1/8, and what the two branches end with: 64 channels at 1/8 and 128 at 1/32."""
        detail = self.detail(images)
        context = self.context(detail)
        return self.classifier(self.fusion(detail, context)), detail, context

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        return resized(self.maps(images)[0], images.shape[2:])


@method("segmentation", paper="fast-scnn")
@dataclass(frozen=True)
class FastSCNN:
    """Trains Fast-SCNN from scratch with two auxiliary classifiers."""

    steps: Count = 248_000
    """Updates: 1,000 passes over the 2,975 images of Cityscapes."""
    batch: Count = 12
    lr: Positive = 0.045
    """Step size of SGD at the start."""
    power: Positive = 0.9
    """Of the polynomial that takes it to zero."""
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 4e-5
    """Of all but the depthwise convolutions."""
    auxiliary: NonNegative = 0.4
    """Weight of the loss of each auxiliary classifier."""

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 600, "batch": 8},
        "gpu": {"steps": 6000, "batch": 16},
    }
    search: ClassVar[Search] = {"lr": "log(1e-3, 0.3)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> FastSCNNNetwork:
        return drawn(lambda: FastSCNNNetwork(problem.classes), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        heads = drawn(
            lambda: nn.ModuleList(nn.Conv2d(inputs, problem.classes, 1) for inputs in (64, 128)),
            problem.seed,
            "auxiliary",
        ).to(run.device)
        depthwise = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        kept = {id(weight) for weight in depthwise}
        others = [p for p in (*net.parameters(), *heads.parameters()) if id(p) not in kept]
        groups: list[dict[str, Any]] = [{"params": others, "weight_decay": self.weight_decay}, {"params": depthwise}]
        optimizer = torch.optim.SGD(groups, self.lr, momentum=self.momentum)
        schedule = poly(optimizer, self.steps, self.power)
        batches = problem.batches(self.batch, run)

        state = {"net": net, "heads": heads, "optimizer": optimizer, "schedule": schedule, "batches": batches}
        for step in run.steps(self.steps, state):
            images, labels = next(batches)
            logits, *branches = net.maps(images)
            loss = cross_entropy(resized(logits, labels.shape[1:]), labels)
            for head, branch in zip(heads, branches, strict=True):
                loss = loss + self.auxiliary * cross_entropy(resized(head(branch), labels.shape[1:]), labels)
            descend(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss)
        return net
