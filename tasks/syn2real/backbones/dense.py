"""Networks that tell the class of each pixel, on the backbones of this package.

    `DeepLab`    CSG (Chen and others, ICLR 2021): output stride 8, atrous spatial pyramid pooling with rates 12, 24, 36
                 (Chen and others, DeepLabv3, 2017), though the paper calls it DeepLabv2
    `FCN8s`      ASG (Chen and others, ICML 2020): VGG-16, all parts trained at once (Long, Shelhamer and Darrell, 2015)

Both take the maps of their backbone, so that what is asked of the maps themselves costs no second pass. The logits that
ASG holds against the teacher's are `teacher.old_head(teacher.embed(maps[4]))` of either network: on VGG-16 the
teacher's fc6 and fc7 on 7 x 7 averages, else its old head on the mean of the map.

Departures: on EfficientNet-Lite0 the pyramid has 64 channels a branch instead of 256, and rates of a sixth, for small
machines: on the 8 x 8 map of a crop of 64 pixels the published rates would train no weight but those in the middle of
a kernel, and the others would speak up, as they were drawn, on the larger map of a whole scene.

b batch, c channels, h w pixels, k classes
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from tasks.syn2real.backbones import Backbone, BackboneName, build_backbone
from tasks.syn2real.backbones.headed import Headed
from tasks.syn2real.backbones.large import VGGNeck

RATES = {"efficientnet-lite0": [2, 4, 6], "resnet50": [12, 24, 36], "resnet101": [12, 24, 36]}
"""Of the three dilated convolutions of the pyramid."""
PYRAMID_WIDTHS = {"efficientnet-lite0": 64, "resnet50": 256, "resnet101": 256}

SCORE_SCALES = {3: 0.01, 2: 0.0001}
"""By which pooled maps are made small before they are scored, so that all parts of FCN-8s learn at once."""
CROPS = {3: 5, 2: 9}
"""Where the deeper scores begin in the scores of a shallower map."""
IMAGE_CROP = 31
"""Where the image begins in the last scores."""


class DeepLab(Headed):
    """Pyramid, 3 x 3 convolution and classifier on the map of layer 4, then bilinear to the image, corners aligned.

    The head's batch norms and its dropout (0.5) train; those of the backbone stay (`freeze_statistics`,
    `freeze_affine`).
    """

    def __init__(self, backbone: Backbone, classes: int, width: int, rates: list[int]) -> None:
        head = nn.Sequential(
            ASPP(backbone.widths[4], rates, width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, classes, 1),
        )
        super().__init__(backbone, head)

    def decode(self, maps: Mapping[int, Float[Tensor, "b _ _ _"]], size: tuple[int, int]) -> Float[Tensor, "b k h w"]:
        """Maps of the backbone to logits of an image of `size` (h, w)."""
        return nn.functional.interpolate(self.head(maps[4]), size, mode="bilinear", align_corners=True)


class FCN8s(Headed):
    """Scores of three pooled maps, each added to the deeper one after a learnt doubling.

    fc6 and fc7 are those of the backbone, used as convolutions; their dropout is off, as the released code trains.
    """

    head: nn.ModuleDict

    def __init__(self, backbone: Backbone, classes: int) -> None:
        head = nn.ModuleDict(
            {
                "score_neck": nn.Conv2d(backbone.features_width, classes, 1),
                "score_3": nn.Conv2d(backbone.widths[3], classes, 1),
                "score_2": nn.Conv2d(backbone.widths[2], classes, 1),
                "double_neck": nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False),
                "double_3": nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False),
                "enlarge_8": nn.ConvTranspose2d(classes, classes, 16, stride=8, bias=False),
            }
        )
        super().__init__(backbone, head)
        for part in head.values():
            if isinstance(part, nn.ConvTranspose2d):
                with torch.no_grad():
                    part.weight.copy_(bilinear_kernel(classes, part.kernel_size[0]))
            else:
                for parameter in part.parameters():
                    nn.init.zeros_(parameter)

    def decode(self, maps: Mapping[int, Float[Tensor, "b _ _ _"]], size: tuple[int, int]) -> Float[Tensor, "b k h w"]:
        """Maps of the backbone to logits of an image of `size` (h, w)."""
        scores = self.head["score_neck"](cast(VGGNeck, self.backbone.neck).at_each_place(maps[4]))
        for doubling, layer in (("double_neck", 3), ("double_3", 2)):
            deeper = self.head[doubling](scores)
            shallower = self.head[f"score_{layer}"](SCORE_SCALES[layer] * maps[layer])
            scores = deeper + _cropped(shallower, CROPS[layer], deeper.shape[2:])
        return _cropped(self.head["enlarge_8"](scores), IMAGE_CROP, torch.Size(size))


def _cropped(maps: Float[Tensor, "b c h w"], start: int, size: torch.Size) -> Float[Tensor, "b c i j"]:
    return maps[:, :, start : start + size[0], start : start + size[1]]


def bilinear_kernel(classes: int, side: int) -> Float[Tensor, "k k s s"]:
    """Of a transposed convolution that interpolates each class by itself."""
    factor = (side + 1) // 2
    centre = factor - 1 if side % 2 else factor - 0.5
    weights = 1 - (torch.arange(side) - centre).abs() / factor
    return torch.einsum("kl,i,j->klij", torch.eye(classes), weights, weights)


def build_dense(
    name: BackboneName,
    classes: int,
    *,
    pretrained: Path | Literal["shipped"] | None,
    ibn: bool = False,
    seed: int = 0,
) -> DeepLab | FCN8s:
    """`FCN8s` on VGG-16, else `DeepLab`, in eval mode; the head and missing weights are drawn from `seed`.

    Raises as `build_backbone` does.
    """
    if name == "vgg16":
        backbone = build_backbone(name, pretrained=pretrained, ibn=ibn, framed=True, seed=seed)
    else:
        backbone = build_backbone(name, pretrained=pretrained, ibn=ibn, output_stride=8, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = (
            FCN8s(backbone, classes)
            if name == "vgg16"
            else DeepLab(backbone, classes, PYRAMID_WIDTHS[name], RATES[name])
        )
    return net.eval()
