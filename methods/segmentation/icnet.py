"""ICNet: PSPNet on a quarter of the resolution only, corrected by shallow branches on the half and on all of it.

Zhao, Qi, Shen, Shi and Jia, ECCV 2018. The network is that of the authors' released prototxt, layer by layer.

    three branches, Figure 2               `ICNetNetwork.medium`, `.coarse` on top of it, and `.fine`
    pyramid pooling, summed                `means`
    cascade feature fusion, Figure 3       `Cascade`
    label guidance, Eq. 1                  `ICNet.fit`: weights 0.16, 0.4 and 1
    kernels kept, section 3.3 and Table 3  `ICNet.width`

The released network keeps half of PSPNet50's kernels. By its prototxt it has 6.69 million numbers with batch
normalisation merged; the released file, of 31 MB, holds a million more that the prototxt does not name. The 26.5 M that
others print first stood in BiSeNet's table, which counts MiB of 4-byte weights (see `_bisenet`): 6.95 million. Its
28.3 G multiply-adds at 1024 x 2048 are 29.0 G here.

Departures: the authors train with all kernels and prune in steps, training again after each; here the pruned network is
trained, from scratch. Pooling is adaptive: theirs has cells that overlap a little, for maps of 33 x 65. Scales and
crops are the task's (theirs: 0.5 to 2, crops of 720).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from bench.training import descend
from methods.segmentation._blocks import Bottleneck, conv_bn, conv_bn_relu, resized
from methods.segmentation._losses import cross_entropy
from methods.segmentation._recipe import drawn, poly, shrunk
from tasks.segmentation import SegmentationProblem

BINS = (1, 2, 3, 6)
FUSED = 128
"""Channels of the maps that are fused."""


def halved(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    """Every other row and column, from the first on: what bilinear resizing by corners makes of odd sizes."""
    return resized(maps, [(length + 1) // 2 for length in maps.shape[2:]])


def doubled(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    return resized(maps, [2 * length for length in maps.shape[2:]])


def means(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The maps plus their means over grids of 1, 2, 3 and 6 cells a side."""
    size = maps.shape[2:]
    return maps + sum(resized(functional.adaptive_avg_pool2d(maps, bins), size) for bins in BINS)


class Cascade(nn.Module):
    """A coarse map, twice as large, plus a finer one."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.from_coarse = conv_bn(coarse, FUSED, dilation=2)
        self.from_fine = conv_bn(fine, FUSED, 1)

    def forward(self, coarse: Float[Tensor, "b _ _ _"], fine: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        return functional.relu(self.from_coarse(resized(coarse, fine.shape[2:])) + self.from_fine(fine))


class ICNetNetwork(nn.Module):
    """With `width` of PSPNet50's kernels; the fusion and the branch at full resolution are not made narrower."""

    def __init__(self, classes: int, width: float = 0.5) -> None:
        super().__init__()
        stem, *widths = (round(width * channels) for channels in (64, 128, 256, 512, 1024, 2048))
        self.medium = nn.Sequential(
            conv_bn_relu(3, stem, 3, 2),
            conv_bn_relu(stem, stem),
            conv_bn_relu(stem, widths[0]),
            nn.MaxPool2d(3, 2, 1),
            Bottleneck(widths[0], stem, widths[1]),
            *(Bottleneck(widths[1], stem, widths[1]) for _ in range(2)),
            Bottleneck(widths[1], widths[1] // 2, widths[2], (2, 1)),
        )
        self.coarse = nn.Sequential(
            *(Bottleneck(widths[2], widths[1] // 2, widths[2]) for _ in range(3)),
            Bottleneck(widths[2], widths[2] // 2, widths[3], dilation=2),
            *(Bottleneck(widths[3], widths[2] // 2, widths[3], dilation=2) for _ in range(5)),
            Bottleneck(widths[3], widths[3] // 2, widths[4], dilation=4),
            *(Bottleneck(widths[4], widths[3] // 2, widths[4], dilation=4) for _ in range(2)),
        )
        self.narrowed = conv_bn_relu(widths[4], widths[2], 1)
        self.fine = nn.Sequential(conv_bn_relu(3, 32, 3, 2), conv_bn_relu(32, 32, 3, 2), conv_bn_relu(32, 64, 3, 2))
        self.to_medium = Cascade(widths[2], widths[2])
        self.to_fine = Cascade(FUSED, 64)
        self.classifier = nn.Conv2d(FUSED, classes, 1)
        self.guided = widths[2], FUSED
        """Channels of the maps that auxiliary classifiers see."""

    def maps(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits at 1/4, and the coarse maps of both fusions, doubled: at 1/16 and 1/8."""
        medium = self.medium(halved(images))
        coarse = self.narrowed(means(self.coarse(halved(medium))))
        fused = self.to_medium(coarse, medium)
        finest = self.to_fine(fused, self.fine(images))
        return self.classifier(doubled(finest)), resized(coarse, medium.shape[2:]), doubled(fused)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        return resized(self.maps(images)[0], images.shape[2:])


@method("segmentation", paper="icnet")
@dataclass(frozen=True)
class ICNet:
    """Trains ICNet with half of its kernels, with losses at 1/16, 1/8 and 1/4."""

    width: Positive = 0.5
    """Share of PSPNet50's kernels that are there."""
    steps: Count = 30_000
    batch: Count = 16
    lr: Positive = 0.01
    """Step size of SGD at the start."""
    power: Positive = 0.9
    """Of the polynomial that takes it to zero."""
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 1e-4
    auxiliary: tuple[NonNegative, NonNegative] = (0.16, 0.4)
    """Weights of the losses at 1/16 and at 1/8."""

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 350, "batch": 8},
        "gpu": {"steps": 3000},
    }
    search: ClassVar[Search] = {"lr": "log(1e-4, 0.1)", "weight_decay": "log(1e-6, 1e-2)"}

    def build(self, problem: SegmentationProblem) -> ICNetNetwork:
        return drawn(lambda: ICNetNetwork(problem.classes, self.width), problem.seed)

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        heads = drawn(
            lambda: nn.ModuleList(nn.Conv2d(inputs, problem.classes, 1) for inputs in net.guided),
            problem.seed,
            "auxiliary",
        ).to(run.device)
        parameters = [*net.parameters(), *heads.parameters()]
        optimizer = torch.optim.SGD(parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        schedule = poly(optimizer, self.steps, self.power)
        batches = problem.batches(self.batch, run)

        state = {"net": net, "heads": heads, "optimizer": optimizer, "schedule": schedule, "batches": batches}
        for step in run.steps(self.steps, state):
            images, labels = next(batches)
            logits, *coarse = net.maps(images)
            loss = cross_entropy(logits, shrunk(labels, logits))
            for weight, head, maps in zip(self.auxiliary, heads, coarse, strict=True):
                guess = head(maps)
                loss = loss + weight * cross_entropy(guess, shrunk(labels, guess))
            descend(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss)
        return net
