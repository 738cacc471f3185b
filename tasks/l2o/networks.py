"""Small networks as functions of their weights: each is trained from its own start on its own minibatches.

Open-L2O (Chen et al., JMLR 2022), figure 8 and its code. All weights and biases start as N(0, 0.01^2), but for the
biases of convolutions, which start at 0, and batch normalisation, which starts as the identity. Batch normalisation
always uses the statistics of the batch.

    mlp         d-20-10, sigmoid; what optimisers are trained on        `mlp`
    relu        the same with ReLU
    deeper      d-20-20-10, sigmoid
    convnet     3x3 16, BN, ReLU, pool, 5x5 32, BN, ReLU, pool, linear  `convnet`; with strides of 2 and no room left on
                CIFAR-10, as there
    lenet       5x5 6, 5x5 16, 120, 84, each with sigmoid and BN        `lenet`
    nas-cell    a cell of five nodes, 3x3 convolutions of 16 channels   `NASCell`

Differs from the authors' code: no ReLU on the logits, which can die at a loss of 2.3026; networks are fitted to
training images, where theirs fits them to the test images of MNIST and reports the loss on these; the edges of the NAS
cell are ours, since only its nodes are known.

Dimensions: b networks, n weights of each, i images, c channels, h w pixels.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from einops.layers.torch import Reduce
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from bench.seeds import derive_seed

CLASSES = 10
START_DEVIATION = 0.01

Architecture = Literal["mlp", "relu", "deeper", "convnet", "strided-convnet", "lenet", "nas-cell"]


def mlp(pixels: int, hidden: tuple[int, ...], activation: Callable[[], nn.Module]) -> nn.Sequential:
    widths = (pixels, *hidden)
    layers = [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), activation())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], CLASSES))


def convnet(channels: int, side: int, stride: int) -> nn.Sequential:
    """The ConvNet of figure 8 (b): no padding. It ends as 32 maps of 4 x 4 on MNIST, of 1 x 1 on CIFAR-10."""
    first = ((side - 3) // stride + 1) // 2
    last = ((first - 5) // stride + 1) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, stride),
        _norm(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, stride),
        _norm(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * last**2, CLASSES),
    )


def lenet(channels: int, side: int) -> nn.Sequential:
    last = ((side - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5),
        nn.Sigmoid(),
        nn.MaxPool2d(2),
        _norm(6),
        nn.Conv2d(6, 16, 5),
        nn.Sigmoid(),
        nn.MaxPool2d(2),
        _norm(16),
        nn.Flatten(),
        nn.Linear(16 * last**2, 120),
        nn.BatchNorm1d(120, track_running_stats=False),
        nn.Sigmoid(),
        nn.Linear(120, 84),
        nn.BatchNorm1d(84, track_running_stats=False),
        nn.Sigmoid(),
        nn.Linear(84, CLASSES),
    )


class NASCell(nn.Module):
    """Five nodes: four 3x3 convolutions and a 3x3 average pool; each sees the sum of the two before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels if node == 0 else 16, 16, 3, padding=1), _norm(16), nn.ReLU())
            for node in range(4)
        )
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.head = nn.Sequential(Reduce("i c h w -> i c", "mean"), nn.Linear(16, CLASSES))

    def forward(self, images: Float[Tensor, "i c h w"]) -> Float[Tensor, "i k"]:
        before = self.nodes[0](images)
        last = self.nodes[1](before)
        for node in (self.nodes[2], self.nodes[3], self.pool):
            before, last = last, node(before + last)
        return self.head(last)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)


@functools.cache
def skeleton(architecture: Architecture, channels: int, side: int) -> nn.Module:
    """A network without weights of its own: it is called with those of others. Nothing random is drawn."""
    pixels = channels * side**2
    made: dict[Architecture, Callable[[], nn.Module]] = {
        "mlp": partial(mlp, pixels, (20,), nn.Sigmoid),
        "relu": partial(mlp, pixels, (20,), nn.ReLU),
        "deeper": partial(mlp, pixels, (20, 20), nn.Sigmoid),
        "convnet": partial(convnet, channels, side, 1),
        "strided-convnet": partial(convnet, channels, side, 2),
        "lenet": partial(lenet, channels, side),
        "nas-cell": partial(NASCell, channels),
    }
    with torch.device("meta"):
        return made[architecture]()


