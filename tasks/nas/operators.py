"""The operators of NAS-Bench-201 (Dong and Yang, ICLR 2020) and DARTS (Liu, Simonyan and Yang, ICLR 2019), and edges.

`none` is no module: an edge that has it adds nothing. Convolutions have no bias. Every operator keeps the number of
channels; those of DARTS may have stride 2.

b images, c channels, h w pixels, o operators
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.nas.spaces import Norms

EPSILON = 1e-5
"""Of batch norms: torch's default, and that of both benchmarks."""


def norm(channels: int, norms: Norms) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, EPSILON, affine=norms.affine, track_running_stats=norms.track)


def relu_conv_norm(inputs: int, outputs: int, kernel: int, stride: int, norms: Norms) -> nn.Sequential:
    """ReLU, convolution, batch norm."""
    return nn.Sequential(
        nn.ReLU(), nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), norm(outputs, norms)
    )


class FactorizedReduce(nn.Module):
    """Halves the resolution: ReLU, then two 1x1 convolutions of stride 2, one of them a pixel on; then batch norm."""

    def __init__(self, inputs: int, outputs: int, norms: Norms) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.norm = norm(outputs, norms)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        features = self.relu(features)
        # A pixel on; where a side is odd, a row or column of zeros makes the halves fit.
        height, width = features.shape[-2:]
        shifted = nn.functional.pad(features[:, :, 1:, 1:], (0, width % 2, 0, height % 2))
        return self.norm(torch.cat([self.even(features), self.odd(shifted)], dim=1))


def depthwise(channels: int, kernel: int, stride: int, dilation: int, norms: Norms) -> list[nn.Module]:
    """ReLU, depthwise convolution, 1x1 convolution, batch norm."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm(channels, norms),
    ]


def separable(channels: int, kernel: int, stride: int, norms: Norms) -> nn.Sequential:
    """Twice ReLU, depthwise, 1x1, batch norm; the first time with the stride."""
    return nn.Sequential(*depthwise(channels, kernel, stride, 1, norms), *depthwise(channels, kernel, 1, 1, norms))


def dilated(channels: int, kernel: int, stride: int, norms: Norms) -> nn.Sequential:
    return nn.Sequential(*depthwise(channels, kernel, stride, 2, norms))


def pooling(pool: nn.Module, channels: int, norms: Norms) -> nn.Module:
    """A pool, followed by a batch norm without affine parameters where the norms ask for it."""
    if not norms.pool:
        return pool
    return nn.Sequential(pool, nn.BatchNorm2d(channels, EPSILON, affine=False, track_running_stats=norms.track))


def average_pool(channels: int, stride: int, norms: Norms) -> nn.Module:
    return pooling(nn.AvgPool2d(3, stride, 1, count_include_pad=False), channels, norms)


def max_pool(channels: int, stride: int, norms: Norms) -> nn.Module:
    return pooling(nn.MaxPool2d(3, stride, 1), channels, norms)


def skip(channels: int, stride: int, norms: Norms) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, norms)


OPERATORS: Mapping[str, Callable[[int, int, Norms], nn.Module]] = {
    "skip_connect": skip,
    "nor_conv_1x1": lambda channels, stride, norms: relu_conv_norm(channels, channels, 1, stride, norms),
    "nor_conv_3x3": lambda channels, stride, norms: relu_conv_norm(channels, channels, 3, stride, norms),
    "avg_pool_3x3": average_pool,
    "max_pool_3x3": max_pool,
    "sep_conv_3x3": lambda channels, stride, norms: separable(channels, 3, stride, norms),
    "sep_conv_5x5": lambda channels, stride, norms: separable(channels, 5, stride, norms),
    "dil_conv_3x3": lambda channels, stride, norms: dilated(channels, 3, stride, norms),
    "dil_conv_5x5": lambda channels, stride, norms: dilated(channels, 5, stride, norms),
}
"""Name -> (channels, stride, norms) -> module; all but `none`."""


class MixedEdge(nn.Module):
    """Some of a space's operators between two nodes: the one chosen, or all of them in a supernet."""

    def __init__(
        self,
        names: Sequence[str],
        built: Sequence[int],
        channels: int,
        stride: int,
        norms: Norms,
        add_zeros: bool = False,
    ) -> None:
        """`built` are indices into `names`, all the operators of the space; `none` is never built."""
        super().__init__()
        self.operators = nn.ModuleDict(
            {str(index): OPERATORS[names[index]](channels, stride, norms) for index in built if index}
        )
        self.add_zeros = add_zeros

    def forward(
        self, features: Float[Tensor, "b c h w"], weights: Float[Tensor, " o"], active: list[bool]
    ) -> Float[Tensor, "b c i j"] | None:
        """The sum of the active operators by weight; None where there is none."""
        total: Tensor | None = None
        for index, operator in self.operators.items():
            if active[int(index)]:
                term = weights[int(index)] * operator(features)
                total = term if total is None else total + term
        if self.add_zeros and total is not None:
            total = total + sum(weights[index] for index, on in enumerate(active) if not on)
        return total

    @property
    def is_identity(self) -> bool:
        """Whether it does nothing but pass its input on."""
        return all(isinstance(operator, nn.Identity) for operator in self.operators.values())

    def alone(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"] | None:
        """The sum of the operators that were built, each by weight one; None where there is none."""
        outputs = [operator(features) for operator in self.operators.values()]
        return sum(outputs[1:], outputs[0]) if outputs else None


class EdgeWeights:
    """The weights of a supernet's operators for one pass, and which of them are not zero: read once, as it waits."""

    def __init__(self, weights: Float[Tensor, "e o"]) -> None:
        self.values = weights
        self.active: list[list[bool]] = (weights.detach() != 0).tolist()

    def apply(self, edge: int, mixed: MixedEdge, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"] | None:
        """What the edge of this number gives."""
        if not any(self.active[edge][1:]):
            return None
        return mixed(features, self.values[edge], self.active[edge])
