"""A pinhole camera above a flat street, and a canvas with a depth for each pixel: what is nearer hides what is behind.

Metres: x to the right of the camera, z ahead of it, heights above the ground. Colours are red, green, blue of 0 to 255.

h w pixels, m n rows and columns of a window
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from numpy import ndarray


@dataclass(frozen=True)
class Camera:
    height: int
    width: int
    """Pixels."""
    focal: float
    """Pixels that a metre is wide, a metre ahead."""
    horizon: float
    """The row of what is infinitely far, on the ground."""
    centre: float
    """The column of what is infinitely far, straight ahead."""
    above: float
    """Metres above the ground."""

    @functools.cached_property
    def columns(self) -> Float32[ndarray, "1 w"]:
        """Of the pixels' centres."""
        return np.arange(self.width, dtype=np.float32)[None, :] + np.float32(0.5)

    @functools.cached_property
    def rows(self) -> Float32[ndarray, "h 1"]:
        return np.arange(self.height, dtype=np.float32)[:, None] + np.float32(0.5)


@dataclass(frozen=True)
class Window:
    """A part of the canvas, and where in the street its pixels lie on some surface."""

    rows: slice
    columns: slice
    along: Float32[ndarray, "1 n"]
    """Metres: to the right of a facing surface's middle, or ahead of the camera on one that runs along the street."""
    height: Float32[ndarray, "m _"]
    """Metres above the ground."""
    depth: Float32[ndarray, "1 _"]
    """Metres ahead of the camera."""
    pixel: Float32[ndarray, "1 _"]
    """Metres that a pixel is wide there, across the line of sight."""


class Canvas:
    """What has been painted so far. A pixel takes paint that is not behind what it has."""

    def __init__(self, camera: Camera, ignored: int) -> None:
        size = camera.height, camera.width
        self.camera = camera
        self.rgb: Float32[ndarray, "h w 3"] = np.zeros((*size, 3), np.float32)
        self.labels: UInt8[ndarray, "h w"] = np.full(size, ignored, np.uint8)
        self.depth: Float32[ndarray, "h w"] = np.full(size, np.inf, np.float32)

    def facing(self, x: float, z: float, half_width: float, low: float, high: float) -> Window | None:
        """An upright surface that faces the camera; None where nothing of it is in the picture."""
        camera, scale = self.camera, self.camera.focal / z
        rows, columns = _pixels(
            camera,
            (camera.horizon + scale * (camera.above - high), camera.horizon + scale * (camera.above - low)),
            (camera.centre + scale * (x - half_width), camera.centre + scale * (x + half_width)),
        )
        if rows is None or columns is None:
            return None
        metres = np.float32(z / camera.focal)
        return Window(
            rows,
            columns,
            (camera.columns[:, columns] - np.float32(camera.centre)) * metres - np.float32(x),
            np.float32(camera.above) - (camera.rows[rows] - np.float32(camera.horizon)) * metres,
            np.full((1, 1), z, np.float32),
            np.full((1, 1), metres, np.float32),
        )

    def alongside(self, x: float, near: float, far: float, low: float, high: float) -> Window | None:
        """An upright surface that runs along the street, `x` metres to the right; None where nothing of it is seen."""
        camera, scales = self.camera, (self.camera.focal / near, self.camera.focal / far)
        rows, columns = _pixels(
            camera,
            (
                camera.horizon + min(scale * (camera.above - high) for scale in scales),
                camera.horizon + scales[0] * (camera.above - low),
            ),
            (camera.centre + min(scale * x for scale in scales), camera.centre + max(scale * x for scale in scales)),
        )
        if rows is None or columns is None:
            return None
        away = camera.columns[:, columns] - np.float32(camera.centre)
        # Within half a pixel of the vanishing point the surface is seen edge on.
        ahead = np.float32(camera.focal * x) / np.where(np.abs(away) < 0.5, np.copysign(np.float32(0.5), x), away)
        ahead = np.clip(ahead, near, far).astype(np.float32)
        metres = ahead / np.float32(camera.focal)
        height = np.float32(camera.above) - (camera.rows[rows] - np.float32(camera.horizon)) * metres
        return Window(rows, columns, ahead, height, ahead, metres)

    def paint(
        self,
        window: Window,
        where: Bool[ndarray, "#m #n"],
        colour: Float[ndarray, "*shape 3"],
        label: int,
        opacity: float = 1.0,
    ) -> None:
        """Colours and labels the pixels `where` the window's surface is not behind what is there."""
        place = window.rows, window.columns
        depth = self.depth[place]
        visible = where & (window.depth <= depth)
        if not visible.any():
            return
        paint = colour if colour.ndim == 1 else np.broadcast_to(colour, (*visible.shape, 3))[visible]
        if opacity < 1:
            paint = opacity * paint + (1 - opacity) * self.rgb[place][visible]
        self.rgb[place][visible] = paint
        self.labels[place][visible] = label
        np.copyto(depth, window.depth, where=visible)


def _pixels(
    camera: Camera, rows: tuple[float, float], columns: tuple[float, float]
) -> tuple[slice | None, slice | None]:
    """The rows and columns between two places, those in part among them; None for none in the picture."""
    found: list[slice | None] = []
    for (first, last), length in ((rows, camera.height), (columns, camera.width)):
        start, stop = max(math.floor(first), 0), min(math.ceil(last), length)
        found.append(slice(start, stop) if start < stop else None)
    return found[0], found[1]


OCTAVES = ((2, 0.35), (6, 0.35), (20, 0.3))
"""Pixels of a blob, and its share, of the fine, the middling and the coarse part of a texture."""

BANK_SIDE = 1024
"""The bank is larger than a scene: each takes a piece of it."""


@functools.cache
def noise_bank() -> Float32[ndarray, "o s s"]:
    """For each octave a square of noise of mean 0 and deviation 1; the same everywhere."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(20)
    layers = []
    for blob, _ in OCTAVES:
        layer = gaussian_filter(random.standard_normal((BANK_SIDE, BANK_SIDE), np.float32), blob / 2, mode="wrap")
        layers.append((layer - layer.mean()) / layer.std())
    return np.stack(layers)


def noise(random: np.random.Generator, octave: int, size: tuple[int, int]) -> Float32[ndarray, "m n"]:
    """A random piece of one octave of the bank."""
    top, left = (int(random.integers(0, BANK_SIDE - side + 1)) for side in size)
    return noise_bank()[octave, top : top + size[0], left : left + size[1]]
