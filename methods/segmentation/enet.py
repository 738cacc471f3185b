"""ENet: a narrow encoder that shrinks early, and a decoder that is small.

Paszke, Chaurasia, Kim and Culurciello, 2016 (arXiv 1606.02147). The network is that of the authors' Lua code.

    initial block, Figure 2 (a)       `Initial`
    bottlenecks, Figure 2 (b)         `Down`, `Filter`, `Up`
    stages 1 to 3, Table 1            `Encoder`
    stages 4 and 5                    `ENetNetwork`
    class weights, section 5.2        `class_weights`
    encoder first, then all of it     `ENet.fit`, two phases

The paper prints 0.37 M parameters and 0.7 MB at half precision; the Lua code, with its biases of the inner
convolutions, has 0.364 M, which are 0.73 MB. Its 3.83 GFLOPs at 640 x 360 are 1.72 G multiply-adds here, without
normalisation, activations and unpooling.

Departures: images are padded with zeros to multiples of 8 and the logits cut back, since the decoder unpools to where
the encoder pooled from. Class weights are within [1, 50], as the paper's text has it. Scales and crops are the task's
(theirs: whole images of 512 x 1024).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from bench import Count, NonNegative, Positive, Presets, Run, Search, method
from bench.training import descend
from methods.segmentation._losses import cross_entropy
from methods.segmentation._recipe import drawn, shrunk
from tasks.segmentation import SegmentationProblem

EPSILON = 1e-3
"""Of batch normalisation."""
FILTERS = ((3, 1), (3, 2), (5, 1), (3, 4), (3, 1), (3, 8), (5, 1), (3, 16))
"""Kernel and dilation of the bottlenecks of stages 2 and 3; a kernel of 5 is split into 5 x 1 and 1 x 5."""
NARROWED = 4
"""A bottleneck's outputs to its inner channels."""
LEAST, MOST = 1.0, 50.0
"""Bounds of the class weights."""


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


def class_weights(labels: UInt8[Tensor, "n h w"], classes: int, constant: float) -> Float[Tensor, " k"]:
    """1 / ln(constant + share of a class among the labelled pixels), within [1, 50]."""
    counts = torch.bincount(labels.flatten(), minlength=256)[:classes].float()
    return (1 / torch.log(constant + counts / counts.sum().clamp(min=1))).clamp(LEAST, MOST)


class Initial(nn.Module):
    """13 channels that are learnt and the 3 of the image, at half its size."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 13, 3, 2, 1)
        self.after = nn.Sequential(batch_norm(16), nn.PReLU(16))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 16 _ _"]:
        return self.after(torch.cat([self.convolution(images), functional.max_pool2d(images, 2)], dim=1))


class Filter(nn.Module):
    """A bottleneck that keeps size and channels."""

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        inner = channels // NARROWED
        if kernel == 3:
            convolutions = [nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation)]
        else:
            convolutions = [
                nn.Conv2d(inner, inner, (1, kernel), padding=(0, kernel // 2), bias=False),
                nn.Conv2d(inner, inner, (kernel, 1), padding=(kernel // 2, 0)),
            ]
        self.branch = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            batch_norm(inner),
            nn.PReLU(inner),
            *convolutions,
            batch_norm(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, channels, 1, bias=False),
            batch_norm(channels),
            nn.Dropout2d(dropout),
        )
        self.after = nn.PReLU(channels)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.after(maps + self.branch(maps))


class Down(nn.Module):
    """A bottleneck that halves the size; it also tells where the largest of each four pixels was."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        inner = outputs // NARROWED
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, inner, 2, 2, bias=False),
            batch_norm(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, padding=1),
            batch_norm(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, outputs, 1, bias=False),
            batch_norm(outputs),
            nn.Dropout2d(dropout),
        )
        self.added = outputs - inputs
        self.after = nn.PReLU(outputs)

    def forward(self, maps: Float[Tensor, "b _ h w"]) -> tuple[Float[Tensor, "b _ _ _"], Tensor]:
        pooled, places = functional.max_pool2d_with_indices(maps, (2, 2))
        pooled = functional.pad(pooled, (0, 0, 0, 0, 0, self.added))
        return self.after(pooled + self.branch(maps)), places


