"""Gradients of all outputs of a batch by all weights: one forward pass, then sweeps back with many outputs at once.

Batch norm couples the images of a batch: the gradient of one output runs back through all of them, so n outputs cost n
backward passes and no per-sample trick applies. Here they share a sweep: what flows back has one more axis in front,
and every operation takes it whole, in the form that is fastest for a few channels:

    convolution, by its input    1x1: a product of matrices; other kernels: a forward convolution with them mirrored
    convolution, by its kernel   a product of matrices with patches that are unfolded once
    average of 3 x 3             two products with banded matrices, since sums and counts separate
    ReLU, average of one input   once for all edges that start there

What has no rule falls back to `torch.func.vjp`: any network will do that draws nothing at random.

n images, k outputs in one sweep, c d channels, h w i j pixels, p pixels of all images, f entries of a patch
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

from methods.nas._nested import replaced, tensors

Pull = Callable[[Tensor], Sequence[Tensor | None]]
"""From the cotangents of an output, with the axis k in front, to those of each input."""


class Entry(NamedTuple):
    """An operation that was recorded."""

    inputs: tuple[Tensor, ...]
    output: Tensor
    pull: Pull


class Tape(TorchFunctionMode):
    """Records what is computed from `sources` as long as it is entered."""

    def __init__(self, sources: Sequence[Tensor]) -> None:
        super().__init__()
        self.sources = list(sources)
        self.entries: list[Entry] = []
        # `sources` and `entries` hold every tensor whose id stands in these two: no id is given out twice.
        self.tracked = {id(source) for source in sources}
        self.once: dict[tuple[Any, ...], Tensor] = {}
        self.patches: dict[tuple[int, Geometry], Tensor] = {}
        # Convolutions by their input: those that share one are taken back together, with more channels.
        self.waiting: dict[int, list[Waiting]] = {}
        # The last product: what was multiplied, by what, and the result.
        self.scaled: list[Any] = [None, 1.0, None]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch.no_grad():
            inputs = {id(value): value for value in tensors((args, kwargs)) if id(value) in self.tracked}
            if not inputs:
                return func(*args, **kwargs)
            rule = RULES.get(func)
            output = rule(self, *args, **kwargs) if rule else None
            return self._fallback(func, args, kwargs, list(inputs.values())) if output is None else output

    def keep(self, inputs: Sequence[Tensor], output: Tensor, pull: Pull) -> Tensor:
        """Records an operation; gives its output back."""
        self.entries.append(Entry(tuple(inputs), output, pull))
        self.tracked.add(id(output))
        return output

    def _fallback(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: list[Tensor]) -> Any:
        """An operation without a rule: torch's own derivative, mapped over k."""
        output = func(*args, **kwargs)
        if not (isinstance(output, Tensor) and output.is_floating_point()):
            if any(value.is_floating_point() for value in tensors(output)):
                raise ValueError(f"{func.__name__} gives several tensors, whose gradients this tape does not follow")
            return output
        if id(output) in self.tracked:
            raise ValueError(f"{func.__name__} changes a tensor in place, which this tape does not follow")

        def pull(cotangents: Tensor) -> Sequence[Tensor]:
            def again(*given: Tensor) -> Tensor:
                other = {id(value): new for value, new in zip(inputs, given, strict=True)}
                return func(*replaced(args, other), **replaced(kwargs, other))

            back = torch.func.vjp(again, *inputs)[1]
            return torch.vmap(back)(cotangents)

        return self.keep(inputs, output, pull)

    def back(self, output: Tensor, cotangents: Float[Tensor, "k ..."]) -> list[Tensor]:
        """For each source its k gradients: those of the sums of `output` weighted by each of the cotangents."""
        found = Sums(self.tracked)
        found.add(output, cotangents)
        sources = {id(source) for source in self.sources}
        for inputs, result, pull in reversed(self.entries):
            self._convolutions(result, found)
            if id(result) in found.values:
                given = found.values[id(result)] if id(result) in sources else found.take(result)
                for value, gradient in zip(inputs, pull(given), strict=True):
                    found.add(value, gradient)
        for value in [*self.sources, *(inputs[0] for inputs, _, _ in self.entries)]:
            self._convolutions(value, found)
        k = len(cotangents)
        return [found.values.get(id(s), s.new_zeros(()).expand(k, *s.shape)) for s in self.sources]

    def _convolutions(self, images: Tensor, found: "Sums") -> None:
        """Takes back the convolutions of these images, since all that they feed is done."""
        by_geometry: dict[Geometry, list[Waiting]] = {}
        for one in self.waiting.pop(id(images), []):
            by_geometry.setdefault(one.geometry, []).append(one)
        for geometry, several in by_geometry.items():
            alike = [several] if geometry.groups == 1 else [[one] for one in several]
            for ones in alike:
                kernel = torch.cat([one.kernel for one in ones])
                cotangents = torch.cat([one.cotangents for one in ones], dim=2)
                if id(images) in self.tracked:
                    found.add(images, by_images(images, kernel, geometry, cotangents))
                if any(id(one.kernel) in self.tracked for one in ones):
                    key = (id(images), geometry)
                    if key not in self.patches:
                        self.patches[key] = patches(images, geometry)
                    parts = by_kernel(self.patches[key], cotangents).split([len(one.kernel) for one in ones], dim=1)
                    for one, part in zip(ones, parts, strict=True):
                        found.add(one.kernel, part.reshape(len(part), *one.kernel.shape))


