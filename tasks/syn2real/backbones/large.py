"""The networks of the papers, as torchvision builds them: ResNet-50 and -101 (He and others, 2016), VGG-16 (2015).

Layers 3 and 4 of VGG-16 are its pooled maps of strides 16 and 32; FCN-8s needs that of stride 8 too.

b batch, c channels, h w pixels
"""

from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import Bottleneck

from tasks.syn2real.backbones.norms import instance_batch_norm

RESNET_WIDTHS = {3: 1024, 4: 2048}
VGG_WIDTHS = {2: 256, 3: 512, 4: 512}

FRAME = 100
"""Pixels of zeros that FCN-8s sets around an image, in its first convolution (Long, Shelhamer and Darrell, 2015)."""

VGG_STAGES = ((0, 5), (5, 10), (10, 17), (17, 24), (24, 31))
"""Where conv1_x to conv5_x, each with its pooling, begin and end in torchvision's network."""

NECK_SIDE = 7
"""Height and width of the map that fc6 takes."""


class ResNetTrunk(nn.Module):
    """Images to the maps of layers 3 and 4; its children with weights are the groups of step sizes, in order."""

    def __init__(self, net: ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = net.conv1, net.bn1, net.relu, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b _ _ _"]]:
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        third = self.layer3(self.layer2(self.layer1(maps)))
        return {3: third, 4: self.layer4(third)}


def mix_resnet_norms(net: ResNet) -> None:
    """IBN-Net-a: the first norm of each block in layers 1 to 3."""
    for layer in (net.layer1, net.layer2, net.layer3):
        for block in layer:
            cast(Bottleneck, block).bn1 = instance_batch_norm(cast(nn.BatchNorm2d, block.bn1))


class VGGTrunk(nn.Module):
    """Images to the pooled maps of strides 8 (named 2), 16 (3) and 32 (4); its children are the groups, in order.

    With `framed` as FCN-8s has it: zeros around the image, and poolings that round up.
    """

    def __init__(self, features: nn.Sequential, framed: bool) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = (
            features[first:last] for first, last in VGG_STAGES
        )
        if framed:
            cast(nn.Conv2d, self.conv1[0]).padding = (FRAME, FRAME)
            for stage in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
                cast(nn.MaxPool2d, stage[-1]).ceil_mode = True

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b _ _ _"]]:
        second = self.conv3(self.conv2(self.conv1(images)))
        third = self.conv4(second)
        return {2: second, 3: third, 4: self.conv5(third)}


class VGGNeck(nn.Module):
    """The last pooled map to 4096 features: 7 x 7 averages, fc6, fc7. Dropout is off, as in the student of ASG."""

    def __init__(self, fc6: nn.Linear, fc7: nn.Linear) -> None:
        super().__init__()
        self.average = nn.AdaptiveAvgPool2d(NECK_SIDE)
        self.fc6, self.fc7 = fc6, fc7

    def forward(self, last: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.fc7(self.fc6(self.average(last).flatten(1)).relu()).relu()

    def at_each_place(self, last: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The same two layers as convolutions: features wherever the 7 x 7 of fc6 fits."""
        kernel = self.fc6.weight.unflatten(1, (-1, NECK_SIDE, NECK_SIDE))
        maps = nn.functional.conv2d(last, kernel, self.fc6.bias).relu()
        return nn.functional.conv2d(maps, self.fc7.weight[:, :, None, None], self.fc7.bias).relu()


OutputStride = Literal[8, 32]


def dilation_of(output_stride: OutputStride) -> list[bool]:
    """Which of layers 2 to 4 torchvision dilates; it gives the first block of such a layer half of the dilation."""
    return [False, output_stride == 8, output_stride == 8]
