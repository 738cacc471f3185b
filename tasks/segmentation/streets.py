"""Street-like scenes, drawn from a seed: what the task offers where no data set is.

A flat, straight street between two rows of houses, seen by a pinhole camera: sky, houses with windows, road with
markings, pavement, and on it, at their size for their distance and hidden by what is nearer, trees, poles, signs,
fences, cars, pedestrians and bicyclists: CamVid's eleven classes, in shares as uneven as its own. Light, haze, shadows,
colours of all things and the camera's place are drawn for each scene, and no class has a colour of its own.

In every seventh scene in turn each of the seven rarer classes stands near by, so that seven scenes have them all.

h w pixels
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float32, UInt8
from numpy import ndarray

from bench.seeds import derive_seed
from tasks.segmentation import objects
from tasks.segmentation.canvas import Camera, Canvas, noise
from tasks.segmentation.classes import CAMVID_CLASSES, IGNORE
from tasks.segmentation.files import Part
from tasks.segmentation.objects import Rng, pick

NATIVE_HEIGHT = 360
NATIVE_WIDTH = 720
"""No scene is drawn larger."""

SKY, BUILDING, ROAD, PAVEMENT, TREE = (
    CAMVID_CLASSES.index(name) for name in ("sky", "building", "road", "pavement", "tree")
)

FAR = 90.0
"""Metres at which the rows of houses end."""

GABLE = 10.0
"""Metres that houses are deep."""

WALLS = np.array(
    [[150, 96, 76], [186, 178, 160], [122, 120, 118], [206, 196, 170], [96, 88, 84], [160, 140, 118], [126, 134, 140]],
    np.float32,
)
SKIES = np.array([[120, 160, 214], [190, 196, 202], [150, 156, 166], [206, 190, 176], [96, 132, 190]], np.float32)
GREYS = np.array([[92, 92, 94], [112, 110, 106], [74, 76, 82], [128, 124, 118]], np.float32)
FLAGS = np.array([[140, 136, 130], [116, 112, 108], [150, 126, 112], [100, 102, 106]], np.float32)

ROUGHNESS = np.array([2, 7, 5, 6, 7, 16, 4, 6, 4, 6, 6], np.float32)
"""Amplitude of each class's texture, of 255."""


def draw_part(name: str, number: int, size: tuple[int, int], seed: int) -> Part:
    """So many scenes of `size` (h, w); scene k depends on (seed, name, k, size) alone."""
    images = np.empty((number, 3, *size), np.uint8)
    labels = np.empty((number, *size), np.uint8)
    for place in range(number):
        random = np.random.default_rng(derive_seed(seed, "segmentation", "streets", name, place))
        image, labels[place] = draw_scene(random, size, place)
        images[place] = rearrange(image, "h w c -> c h w")
    return Part(torch.from_numpy(images), torch.from_numpy(labels))


def draw_scene(random: Rng, size: tuple[int, int], place: int) -> tuple[UInt8[ndarray, "h w 3"], UInt8[ndarray, "h w"]]:
    """One scene. Its `place` among others says which of the rarer classes stands near by."""
    height, width = size
    camera = Camera(
        height,
        width,
        focal=height * random.uniform(0.95, 1.25),
        horizon=height * random.uniform(0.4, 0.52),
        centre=width * random.uniform(0.4, 0.6),
        above=random.uniform(1.3, 1.8),
    )
    canvas = Canvas(camera, IGNORE)
    street = Street(random)
    hazy = _sky(canvas, random)
    _ground(canvas, random, street)
    _skyline(canvas, random)
    for side in (-1, 1):
        _houses(canvas, random, street.wall(side))
    _furnish(canvas, random, street)
    _near_by(canvas, random, place)
    return _developed(canvas, random, street, hazy), canvas.labels