# Networks as functions of their weights -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trainings:
    """Networks in training. Function j at step k is the mean cross-entropy of network j on its k-th minibatch."""

    architecture: Architecture
    images: Float[Tensor, "i c h w"]
    labels: Int64[Tensor, " i"]
    start: Float[Tensor, "b n"]
    seed: int
    """Of the minibatches."""
    batch: int
    copies: int = 1
    """Rows that stand beside each other and are trained on the same minibatches."""

    stochastic: ClassVar[bool] = True

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(parameter.numel() for parameter in self._module.parameters())

    def value(self, x: Float[Tensor, "b n"], step: int) -> Float[Tensor, " b"]:
        with torch.no_grad():
            return vmap(partial(loss, self._module))(x, *self._minibatches(step))

    def value_and_gradient(
        self, x: Float[Tensor, "b n"], step: int
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b n"]]:
        gradients, values = vmap(grad_and_value(partial(loss, self._module)))(x.detach(), *self._minibatches(step))
        return values.detach(), gradients.detach()

    def logits(self, x: Float[Tensor, "b n"], images: Float[Tensor, "i c h w"]) -> Float[Tensor, "b i k"]:
        """What the networks say of the same images, all of them in one batch."""
        with torch.no_grad():
            return vmap(partial(logits, self._module), in_dims=(0, None))(x, images)

    def repeated(self, times: int) -> "Trainings":
        return replace(self, start=self.start.repeat_interleave(times, dim=0), copies=times * self.copies)

    def to(self, target: torch.device) -> "Trainings":
        moved = {name: getattr(self, name).to(target) for name in ("images", "labels", "start")}
        return replace(self, **moved)

    @property
    def _module(self) -> nn.Module:
        _, channels, side, _ = self.images.shape
        return skeleton(self.architecture, channels, side)

    def _minibatches(self, step: int) -> tuple[Float[Tensor, "b i c h w"], Int64[Tensor, "b i"]]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, step))
        rows = torch.randint(len(self.images), (len(self.start) // self.copies, self.batch), generator=generator)
        rows = rows.repeat_interleave(self.copies, dim=0).to(self.images.device)
        return self.images[rows], self.labels[rows]


def logits(module: nn.Module, weights: Float[Tensor, " n"], images: Float[Tensor, "i c h w"]) -> Float[Tensor, "i k"]:
    return functional_call(module, unflattened(weights, module), (images,))


def loss(
    module: nn.Module, weights: Float[Tensor, " n"], images: Float[Tensor, "i c h w"], labels: Int64[Tensor, " i"]
) -> Float[Tensor, ""]:
    return nn.functional.cross_entropy(logits(module, weights, images), labels)


def unflattened(weights: Float[Tensor, " n"], module: nn.Module) -> dict[str, Tensor]:
    """A vector of weights as the parameters of a module, in the order of its names."""
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    parts = weights.split([shape.numel() for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def starts(module: nn.Module, count: int, generator: torch.Generator) -> Float[Tensor, "b n"]:
    """Weights to start from, by the rule at the top."""
    parts = []
    for layer in module.modules():
        convolution = isinstance(layer, nn.Conv2d)
        norm = isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))
        for name, parameter in layer.named_parameters(recurse=False):
            drawn = START_DEVIATION * torch.randn(count, parameter.numel(), generator=generator, device="cpu")
            if norm or (convolution and name == "bias"):
                drawn = torch.full_like(drawn, 1.0 if norm and name == "weight" else 0.0)
            parts.append(drawn)
    return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Networks:
    """Networks of one architecture that are trained on the same images."""

    architecture: Architecture
    images: Float[Tensor, "i c h w"]
    labels: Int64[Tensor, " i"]
    batch: int

    def draw(self, count: int, seed: int) -> Trainings:
        # Drawn on the CPU, so that every device sees the same starts and minibatches.
        _, channels, side, _ = self.images.shape
        generator = torch.Generator().manual_seed(seed)
        start = starts(skeleton(self.architecture, channels, side), count, generator)
        minibatches = derive_seed(seed, "minibatches")
        return Trainings(self.architecture, self.images, self.labels, start.to(self.images), minibatches, self.batch)

    def to(self, target: torch.device) -> "Networks":
        return replace(self, images=self.images.to(target), labels=self.labels.to(target))