class Sums:
    """Cotangents by the id of their tensor, added up as they come."""

    def __init__(self, tracked: set[int]) -> None:
        self.values: dict[int, Tensor] = {}
        self._tracked = tracked
        self._own: set[int] = set()  # what nobody else holds

    def add(self, value: Tensor, gradient: Tensor | None) -> None:
        key = id(value)
        if gradient is None or key not in self._tracked:
            return
        if key not in self.values:
            self.values[key] = gradient
        elif key in self._own:
            self.values[key] += gradient
        else:
            self.values[key] = self.values[key] + gradient
            self._own.add(key)

    def take(self, value: Tensor) -> Tensor:
        self._own.discard(id(value))
        return self.values.pop(id(value))


# Rules: each records and returns the output, or returns None to leave it to torch's own derivative --------------------


def pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


class Geometry(NamedTuple):
    """How a convolution is laid out."""

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


class Waiting(NamedTuple):
    """A convolution whose output's cotangents have arrived."""

    kernel: Tensor
    geometry: Geometry
    cotangents: Float[Tensor, "k n d i j"]


def conv(
    tape: Tape,
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    if isinstance(padding, str) or (bias is not None and id(bias) in tape.tracked):
        return None
    geometry = Geometry(pair(tuple(kernel.shape[2:])), pair(stride), pair(padding), pair(dilation), groups)
    output = torch.conv2d(images, kernel, bias, *geometry[1:])

    # Not the tape: with what leads back to it, all that it holds would stay until the collector comes round.
    waiting = tape.waiting

    def pull(cotangents: Tensor) -> Sequence[Tensor | None]:
        waiting.setdefault(id(images), []).append(Waiting(kernel, geometry, cotangents))
        return None, None

    return tape.keep((images, kernel), output, pull)


def by_images(
    images: Tensor, kernel: Tensor, geometry: Geometry, cotangents: Float[Tensor, "k n d i j"]
) -> Float[Tensor, "k n c h w"]:
    """The cotangents of a convolution's input."""
    size, stride, padding, dilation, groups = geometry
    flat = cotangents.flatten(0, 1)
    reach = [d * (s - 1) - p for d, s, p in zip(dilation, size, padding, strict=True)]
    if stride != (1, 1) or min(reach) < 0 or groups not in (1, len(kernel)):
        shape = (len(flat), *images.shape[1:])
        found = conv2d_input(shape, kernel, flat, stride, padding, dilation, groups)
    elif groups == 1 and size == (1, 1) and padding == (0, 0):
        found = (kernel[:, :, 0, 0].T @ flat.flatten(2)).unflatten(2, images.shape[2:])
    else:
        turned = kernel if groups > 1 else kernel.transpose(0, 1)
        found = torch.conv2d(flat, turned.flip(2, 3), None, 1, reach, dilation, groups)
    return found.unflatten(0, cotangents.shape[:2])


def patches(images: Tensor, geometry: Geometry) -> Float[Tensor, "g p f"]:
    """What each output pixel of each group of a convolution sees."""
    size, stride, padding, dilation, groups = geometry
    seen = functional.unfold(images, size, dilation, padding, stride)  # n, g f, pixels
    return seen.unflatten(1, (groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)


def by_kernel(seen: Float[Tensor, "g p f"], cotangents: Float[Tensor, "k n d i j"]) -> Float[Tensor, "k d f"]:
    """The cotangents of a convolution's kernel."""
    groups, pixels, _ = seen.shape
    rows = cotangents.flatten(3).unflatten(2, (groups, -1)).permute(2, 0, 3, 1, 4)  # g, k, d, n, pixels
    found = rows.reshape(groups, -1, pixels) @ seen  # g, k d, f
    return found.unflatten(1, (len(cotangents), -1)).transpose(0, 1).flatten(1, 2)


def batch_norm(
    tape: Tape,
    features: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    if not training or features.ndim != 4:
        return None
    output, mean, inverse = torch.native_batch_norm(
        features, weight, bias, running_mean, running_var, True, momentum, eps
    )

    def pull(cotangents: Tensor) -> Sequence[Tensor | None]:
        scale = torch.ones_like(mean) if weight is None else weight
        # A processor is fastest by one output after the other, while they lie in its cache; an accelerator by all.
        back = norm_back_one_by_one if features.device.type == "cpu" else norm_back
        return back(cotangents, features, scale, mean, inverse, eps)[: len(inputs)]

    inputs = [features, *(value for value in (weight, bias) if value is not None)]
    return tape.keep(inputs, output, pull)


def norm_back(
    cotangents: Float[Tensor, "k n c h w"],
    features: Float[Tensor, "n c h w"],
    scale: Float[Tensor, " c"],
    mean: Float[Tensor, " c"],
    inverse: Float[Tensor, " c"],
    eps: float,  # noqa: ARG001 -- as below
) -> tuple[Float[Tensor, "k n c h w"], Float[Tensor, "k c"], Float[Tensor, "k c"]]:
    """The cotangents of the input, the scale and the shift of a batch norm (Ioffe and Szegedy, ICML 2015)."""
    wide = (-1, 1, 1)
    normal = (features - mean.view(wide)) * inverse.view(wide)
    by_shift = cotangents.sum((1, 3, 4))
    by_scale = (cotangents * normal).sum((1, 3, 4))
    share = features.numel() / len(mean)
    centred = cotangents - (by_shift / share)[:, None, :, None, None]
    found = torch.addcmul(centred, normal, (by_scale / -share)[:, None, :, None, None])
    return found * (scale * inverse).view(wide), by_scale, by_shift


def norm_back_one_by_one(
    cotangents: Float[Tensor, "k n c h w"],
    features: Float[Tensor, "n c h w"],
    scale: Float[Tensor, " c"],
    mean: Float[Tensor, " c"],
    inverse: Float[Tensor, " c"],
    eps: float,
) -> tuple[Float[Tensor, "k n c h w"], Float[Tensor, "k c"], Float[Tensor, "k c"]]:
    """The same, by torch's own derivative."""
    mask = [True, True, True]
    parts = [
        torch.ops.aten.native_batch_norm_backward(one, features, scale, None, None, mean, inverse, True, eps, mask)
        for one in cotangents
    ]
    by_features, by_scale, by_shift = (torch.stack(each) for each in zip(*parts, strict=True))
    return by_features, by_scale, by_shift


def relu(tape: Tape, features: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001 -- never in place here
    key = ("relu", id(features))
    if key not in tape.once:
        output = torch.relu(features)

        def pull(cotangents: Tensor) -> Sequence[Tensor]:
            return (torch.ops.aten.threshold_backward(cotangents, output.expand_as(cotangents), 0),)

        tape.once[key] = tape.keep((features,), output, pull)
    return tape.once[key]


def banded(size: int, like: Tensor) -> Float[Tensor, "size size"]:
    """Averages of neighbours on a line, of those that are there."""
    places = torch.arange(size, device=like.device)
    near = ((places[:, None] - places).abs() <= 1).to(like.dtype)
    return near / near.sum(dim=1, keepdim=True)


def avg_pool(
    tape: Tape,
    features: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor | None:
    geometry = pair(kernel_size), pair(stride or kernel_size), pair(padding), count_include_pad, divisor_override
    if geometry != ((3, 3), (1, 1), (1, 1), False, None) or ceil_mode:
        return None
    key = ("average", id(features))
    if key not in tape.once:
        rows, columns = (banded(size, features) for size in features.shape[2:])

        def pull(cotangents: Tensor) -> Sequence[Tensor]:
            return (rows.T @ (cotangents @ columns),)

        tape.once[key] = tape.keep((features,), rows @ features @ columns.T, pull)
    return tape.once[key]


def add(tape: Tape, one: Any, other: Any) -> Tensor | None:
    if isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape:
        return tape.keep((one, other), one.add(other), lambda cotangents: (cotangents, cotangents))
    return None


def scale(tape: Tape, one: Any, other: Any) -> Tensor | None:
    last = tape.scaled
    for factor, features in ((one, other), (other, one)):
        single = isinstance(factor, int | float) or (isinstance(factor, Tensor) and factor.ndim == 0)
        if single and id(factor) not in tape.tracked and isinstance(features, Tensor):
            number = float(factor)

            def pull(cotangents: Tensor, number: float = number) -> Sequence[Tensor]:
                # Operators that meet in a node are given the same cotangents, mostly with the same weight.
                given, by, product = last
                if given is not cotangents or by != number:
                    product = cotangents * number
                    last[:] = cotangents, number, product
                return (product,)

            return tape.keep((features,), features * number, pull)
    return None


RULES: Mapping[Any, Callable[..., Tensor | None]] = {
    torch.conv2d: conv,
    functional.batch_norm: batch_norm,
    functional.relu: relu,
    torch.relu: relu,
    Tensor.relu: relu,
    functional.avg_pool2d: avg_pool,
    torch.add: add,
    Tensor.add: add,
    Tensor.__add__: add,
    Tensor.__radd__: add,
    torch.mul: scale,
    Tensor.mul: scale,
    Tensor.__mul__: scale,
    Tensor.__rmul__: scale,
}