class Street:
    """Where things are, in metres to the right of the camera."""

    def __init__(self, random: Rng) -> None:
        self.left = -random.uniform(2.6, 6.5)
        self.right = random.uniform(2.6, 6.5)
        """The kerbs."""
        self.pavements = random.uniform(1.6, 5.0, 2)
        """Their widths, left and right."""

    def kerb(self, side: int) -> float:
        return self.left if side < 0 else self.right

    def wall(self, side: int) -> float:
        """Where the houses stand."""
        return self.kerb(side) + side * float(self.pavements[(side + 1) // 2])


# What is always there -------------------------------------------------------------------------------------------------


def _sky(canvas: Canvas, random: Rng) -> Float32[ndarray, "3"]:
    """A gradient with clouds; returns the colour at the horizon."""
    camera = canvas.camera
    above = pick(random, SKIES)
    below = 0.35 * above + 0.65 * np.array([214, 216, 216], np.float32)
    share = np.clip(camera.rows / camera.horizon, 0, 1)[..., None]
    clouds = np.clip(noise(random, 2, (camera.height, camera.width)), 0, 2)[..., None] * random.uniform(0, 30)
    canvas.rgb[:] = (1 - share) * above + share * below + clouds
    canvas.labels[:] = SKY
    return below


def _ground(canvas: Canvas, random: Rng, street: Street) -> None:
    """Road with its markings, and pavement on both sides."""
    camera = canvas.camera
    first = min(camera.height - 1, math.floor(camera.horizon) + 1)
    rows = slice(first, camera.height)
    ahead = camera.focal * camera.above / np.maximum(camera.rows[rows] - camera.horizon, 0.3)
    across = (camera.columns - camera.centre) * ahead / camera.focal
    pixel = ahead / camera.focal
    canvas.depth[rows] = ahead
    on_road = (across > street.left) & (across < street.right)
    asphalt, flags = pick(random, GREYS), pick(random, FLAGS)
    paved = np.where(on_road[..., None], asphalt, flags).astype(np.float32)
    joints = (np.abs(ahead % 1.2 - 0.6) < 0.04) | (np.abs(across % 0.9 - 0.45) < 0.03)
    paved[joints & ~on_road & (ahead < 12)] *= 0.85
    paved += 10 * noise(random, 2, on_road.shape)[..., None]
    white = np.array([206, 204, 196], np.float32) * random.uniform(0.75, 1.1)
    marks = np.zeros(on_road.shape, np.float32)
    middle = (street.left + street.right) / 2 + random.uniform(-0.6, 0.6)
    dashed = (ahead + random.uniform(0, 6)) % 6 < random.uniform(2, 4)
    marks = np.maximum(marks, _line(across, middle, 0.08, pixel) * dashed)
    for side in (-1, 1):
        if random.random() < 0.5:
            marks = np.maximum(marks, _line(across, street.kerb(side) - 0.45 * side, 0.06, pixel))
    if random.random() < 0.3:
        begin = random.uniform(6, 25)
        marks = np.maximum(marks, (ahead > begin) & (ahead < begin + 3.2) & (across % 1.1 < 0.55))
    worn = np.clip(0.85 + 0.25 * noise(random, 0, on_road.shape), 0, 1)
    marks = (marks * on_road * worn)[..., None].astype(np.float32)
    paved = (1 - marks) * paved + marks * white
    for side in (-1, 1):
        edge = _line(across, street.kerb(side), 0.11, pixel)[..., None]
        paved = (1 - edge) * paved + edge * pick(random, FLAGS + 25)
    canvas.rgb[rows] = paved
    canvas.labels[rows] = np.where(on_road, ROAD, PAVEMENT)


def _line(
    across: Float32[ndarray, "m n"], x: float, half: float, pixel: Float32[ndarray, "m 1"]
) -> Float32[ndarray, "m n"]:
    """How much of each pixel a line along the street covers."""
    covered = np.clip((half - np.abs(across - x)) / pixel + 0.5, 0, 1) * np.minimum(1, 2 * half / pixel)
    return covered.astype(np.float32)


def _skyline(canvas: Canvas, random: Rng) -> None:
    """Houses and trees behind everything."""
    camera = canvas.camera
    metres = FAR / camera.focal
    blocks = np.repeat(random.uniform(3, 18, 64), random.integers(2, max(3, camera.width // 10), 64))[: camera.width]
    tops = np.zeros(camera.width)
    tops[: len(blocks)] = blocks
    shades = random.uniform(-25, 25, 64)[np.arange(camera.width) * 64 // camera.width]
    band = slice(0, min(camera.height, math.ceil(camera.horizon + camera.focal * camera.above / FAR)))
    height = camera.above - (camera.rows[band] - camera.horizon) * metres
    far = canvas.depth[band] > FAR
    houses = far & (height < tops)
    canvas.rgb[band][houses] = np.broadcast_to(pick(random, WALLS) + shades[:, None], (*houses.shape, 3))[houses]
    canvas.labels[band][houses] = BUILDING
    canvas.depth[band][houses] = FAR + 20
    # Blurred noise along the columns, as the outline of tree tops.
    outline = random.uniform(-2, 6) + 3.5 * noise(random, 2, (1, camera.width)) + noise(random, 1, (1, camera.width))
    trees = far & (height < outline)
    canvas.rgb[band][trees] = pick(random, objects.LEAVES)
    canvas.labels[band][trees] = TREE
    canvas.depth[band][trees] = FAR + 10


def _houses(canvas: Canvas, random: Rng, x: float) -> None:
    """A row of houses along one side, with gaps; fronts have windows, doors and a roof's edge."""
    ahead = random.uniform(-4, 4)
    shade, gaps = random.uniform(0.65, 1.1), random.uniform(0.1, 0.5)
    while ahead < FAR:
        length = random.uniform(6, 20)
        if random.random() < gaps:
            ahead += random.uniform(4, 16)
            continue
        begin, end = max(1.0, ahead), min(FAR, ahead + length)
        if end > begin:
            _house(canvas, random, x, (begin, end), shade)
        ahead += length


def _house(canvas: Canvas, random: Rng, x: float, reach: tuple[float, float], shade: float) -> None:
    high, storey, bay = random.uniform(4.0, 15), random.uniform(2.7, 3.4), random.uniform(1.6, 3.6)
    front = canvas.alongside(x, *reach, 0.0, high)
    wall = pick(random, WALLS, 18.0) * shade
    # The end wall of a house next to a gap faces the street.
    gable = canvas.facing(x + math.copysign(GABLE / 2, x), reach[0], GABLE / 2, 0.0, high)
    if gable is not None:
        canvas.paint(gable, (gable.height >= 0) & (gable.height <= high), wall * 0.85, BUILDING)
    if front is None:
        return
    inside = (front.height >= 0) & (front.height <= high)
    colour = np.broadcast_to(wall, (*inside.shape, 3)).copy()
    colour[(front.height > high - random.uniform(0.3, 2.2)) & inside] = pick(random, WALLS * 0.6)
    # Metres along the street that a pixel spans: windows narrower than it are but a mean.
    step = front.along**2 / (canvas.camera.focal * abs(x))
    fade = np.clip(1.6 - 2 * step / bay, 0, 1)[..., None]
    wide, tall = random.uniform(0.3, 0.7), random.uniform(0.4, 0.65)
    pane = (np.abs((front.along - reach[0]) % bay / bay - 0.5) < wide / 2) & (
        np.abs(front.height % storey / storey - 0.52) < tall / 2
    )
    pane = pane & (front.height < high - 0.8)
    glass = pick(random, np.array([[60, 70, 82], [40, 44, 50], [150, 168, 186], [120, 110, 90]], np.float32))
    colour = np.where(pane[..., None], fade * glass + (1 - fade) * (0.6 * wall + 0.4 * glass), colour)
    if random.random() < 0.4:
        shop = (front.height < 2.9) & (front.height > 0.5) & (front.along % 4.5 < 3.6)
        colour = np.where(shop[..., None], pick(random, objects.PAINT, 20.0), colour)
    canvas.paint(front, inside, colour.astype(np.float32), BUILDING)


# What stands about ----------------------------------------------------------------------------------------------------

Painter = Callable[[Canvas, Rng, float, float], None]


def _furnish(canvas: Canvas, random: Rng, street: Street) -> None:
    """Things at random, farther than what stands near by; a busy street has more of them."""
    busy = random.uniform(0.4, 1.6)
    for side in (-1, 1):
        kerb, wall = street.kerb(side), street.wall(side)
        outer, inner = kerb + 0.4 * side, kerb - 1.1 * side
        if random.random() < 0.6:
            _row(canvas, random, objects.tree, outer + 0.4 * side, random.uniform(7, 16))
        _row(canvas, random, objects.pole, outer, random.uniform(12, 28))
        if random.random() < 0.5:
            _row(canvas, random, objects.fence, kerb + random.choice([0.15, 0.95]) * (wall - kerb), 20.0)
        if random.random() < 0.5:
            _row(canvas, random, objects.car, inner, random.uniform(5.5, 12))
        for painter, mean in (
            (objects.sign, 1.2),
            (objects.tree, 0.6),
            (objects.unlabelled, 1.5),
            (objects.pedestrian, 1.8),
        ):
            for _ in range(random.poisson(busy * mean)):
                x = kerb + random.uniform(0.15, 0.85) * (wall - kerb)
                painter(canvas, random, x, _distance(random))
    for _ in range(random.poisson(1.6 * busy)):
        lane = random.choice([street.left, street.right]) * random.uniform(0.35, 0.6)
        objects.car(canvas, random, lane, _distance(random) + 2)
    for painter, mean in ((objects.crossing_car, 0.25), (objects.pedestrian, 0.5), (objects.bicyclist, 1.0)):
        for _ in range(random.poisson(busy * mean)):
            painter(canvas, random, random.uniform(street.left + 0.5, street.right - 0.5), _distance(random) + 1)


def _row(canvas: Canvas, random: Rng, painter: Painter, x: float, spacing: float) -> None:
    z = 7 + random.uniform(0, spacing)
    while z < 70:
        painter(canvas, random, x + random.normal(0, 0.15), z)
        z += spacing * random.uniform(0.8, 1.25)


def _distance(random: Rng) -> float:
    """Metres, from 7 to 60; near and far are equally likely by their ratio."""
    return 7 * (60 / 7) ** random.random()


NEAR_BY: tuple[tuple[Painter, float], ...] = (
    (objects.pole, 2.4),
    (objects.sign, 2.2),
    (objects.fence, 2.6),
    (objects.car, 1.7),
    (objects.pedestrian, 2.0),
    (objects.bicyclist, 1.6),
    (objects.tree, 2.6),
)
"""And how far to the side."""


def _near_by(canvas: Canvas, random: Rng, place: int) -> None:
    painter, aside = NEAR_BY[place % len(NEAR_BY)]
    painter(canvas, random, random.choice([-1, 1]) * aside * random.uniform(0.8, 1.1), random.uniform(5, 6.8))


# The photograph -------------------------------------------------------------------------------------------------------


def _developed(canvas: Canvas, random: Rng, street: Street, hazy: Float32[ndarray, "3"]) -> UInt8[ndarray, "h w 3"]:
    """Texture, a shadow over one side of the street, haze, exposure, softness and noise."""
    camera = canvas.camera
    size = camera.height, camera.width
    rough = np.append(ROUGHNESS, np.float32(5))[np.minimum(canvas.labels, len(ROUGHNESS))]
    rgb = canvas.rgb + (rough * (0.6 * noise(random, 0, size) + 0.4 * noise(random, 1, size)))[..., None]
    if random.random() < 0.55:
        side = int(random.choice([-1, 1]))
        edge = street.kerb(side) * random.uniform(-0.3, 0.9)
        across = (camera.columns - camera.centre) * np.minimum(canvas.depth, 1e3) / camera.focal
        shaded = np.clip((across - edge) * side / 0.3, 0, 1) * (canvas.depth < FAR)
        rgb *= (1 - random.uniform(0.25, 0.6) * shaded)[..., None]
    if random.random() < 0.8:
        thick = 1 - np.exp(-canvas.depth / random.uniform(60, 400))
        thick[canvas.labels == SKY] = 0
        rgb += thick[..., None] * (hazy - rgb)
    tint = random.uniform(0.9, 1.1, 3)
    rgb = 255 * np.clip(rgb / 255 * tint * random.uniform(0.6, 1.15), 0, 1) ** random.uniform(0.8, 1.25)
    rgb = _softened(rgb.astype(np.float32), random.uniform(0.1, 0.45))
    rgb += random.standard_normal((*size, 3), np.float32) * np.float32(random.uniform(2, 8))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _softened(rgb: Float32[ndarray, "h w 3"], share: float) -> Float32[ndarray, "h w 3"]:
    """Each pixel mixed with its four neighbours."""
    padded = np.pad(rgb, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return ((1 - share) * rgb + share / 4 * around).astype(np.float32)
