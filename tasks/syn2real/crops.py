"""Training crops of street scenes: a flip, a scale from a range, a crop, as in ASG and CSG. They stay bytes.

n images, b batch, h w pixels of a scene, s pixels along a side of a crop
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate, pad

from bench import Run
from bench.seeds import derive_seed
from bench.training import Batches
from tasks.segmentation.classes import IGNORE

FLIP = 0.5
SCALES = (0.75, 1.25)


class Crops:
    """An endless iterator over batches of crops: images and labels.

    Batch k depends on (seed, order of creation, k) alone: it goes into `state` and a resumed fit sees the same batches.
    """

    def __init__(
        self, images: UInt8[Tensor, "n 3 h w"], labels: UInt8[Tensor, "n h w"], size: int, run: Run, side: int
    ) -> None:
        self._batches = Batches((images.to(run.device), labels.to(run.device)), size, run)
        self._seed = run.stream()
        self._batch = 0
        self._side = side

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[UInt8[Tensor, "b 3 s s"], UInt8[Tensor, "b s s"]]:
        images, labels = next(self._batches)
        generator = torch.Generator().manual_seed(derive_seed(self._seed, self._batch))
        self._batch += 1
        drawn = torch.rand(len(images), 4, generator=generator)
        rows = zip(images, labels, drawn, strict=True)
        pairs = [crop(image, classes, self._side, draws) for image, classes, draws in rows]
        return torch.stack([image for image, _ in pairs]), torch.stack([label for _, label in pairs])

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self._batch, "batches": self._batches.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._batch = state_dict["batch"]
        self._batches.load_state_dict(state_dict["batches"])


def crop(
    image: UInt8[Tensor, "3 h w"], labels: UInt8[Tensor, "h w"], side: int, drawn: Float[Tensor, "4"]
) -> tuple[UInt8[Tensor, "3 s s"], UInt8[Tensor, "s s"]]:
    """One crop from four draws between 0 and 1: mirrored, scale, place from above, place from the left.

    A scene that is smaller gets a margin below and to the right, black, whose pixels are labelled `IGNORE`.
    """
    mirrored, scale, down, across = drawn.tolist()
    if mirrored < FLIP:
        image, labels = image.flip(-1), labels.flip(-1)
    factor = SCALES[0] + scale * (SCALES[1] - SCALES[0])
    size = [max(1, round(length * factor)) for length in labels.shape]
    # Bytes are rounded: what a network sees is a picture, and augmentations work on pictures.
    scaled = interpolate(image[None].float(), size, mode="bilinear", align_corners=False)[0].round().byte()
    classes = interpolate(labels[None, None].float(), size, mode="nearest")[0, 0].byte()
    margin = [0, max(0, side - size[1]), 0, max(0, side - size[0])]
    scaled, classes = pad(scaled, margin), pad(classes, margin, value=IGNORE)
    top, left = (int(place * (length - side + 1)) for place, length in zip((down, across), classes.shape, strict=True))
    return scaled[:, top : top + side, left : left + side], classes[top : top + side, left : left + side]
