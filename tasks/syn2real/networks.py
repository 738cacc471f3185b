"""What all methods of the task share: a backbone that knows ImageNet, a new head, and what a solution keeps of its fit.

b batch, h w pixels, d features, k classes
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bench import MissingData, UserError
from bench.data import ENVIRONMENT, root
from tasks.syn2real.backbones import Backbone, BackboneName, build_backbone
from tasks.syn2real.backbones.dense import build_dense
from tasks.syn2real.backbones.headed import Headed

HIDDEN = 512
"""Units between the features and the classes (ASG's released code)."""

WEIGHTS_FOLDER = "imagenet-weights"


@dataclass(frozen=True)
class Reading:
    """What a network makes of a batch, from its first map that is used to its answer."""

    maps: Mapping[int, Float[Tensor, "b _ _ _"]]
    """Of layers 3 and 4, after their activation."""
    features: Float[Tensor, "b d"]
    logits: Float[Tensor, "b k *pixels"]


@runtime_checkable
class Solution(Protocol):
    """What a method must return, besides being an `nn.Module`."""

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Tensor:
        """Logits: `b k`, of a dense problem `b k h w`."""

    def features(self, images: UInt8[Tensor, "b 3 h w"]) -> Tensor:
        """`b d`, what the energies are of."""


class Network(nn.Module):
    """A backbone and what answers from its maps: images are bytes, since each backbone normalises in its own way."""

    def __init__(self, net: Headed) -> None:
        super().__init__()
        self.net = net

    @property
    def backbone(self) -> Backbone:
        return self.net.backbone

    def read(self, images: UInt8[Tensor, "b 3 h w"]) -> Reading:
        """All of a pass that methods look at."""
        maps = self.backbone.maps(self.backbone.normalise(images))
        height, width = images.shape[2:]
        return Reading(maps, self.backbone.embed(maps[4]), self.net.decode(maps, (height, width)))

    def features(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        return self.backbone.features(self.backbone.normalise(images))

    def forward(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b k *pixels"]:
        return self.net(self.backbone.normalise(images))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All that is trained, in the order of the papers' groups of step sizes; `new_head` is the last."""
        return self.net.groups()


class Recogniser(Headed):
    """The new head of ASG and CSG on the features: two layers, with torch's own initial weights."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        hidden = nn.Linear(backbone.features_width, HIDDEN)
        super().__init__(backbone, nn.Sequential(hidden, nn.ReLU(), nn.Linear(HIDDEN, classes)))

    def decode(self, maps: Mapping[int, Float[Tensor, "b _ _ _"]], size: tuple[int, int]) -> Float[Tensor, "b k"]:  # noqa: ARG002
        """Maps of the backbone to logits; of images, whose size plays no part."""
        return self.head(self.backbone.embed(maps[4]))


def build(name: BackboneName, classes: int, *, dense: bool, ibn: bool, seed: int) -> Network:
    """A backbone with ImageNet's weights and a new head drawn from the seed, in eval mode."""
    pretrained = weights_of(name, ibn=ibn)
    if dense:
        return Network(build_dense(name, classes, pretrained=pretrained, ibn=ibn, seed=seed)).eval()
    backbone = build_backbone(name, pretrained=pretrained, ibn=ibn)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(Recogniser(backbone, classes)).eval()


class Transfer(nn.Module):
    """A solution that also keeps the weights of other networks of its fit, which cost nothing where it is used."""

    def __init__(
        self, network: nn.Module, chosen: Mapping[str, Tensor] | None, passed: list[Mapping[str, Tensor]]
    ) -> None:
        super().__init__()
        self.network = network
        """That of the last step."""
        self.chosen = chosen
        """Weights and buffers of the one with the least loss on synthetic validation images; None if it is the last."""
        self.passed = passed
        """Those of all other epochs, where the problem asks for a trajectory."""

    def features(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        found: Any = self.network
        return found.features(images)

    def forward(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b k *pixels"]:
        return self.network(images)


def weights_of(name: BackboneName, *, ibn: bool = False) -> Path | Literal["shipped"]:
    """The file with a backbone's ImageNet weights, as torchvision names it; `shipped` where a package brings it.

    With `ibn` those that were trained with such norms, as IBN-Net's authors name them, where they are here.

    Raises:
        MissingData: There is no such file.
        UserError: There are two, and nothing says which is meant.
    """
    if name == "efficientnet-lite0":
        return "shipped"
    base = root()
    folder = base / WEIGHTS_FOLDER if base else None
    for pattern in (f"{name}_ibn_a-*.pth", f"{name}-*.pth") if ibn else (f"{name}-*.pth",):
        found = sorted(folder.glob(pattern)) if folder else []
        if len(found) > 1:
            raise UserError(
                f"ImageNet weights of {name} are in {len(found)} files, {', '.join(file.name for file in found)}; "
                f"leave one of them in ${ENVIRONMENT}/{WEIGHTS_FOLDER}/"
            )
        if found:
            return found[0]
    raise MissingData(
        f"ImageNet weights of {name} are not here; put torchvision's {name}-*.pth into "
        f"${ENVIRONMENT}/{WEIGHTS_FOLDER}/, or take --set syn2real.backbone=efficientnet-lite0"
    )
