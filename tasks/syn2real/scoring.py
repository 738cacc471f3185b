"""How predictions on real images are made and scored.

n images, b batch, h w pixels, k classes, d features
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor, nn

from bench.measure.mode import evaluating
from tasks.segmentation.scoring import class_ious as ious_of
from tasks.segmentation.scoring import confusion
from tasks.syn2real.backbones import Backbone
from tasks.syn2real.energy import hyperspherical_energy
from tasks.syn2real.pictures import evenly

PIECE = 64
"""Images looked at together; bounds the memory of an evaluation. Scenes are looked at one by one."""

ENERGY_IMAGES = 5000
"""Real images at most, evenly spread, whose pairs energies are averaged over: those grow with the square."""


def device_of(solution: nn.Module) -> torch.device:
    """Where a solution lies; the CPU for one without parameters."""
    return next((parameter.device for parameter in solution.parameters()), torch.device("cpu"))


def in_pieces(
    solution: nn.Module, parts: tuple[Tensor, ...], look: Callable[..., Tensor], *, single: bool = False
) -> Shaped[Tensor, "n ..."]:
    """What `look` gives for all rows of tensors of equal length, in eval mode, on the CPU."""
    device, size = device_of(solution), 1 if single else PIECE
    pieces = zip(*(part.split(size) for part in parts), strict=True)
    with evaluating(solution):
        return torch.cat([look(*(part.to(device) for part in piece)).cpu() for piece in pieces])


def probabilities(solution: nn.Module, images: UInt8[Tensor, "n 3 h w"], mirrored: bool) -> Float[Tensor, "n k"]:
    """Sigmoids of the logits; with `mirrored` their mean over an image and its mirror image (the papers' code)."""

    def look(piece: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b k"]:
        found = solution(piece).sigmoid()
        return (found + solution(piece.flip(-1)).sigmoid()) / 2 if mirrored else found

    return in_pieces(solution, (images,), look)


def mean_class_accuracy(predicted: Int64[Tensor, " n"], labels: Int64[Tensor, " n"]) -> float:
    """The mean over the classes that `labels` has of the share of each one's images that are right."""
    right = (predicted == labels).double()
    return torch.stack([right[labels == label].mean() for label in labels.unique()]).mean().item()


def accuracy(
    solution: nn.Module, images: UInt8[Tensor, "n 3 h w"], labels: Int64[Tensor, " n"], mirrored: bool
) -> float:
    """Mean over the classes, from 0 to 1."""
    return mean_class_accuracy(probabilities(solution, images, mirrored).argmax(1), labels)


def class_ious(
    solution: nn.Module, images: UInt8[Tensor, "n 3 h w"], labels: UInt8[Tensor, "n h w"], classes: int
) -> Float[Tensor, " k"]:
    """From one confusion matrix over all pixels; whole images, one scale, no mirror image. NaN for an absent class."""

    def look(image: UInt8[Tensor, "1 3 h w"], truth: UInt8[Tensor, "1 h w"]) -> Int64[Tensor, "1 k k"]:
        return confusion(solution(image).argmax(1), truth, classes)[None]

    return ious_of(in_pieces(solution, (images, labels), look, single=True).sum(0))


def old_head_accuracy(backbone: Backbone, images: UInt8[Tensor, "n 3 h w"], labels: Int64[Tensor, " n"]) -> float:
    """The share of ImageNet's images that the 1000-way head still gets right."""
    logits = in_pieces(backbone, (images,), lambda piece: backbone(backbone.normalise(piece)))
    return (logits.argmax(1) == labels).double().mean().item()


def energies(solution: nn.Module, images: UInt8[Tensor, "n 3 h w"]) -> dict[str, float]:
    """How crowded the features of real images are; lower is more diverse."""
    found: Any = solution
    some = images[evenly(len(images), ENERGY_IMAGES)]
    energy = hyperspherical_energy(in_pieces(solution, (some,), found.features))
    return {
        "energy_0": energy.power_0,
        "energy_0_published": energy.power_0_published,
        "energy_1": energy.power_1,
        "energy_2": energy.power_2,
        "diversity": -energy.power_0,
    }
