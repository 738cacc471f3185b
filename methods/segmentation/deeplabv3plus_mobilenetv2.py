"""DeepLabV3+ on MobileNetV2; the network, its sources and its training are in `_deeplab`.

The backbone is Sandler's and others' (CVPR 2018) at full width, without its last convolution; in the last two stages it
dilates instead of shrinking further.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from bench import NonNegative, Presets, method
from methods.segmentation._blocks import Inverted, conv_bn
from methods.segmentation._deeplab import DeepLabNetwork, DeepLabV3Plus

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 1), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage."""
DILATING = 5
"""From this stage on, the first block of which still sees what the stage before it made, blocks dilate by 2."""


class MobileNetV2(nn.Module):
    """24 channels at 1/4 and 320 at 1/16; 1,811,712 parameters."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        inputs = 32
        for stage, (expansion, outputs, depth, stride) in enumerate(STAGES):
            for index in range(depth):
                dilation = 2 if (stage, index) > (DILATING, 0) else 1
                step = stride if index == 0 else 1
                blocks.append(Inverted(inputs, outputs, step, expansion=expansion, dilation=dilation))
                inputs = outputs
        self.early = nn.Sequential(*conv_bn(3, 32, 3, 2), nn.ReLU6(inplace=True), *blocks[:3])
        self.late = nn.Sequential(*blocks[3:])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b _ _ _"], Float[Tensor, "b _ _ _"]]:
        early = self.early(images)
        return early, self.late(early)


@method("segmentation", paper="deeplabv3plus")
@dataclass(frozen=True)
class DeepLabV3PlusMobileNetV2(DeepLabV3Plus):
    """Trains DeepLabV3+ on MobileNetV2 at an output stride of 16."""

    weight_decay: NonNegative = 4e-5

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 120, "batch": 8, "lr": 0.05},
        "gpu": {"steps": 3000, "lr": 0.05},
    }

    def network(self, classes: int) -> DeepLabNetwork:
        return DeepLabNetwork(MobileNetV2(), (24, 320), classes, self.refinements)
