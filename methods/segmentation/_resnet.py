"""ResNet-18 and ResNet-50 without their classifiers (He and others, CVPR 2016), strides as in torchvision's."""

from jaxtyping import Float
from torch import Tensor, nn

from methods.segmentation._blocks import Basic, Bottleneck, conv_bn_relu

CHANNELS = (64, 128, 256, 512)
"""Of the 3 x 3 convolutions of the four stages."""
EXPANSION = 4
"""A bottleneck's outputs to its inner channels."""


class ResNet(nn.Module):
    """Maps after each of the four stages, the last three of which halve h and w but where they dilate instead."""

    def __init__(self, stages: list[nn.Sequential]) -> None:
        super().__init__()
        self.stem = conv_bn_relu(3, 64, 7, 2).append(nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        maps = self.stem(images)
        outputs = []
        for stage in self.stages:
            maps = stage(maps)
            outputs.append(maps)
        return outputs


def resnet18() -> ResNet:
    """64, 128, 256, 512 channels at 1/4, 1/8, 1/16, 1/32; 11,176,512 parameters."""
    widths = (64, *CHANNELS)
    return ResNet(
        [
            nn.Sequential(Basic(widths[i], widths[i + 1], 1 if i == 0 else 2), Basic(widths[i + 1], widths[i + 1]))
            for i in range(4)
        ]
    )


def resnet50() -> ResNet:
    """256, 512, 1024, 2048 channels at 1/4, 1/8, 1/16, 1/16: the last stage dilates; 23,508,032 parameters."""
    stages, inputs = [], 64
    for inner, depth, stride, dilation in zip(CHANNELS, (3, 4, 6, 3), (1, 2, 2, 1), (1, 1, 1, 2), strict=True):
        outputs = EXPANSION * inner
        # The first block of a stage that dilates does not yet: it sees what the stage before it made.
        first = Bottleneck(inputs, inner, outputs, (1, stride))
        stages.append(
            nn.Sequential(first, *(Bottleneck(outputs, inner, outputs, dilation=dilation) for _ in range(depth - 1)))
        )
        inputs = outputs
    return ResNet(stages)
