"""Dilated residual networks, family D: residual stages that dilate from 1/8 on, then two convolutions against gridding.

Yu, Koltun and Funkhouser, CVPR 2017. The networks are those of the authors' code, where family D is described; the paper
has A to C. Their 16.4 M (D-22) and 26.5 M (D-38) parameters, with a classifier of ImageNet's 1,000 classes, come out.

Departures: weights start from scratch (theirs from ImageNet). The fixed transposed convolution that blows logits up is
bilinear resizing, which differs from it at the border only. Scales are the task's (theirs: none), crops too (theirs: 896).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Run
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


def train(
    make: Callable[[], DRNNetwork],
    problem: SegmentationProblem,
    run: Run,
    *,
    steps: int,
    batch: int,
    lr: float,
    decay_every: int,
    momentum: float,
    weight_decay: float,
) -> DRNNetwork:
    """The network after `steps` updates of SGD, whose step size falls to a tenth every `decay_every` of them."""
    net = drawn(make, problem.seed).to(run.device)
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=momentum, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, decay_every)
    batches = problem.batches(batch, run)

    state = {"net": net, "optimizer": optimizer, "schedule": schedule, "batches": batches}
    for step in run.steps(steps, state):
        images, labels = next(batches)
        loss = cross_entropy(net(images), labels)
        descend(optimizer, loss)
        schedule.step()
        run.log(step, loss=loss)
    return net