class Up(nn.Module):
    """A bottleneck of the decoder; with `places` it doubles the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = outputs // NARROWED
        doubles = inputs != outputs
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            batch_norm(inner),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(inner, inner, 3, 2, 1, output_padding=1)
            if doubles
            else nn.Conv2d(inner, inner, 3, padding=1),
            batch_norm(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, outputs, 1, bias=False),
            batch_norm(outputs),
        )
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), batch_norm(outputs)) if doubles else nn.Identity()
        )

    def forward(self, maps: Float[Tensor, "b _ _ _"], places: Tensor | None = None) -> Float[Tensor, "b _ _ _"]:
        kept = self.shortcut(maps)
        if places is not None:
            kept = functional.max_unpool2d(kept, places, (2, 2))
        return functional.relu(kept + self.branch(maps))


class Encoder(nn.Module):
    """128 channels at 1/8, and where the two bottlenecks that shrink pooled from."""

    def __init__(self) -> None:
        super().__init__()
        self.initial = Initial()
        self.first = Down(16, 64, 0.01)
        self.quarter = nn.Sequential(*(Filter(64, 3, 1, 0.01) for _ in range(4)))
        self.second = Down(64, 128, 0.1)
        self.eighth = nn.Sequential(*(Filter(128, kernel, dilation, 0.1) for kernel, dilation in 2 * FILTERS))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 128 _ _"], Tensor, Tensor]:
        maps, first = self.first(self.initial(images))
        maps, second = self.second(self.quarter(maps))
        return self.eighth(maps), first, second


class ENetNetwork(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.to_quarter = nn.ModuleList([Up(128, 64), Up(64, 64), Up(64, 64)])
        self.to_half = nn.ModuleList([Up(64, 16), Up(16, 16)])
        self.classifier = nn.ConvTranspose2d(16, classes, 2, 2)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        height, width = images.shape[2:]
        maps, first, second = self.encoder(functional.pad(images, (0, -width % 8, 0, -height % 8)))
        for bottlenecks, places in ((self.to_quarter, second), (self.to_half, first)):
            maps = bottlenecks[0](maps, places)
            for bottleneck in bottlenecks[1:]:
                maps = bottleneck(maps)
        return self.classifier(maps)[:, :, :height, :width]


@method("segmentation", paper="enet")
@dataclass(frozen=True)
class ENet:
    """Trains the encoder to classify at 1/8 of the resolution, then the decoder on top of it."""

    encoder_steps: Count = 89_400
    """Updates: 300 passes over the 2,975 images of Cityscapes."""
    steps: Count = 89_400
    """Updates of the whole network."""
    batch: Count = 10
    lr: Positive = 5e-4
    """Adam's step size."""
    decay_every: Count = 29_800
    """Updates after which the step size falls to a tenth, in both phases: 100 passes, as in the authors' code."""
    weight_decay: NonNegative = 2e-4
    constant: Positive = 1.02
    """c of the class weights, 1 / ln(c + share of a class)."""

    presets: ClassVar[Presets] = {
        "smoke": {"encoder_steps": 2, "steps": 2, "batch": 2},
        "small": {"encoder_steps": 150, "steps": 150, "batch": 8, "lr": 3e-3, "decay_every": 120},
        "gpu": {"encoder_steps": 2000, "steps": 2000, "lr": 1e-3, "decay_every": 1600},
    }
    search: ClassVar[Search] = {"lr": "log(1e-4, 1e-2)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> ENetNetwork:
        return drawn(lambda: ENetNetwork(problem.classes), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        head = drawn(lambda: nn.Conv2d(128, problem.classes, 1), problem.seed, "auxiliary").to(run.device)
        weights = class_weights(problem.labels, problem.classes, self.constant).to(run.device)
        batches = problem.batches(self.batch, run)

        learnt = [*net.encoder.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(learnt, self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.decay_every)
        state = {"net": net, "batches": batches}
        for step in run.steps(
            self.encoder_steps, state | {"head": head, "optimizer": optimizer, "schedule": schedule}, name="encoder"
        ):
            images, labels = next(batches)
            guess = head(net.encoder(images)[0])
            loss = cross_entropy(guess, shrunk(labels, guess), weights)
            descend(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss)

        optimizer = torch.optim.Adam(net.parameters(), self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.decay_every)
        for step in run.steps(self.steps, state | {"optimizer": optimizer, "schedule": schedule}, name="decoder"):
            images, labels = next(batches)
            loss = cross_entropy(net(images), labels, weights)
            descend(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss)
        return net
