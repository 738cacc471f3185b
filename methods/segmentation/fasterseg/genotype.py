"""A derived network as data, and the released files beside this one.

`PINNED` has their checksums: trials are told apart by the source of their method, and so by the data too.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from methods.segmentation.fasterseg.operators import OPS, Op

PINNED = {
    "released_latency.json": "4469468f46ee3040b6a6c098a29e96b291180ca30805c06e3ea01d73f5df3184",
    "released_logits.json": "506a14d9b857f8e4989c09f2d036c5b601136303b60865be7dcf53f3e610397f",
    "student.json": "80e6c05f64c9fb11104bc468d945b42d1cbeb1687ad669b3430167002d23fdd0",
    "teacher.json": "8e7f168f001d642405fa99612a9b4da7b8ca70e4ec40eac699a005d4f2094b2d",
}
"""SHA-256 of each file."""


@dataclass(frozen=True)
class Layer:
    """One operator of a derived network."""

    layer: int
    """The column of the supernet that it comes from."""
    op: Op
    inputs: int
    """Channels."""
    outputs: int
    stride: int


@dataclass(frozen=True)
class Genotype:
    """A network of two branches: layers that they share, then those of each, by the stride of its exit.

    One exit is 32, the other 16 or 8. A layer of stride 2 belongs to the finer scale.
    """

    stem: tuple[int, int, int]
    """Channels after each of its parts."""
    shared: tuple[Layer, ...]
    branches: Mapping[int, tuple[Layer, ...]]

    def path(self, stride: int) -> tuple[Layer, ...]:
        """All layers on the way to an exit."""
        return self.shared + self.branches[stride]

    def channels_at(self, stride: int) -> int:
        """Channels that leave an exit."""
        path = self.path(stride)
        return path[-1].outputs if path else self.stem[-1]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` takes them."""
        return {
            "stem": list(self.stem),
            "shared": [asdict(layer) for layer in self.shared],
            "branches": {str(stride): [asdict(layer) for layer in layers] for stride, layers in self.branches.items()},
        }


def from_json(value: Mapping[str, Any]) -> Genotype:
    """A genotype from plain values. Raises `ValueError` where it is no network."""
    first, second, third = value["stem"]
    branches = {int(stride): _layers(rows) for stride, rows in value["branches"].items()}
    genotype = Genotype((first, second, third), _layers(value["shared"]), branches)
    strides = sorted(branches)
    if strides not in ([8, 32], [16, 32]):
        raise ValueError(f"a genotype has the exits 32 and 16 or 32 and 8, got {strides}")
    for stride in strides:
        channels, scale = genotype.stem[-1], 8
        for layer in genotype.path(stride):
            if layer.inputs != channels:
                raise ValueError(f"layer {layer.layer} of exit {stride} takes {layer.inputs} of {channels} channels")
            if layer.op not in OPS or layer.stride not in (1, 2):
                raise ValueError(f"layer {layer.layer} of exit {stride} is no operator: {layer.op}/{layer.stride}")
            channels, scale = layer.outputs, scale * layer.stride
        if scale != stride:
            raise ValueError(f"the layers of exit {stride} end at {scale}")
    return genotype


def _layers(rows: list[dict[str, Any]]) -> tuple[Layer, ...]:
    return tuple(Layer(**row) for row in rows)


def released(name: str) -> dict[str, Any]:
    """A file of the released code's figures, as plain values."""
    return json.loads(_text(name))


@functools.cache
def _text(name: str) -> str:
    content = (Path(__file__).parent / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != PINNED[name]:
        raise ValueError(f"{name} is not the file that genotype.py names; restore it, or change its checksum there")
    return content.decode()


def student() -> Genotype:
    """FasterSeg as published: exits 32 and 16."""
    return from_json(released("student.json"))


def teacher() -> Genotype:
    """The teacher as published, at full width: exits 32 and 16."""
    return from_json(released("teacher.json"))
