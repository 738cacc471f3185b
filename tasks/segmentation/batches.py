"""What networks are fed: normalised images, and augmented training batches that depend on (seed, k) alone.

Augmentation as in FasterSeg (Chen and others, ICLR 2020): a flip, a scale drawn from a few, a crop drawn from where it
fits, and where the scaled image is smaller than the crop a margin of zeros around it, after normalisation, whose pixels
are labelled `IGNORE`.

b batch, n images, h w pixels of an image, y x pixels of a crop
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from bench import Run, UserError
from bench.seeds import derive_seed
from bench.training import Batches
from tasks.segmentation.classes import IGNORE

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""ImageNet's, of red, green and blue from 0 to 1."""

FLIP = 0.5
"""Probability that a training image is mirrored."""


def normalised(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Images as networks take them: from 0 to 1, less the mean, by the deviation."""
    mean, deviation = (images.new_tensor(v, dtype=torch.float32).reshape(3, 1, 1) for v in (MEAN, DEVIATION))
    return images.float().div_(255).sub_(mean).div_(deviation)


class Augmented:
    """An endless iterator over augmented batches: images, normalised, and labels as class indices or `IGNORE`.

    Batch k depends on (seed, order of creation, k) alone: it goes into `state` and a resumed fit sees the same batches.
    Images are copied to the run's device once, as bytes.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "n 3 h w"],
        labels: UInt8[Tensor, "n h w"],
        size: int,
        run: Run,
        *,
        crop: tuple[int, int],
        scales: Sequence[float],
    ) -> None:
        if not len(images):
            raise UserError(
                "segmentation: this data set has no images to learn from; it is for suites with `stages: [profile]`"
            )
        if not scales or min(scales) <= 0:
            raise UserError(
                f"segmentation: scales must be above 0, and one at least, got {list(scales)}; "
                "set them with --set segmentation.scales=[1.0]"
            )
        self._batches = Batches((images.to(run.device), labels.to(run.device)), size, run)
        self._seed = run.stream()
        self._batch = 0
        self._crop = crop
        self._scales = torch.tensor(scales, dtype=torch.float64)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Float[Tensor, "b 3 y x"], Int64[Tensor, "b y x"]]:
        images, labels = next(self._batches)
        generator = torch.Generator().manual_seed(derive_seed(self._seed, self._batch))
        self._batch += 1
        drawn = torch.rand(4, len(images), generator=generator, dtype=torch.float64)
        scale = self._scales[(drawn[0] * len(self._scales)).long()]
        rows, columns = (
            taken(length, crop, scale, where)
            for length, crop, where in zip(images.shape[2:], self._crop, drawn[1:3], strict=True)
        )
        mirrored = drawn[3] < FLIP
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        return cut(images, labels, rows.to(images.device), columns.to(images.device))

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self._batch, "batches": self._batches.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._batch = state_dict["batch"]
        self._batches.load_state_dict(state_dict["batches"])


def taken(length: int, crop: int, scale: Float[Tensor, " b"], where: Float[Tensor, " b"]) -> Float[Tensor, "b crop"]:
    """Where along one axis the pixels of each crop lie in the image, in pixels from its edge; the first is at 0.5.

    The image is `length` pixels long before it is scaled; `where`, from 0 to 1, says which of the crops that fit is
    taken. What lies outside 0 to `length` is margin, equal on both sides.
    """
    scaled = (length * scale).round().clamp(min=1)
    room = scaled - crop
    start = torch.where(room >= 0, (where * (room + 1)).floor(), (room / 2).floor())
    return (start[:, None] + torch.arange(crop) + 0.5) * (length / scaled)[:, None]


def cut(
    images: UInt8[Tensor, "b 3 h w"],
    labels: UInt8[Tensor, "b h w"],
    rows: Float[Tensor, "b y"],
    columns: Float[Tensor, "b x"],
) -> tuple[Float[Tensor, "b 3 y x"], Int64[Tensor, "b y x"]]:
    """The pixels of a batch at `rows` and `columns`: images bilinear and normalised, labels nearest."""
    height, width = images.shape[2:]
    inside = _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :]  # b, y, x
    shape = inside.shape
    grid = torch.stack(
        [
            (2 * columns / width - 1)[:, None, :].expand(shape),
            (2 * rows / height - 1)[:, :, None].expand(shape),
        ],
        dim=-1,
    ).float()
    sampled = grid_sample(normalised(images), grid, mode="bilinear", padding_mode="border", align_corners=False)
    nearest_row, nearest_column = (
        rearrange(places.floor().long().clamp(0, length - 1), pattern)
        for places, length, pattern in ((rows, height, "b y -> b y 1"), (columns, width, "b x -> b 1 x"))
    )
    member = torch.arange(len(labels), device=labels.device)[:, None, None]
    nearest = labels[member, nearest_row, nearest_column].long()
    return sampled * inside[:, None], nearest.masked_fill(~inside, IGNORE)


def _inside(places: Float[Tensor, "b y"], length: int) -> Bool[Tensor, "b y"]:
    return (places > 0) & (places < length)
