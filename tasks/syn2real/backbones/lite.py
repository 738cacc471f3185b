"""EfficientNet-Lite0: a small network whose ImageNet weights come with a Python package.

The network of Google's `efficientnet/lite` (2020), after EfficientNet (Tan and Le, ICML 2019): ReLU6 instead of swish,
no squeeze-and-excitation, stem and head of fixed width, TensorFlow's "same" padding. 4,652,008 parameters with the
1000-way head.

    a block      `InvertedResidual`; what it returns is linear, so signed
    the blocks   `BLOCKS`
    layer 3      the expanded map of block 11 after its ReLU6: 672 channels at stride 16, not negative
    layer 4      the map of the head convolution after its ReLU6: 1280 channels at stride 32

Departures: blocks are never dropped at random and no dropout precedes the head, as they are in training on ImageNet:
fine-tuning here follows ASG, which trains in eval mode.

b batch, c channels, h w pixels
"""

import re
from collections.abc import Mapping
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn

from tasks.syn2real.backbones.norms import instance_batch_norm

EPS = 1e-3
"""Of the batch norms."""
MOMENTUM = 0.01
"""Of their statistics, where somebody lets them move: 1 - 0.99 of TensorFlow's convention."""

STEM = 32
LITE_HEAD = 1280
EXPANSION = 6

BLOCKS = ((16, 3, 1), *[(24, 3, 2), (24, 3, 1)], *[(40, 5, 2), (40, 5, 1)], *[(80, 3, 2), (80, 3, 1), (80, 3, 1)],
          *[(112, 5, 1)] * 3, *[(192, 5, 2), (192, 5, 1), (192, 5, 1), (192, 5, 1)], (320, 3, 1))  # fmt: skip
"""Channels, kernel and stride of each; all but the first expand their channels by `EXPANSION`."""

STAGES = ((0, 2), (3, 4), (5, 10), (11, 15))
"""The first and the last block of each group."""

LITE_WIDTHS = {3: 672, 4: LITE_HEAD}

FILE_PARTS = (
    (r"^_conv_stem\.", "stem.convolution."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head_convolution.convolution."),
    (r"^_bn1\.", "head_convolution.norm."),
    (r"\._expand_conv\.", ".expand.convolution."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._depthwise_conv\.", ".depthwise.convolution."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._project_conv\.", ".project.convolution."),
    (r"\._bn2\.", ".project.norm."),
)
"""What a part is called in the published file, and here."""


class ConvolutionUnit(nn.Module):
    """A convolution without bias, batch norm and, where `activated`, ReLU6."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activated: bool = True,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=padding, dilation=dilation, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=EPS, momentum=MOMENTUM)
        self.activation = nn.ReLU6(inplace=True) if activated else nn.Identity()

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        (stride, _), (kernel, _) = self.convolution.stride, self.convolution.kernel_size
        if stride > 1:
            maps = nn.functional.pad(
                maps, [*same_padding(maps.shape[3], kernel, stride), *same_padding(maps.shape[2], kernel, stride)]
            )
        return self.activation(self.norm(self.convolution(maps)))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """What TensorFlow's "same" adds before and after an axis: one more after it where the sum is odd."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """Expand, convolve each channel by itself, project; plus the input, where its shape is the same.

    Sandler and others, MobileNetV2, CVPR 2018.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, dilation: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = ConvolutionUnit(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvolutionUnit(inner, inner, kernel, stride, dilation, groups=inner)
        self.project = ConvolutionUnit(inner, outputs, 1, activated=False)
        self.residual = inputs == outputs and stride == 1

    def narrow(self, expanded: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """What follows the expansion, without the residual."""
        return self.project(self.depthwise(expanded))

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        narrowed = self.narrow(self.expand(maps))
        return maps + narrowed if self.residual else narrowed


class LiteTrunk(nn.Module):
    """Images to the maps of layers 3 and 4; its children are the groups of step sizes, in order.

    At `output_stride` 8 what would make the map smaller is dilated instead, the first convolution of a dilated part by
    half as much, as in the dense networks of CSG.
    """

    def __init__(self, output_stride: Literal[8, 32] = 32) -> None:
        super().__init__()
        blocks: list[InvertedResidual] = []
        inputs, reached, dilation = STEM, 2, 1
        for outputs, kernel, stride in BLOCKS:
            expansion = EXPANSION if blocks else 1
            if stride > 1 and reached == output_stride:
                blocks.append(InvertedResidual(inputs, outputs, kernel, 1, dilation, expansion))
                dilation *= stride
            else:
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride, dilation, expansion))
                reached *= stride
            inputs = outputs
        self.stem = ConvolutionUnit(3, STEM, 3, stride=2)
        self.blocks_0_2 = nn.Sequential(*blocks[:3])
        self.blocks_3_4 = nn.Sequential(*blocks[3:5])
        self.blocks_5_10 = nn.Sequential(*blocks[5:11])
        self.blocks_11_15 = nn.Sequential(*blocks[11:])
        self.head_convolution = ConvolutionUnit(inputs, LITE_HEAD, 1)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b _ _ _"]]:
        maps = self.blocks_5_10(self.blocks_3_4(self.blocks_0_2(self.stem(images))))
        first = cast(InvertedResidual, self.blocks_11_15[0])
        expanded = first.expand(maps)
        return {3: expanded, 4: self.head_convolution(self.blocks_11_15[1:](first.narrow(expanded)))}

    def mix_norms(self) -> None:
        """IBN-Net-a: the first norm of each block up to stride 16, as layers 1 to 3 of a ResNet.

        Block 0, which does not expand, has none to spare: its map is the stem's.
        """
        for block in [*self.blocks_0_2[1:], *self.blocks_3_4, *self.blocks_5_10]:
            expand = cast(ConvolutionUnit, block.expand)
            expand.norm = instance_batch_norm(cast(nn.BatchNorm2d, expand.norm))


def translated(published: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The published weights by the names of `LiteTrunk`, and those of the 1000-way head by the names of `nn.Linear`."""
    trunk: dict[str, Tensor] = {}
    old_head: dict[str, Tensor] = {}
    for name, tensor in published.items():
        if name.startswith("_fc."):
            old_head[name.removeprefix("_fc.")] = tensor
            continue
        if block := re.match(r"_blocks\.(\d+)\.", name):
            name = _place(int(block[1])) + name[block.end() - 1 :]
        for theirs, ours in FILE_PARTS:
            name = re.sub(theirs, ours, name)
        trunk[name] = tensor
    return trunk, old_head


def _place(block: int) -> str:
    """Where a block stands."""
    first, last = [(first, last) for first, last in STAGES if first <= block][-1]
    return f"blocks_{first}_{last}.{block - first}"
