"""What stands in a street: cars, people, bicyclists, trees, poles, signs, fences and boxes, in metres.

Each function paints one thing at (x, z) on a canvas. Shapes are crude, sizes are life's.
"""

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from tasks.segmentation.canvas import Canvas, Window, noise
from tasks.segmentation.classes import CAMVID_CLASSES, IGNORE

POLE, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = (
    CAMVID_CLASSES.index(name) for name in ("pole", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
)

Rng = np.random.Generator

DARK = np.array([28, 30, 34], np.float32)
GLASS = np.array([52, 62, 74], np.float32)
SKIN = np.array([[224, 178, 150], [176, 126, 96], [106, 72, 54]], np.float32)
PAINT = np.array(
    [
        [225, 225, 228],
        [28, 30, 34],
        [128, 130, 134],
        [176, 178, 182],
        [150, 26, 28],
        [34, 54, 112],
        [58, 84, 62],
        [196, 172, 60],
        [92, 78, 66],
    ],
    np.float32,
)
"""Of cars; clothes too have these, and any other."""
CLOTH = np.array([[60, 66, 84], [34, 34, 38], [120, 44, 46], [196, 192, 184], [70, 92, 66], [110, 104, 96]], np.float32)
PLATES = np.array(
    [[196, 40, 42], [38, 84, 168], [222, 190, 60], [236, 236, 232], [40, 120, 74], [224, 120, 48]], np.float32
)
STEEL = np.array([[120, 122, 122]], np.float32)
LEAVES = np.array([[64, 92, 44], [86, 104, 52], [48, 74, 46], [128, 110, 50], [104, 70, 44]], np.float32)


def pick(random: Rng, colours: Float32[ndarray, "k 3"], spread: float = 12.0) -> Float32[ndarray, "3"]:
    """One of some colours, a little off."""
    return np.clip(colours[random.integers(len(colours))] + random.normal(0, spread, 3), 8, 250).astype(np.float32)


def disc(window: Window, x: float, height: float, radius: float, stretch: float = 1.0) -> Bool[ndarray, "m n"]:
    """An ellipse, `stretch` times as high as it is wide."""
    return (window.along - x) ** 2 + ((window.height - height) / stretch) ** 2 <= max(
        radius, float(window.pixel.min()) / 2
    ) ** 2


def box(window: Window, x: float, half: float, low: float, high: float) -> Bool[ndarray, "m n"]:
    """An upright rectangle, at least a pixel wide."""
    half = max(half, float(window.pixel.min()) / 2)
    return (np.abs(window.along - x) <= half) & (window.height >= low) & (window.height <= high)


def limb(window: Window, start: tuple[float, float], end: tuple[float, float], half: float) -> Bool[ndarray, "m n"]:
    """A thick line between two points (x, height)."""
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    share = ((window.along - x) * dx + (window.height - y) * dy) / (dx * dx + dy * dy)
    share = np.clip(share, 0, 1)
    away = (window.along - x - share * dx) ** 2 + (window.height - y - share * dy) ** 2
    return away <= max(half, float(window.pixel.min()) / 2) ** 2


# Vehicles -------------------------------------------------------------------------------------------------------------


def car(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    """A car, van or bus seen from behind or in front, with the side that shows, and its shadow."""
    kind = random.choice(3, p=[0.78, 0.15, 0.07])
    half = (0.88, 0.98, 1.2)[kind] * random.uniform(0.95, 1.05)
    high = (1.46, 2.1, 2.95)[kind] * random.uniform(0.94, 1.06)
    length = (4.2, 5.0, 9.0)[kind]
    sill = (0.62, 0.55, 0.4)[kind] * high
    """Where the windows begin."""
    body = pick(random, PAINT)
    _shadow(canvas, x, z, half, length)
    side = x - half if x > 0 else x + half
    flank = canvas.alongside(side, z, z + length, 0.25, high) if abs(x) > half else None
    if flank is not None:
        share = (flank.along - z) / length
        # The bonnet and the boot are lower than the roof.
        roof = np.where((share < 0.12) | (share > 0.75 if kind == 0 else share > 2.0), sill + 0.25, high)
        canvas.paint(flank, flank.height <= roof, body * 0.72, CAR)
        glazed = (flank.height > sill + 0.08) & (flank.height < roof - 0.12) & (np.abs(share % 0.28 - 0.14) < 0.11)
        canvas.paint(flank, glazed, GLASS, CAR)
        wheel = (np.minimum(np.abs(share - 0.18), np.abs(share - 0.8)) * length) ** 2 + (flank.height - 0.32) ** 2
        canvas.paint(flank, wheel < 0.32**2, DARK, CAR)
    face = canvas.facing(x, z, half, 0.0, high)
    if face is None:
        return
    waist = half * np.where(face.height > sill, 1 - 0.16 * (face.height - sill) / (high - sill), 1.0)
    lower = (face.height >= 0.22) & (np.abs(face.along) <= waist)
    canvas.paint(face, lower, body * np.where(face.height > sill, 1.0, 0.92)[..., None], CAR)
    screen = (face.height > sill + 0.06) & (face.height < high - 0.12) & (np.abs(face.along) <= waist - 0.1)
    canvas.paint(face, screen, GLASS + 30 * random.random(), CAR)
    tyres = (np.abs(np.abs(face.along) - half + 0.13) <= 0.11) & (face.height <= 0.4)
    canvas.paint(face, tyres, DARK, CAR)
    lights = (np.abs(np.abs(face.along) - half + 0.2) <= 0.16) & (np.abs(face.height - sill + 0.12) <= 0.09)
    canvas.paint(face, lights, np.array([[190, 24, 22], [236, 232, 208]], np.float32)[random.integers(2)], CAR)
    canvas.paint(face, box(face, 0.0, 0.25, 0.42, 0.54), np.array([214, 208, 170], np.float32), CAR)


def crossing_car(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    """A car seen from its side."""
    window = canvas.facing(x, z, 2.1, 0.0, 1.5)
    if window is None:
        return
    body = pick(random, PAINT)
    turned = 1 if random.random() < 0.5 else -1
    along = turned * window.along
    hull = (np.abs(along) <= 2.1) & (window.height >= 0.25) & (window.height <= 0.92)
    slope = 0.55 * (window.height - 0.9)
    cabin = (along > -1.75 + slope) & (along < 1.0 - slope) & (window.height > 0.9) & (window.height < 1.46)
    canvas.paint(window, hull | cabin, body, CAR)
    glazed = (along > -1.6 + slope) & (along < 0.85 - slope) & (window.height > 0.96) & (window.height < 1.36)
    canvas.paint(window, glazed & (np.abs(along + 0.35) > 0.06), GLASS, CAR)
    for wheel in (-1.3, 1.3):
        canvas.paint(window, disc(window, wheel, 0.32, 0.33), DARK, CAR)
        canvas.paint(window, disc(window, wheel, 0.32, 0.15), np.array([140, 142, 146], np.float32), CAR)


def _shadow(canvas: Canvas, x: float, z: float, half: float, length: float) -> None:
    """Darkens the ground below; it stays what it is."""
    camera = canvas.camera
    window = canvas.facing(x, z - 0.3, half + 0.2, -0.02, 0.25)
    if window is None:
        return
    place = window.rows, window.columns
    across = (camera.columns[:, window.columns] - camera.centre) * canvas.depth[place] / camera.focal - x
    ahead = canvas.depth[place] - z
    below = (np.abs(across) < half + 0.12) & (ahead > -0.3) & (ahead < length)
    canvas.rgb[place][below] *= 0.45


# People ---------------------------------------------------------------------------------------------------------------


def pedestrian(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    tall = random.uniform(1.5, 1.9)
    window = canvas.facing(x, z, 0.5, 0.0, tall)
    if window is None:
        return
    trousers, coat = pick(random, CLOTH), pick(random, CLOTH if random.random() < 0.6 else PLATES, 25.0)
    stride = random.uniform(0.05, 0.2)
    for side in (-1, 1):
        leg = limb(window, (0.06 * side, 0.5 * tall), (stride * side, 0.04), 0.085)
        canvas.paint(window, leg, trousers, PEDESTRIAN)
        arm = limb(window, (0.19 * side, 0.78 * tall), (0.22 * side, 0.47 * tall), 0.06)
        canvas.paint(window, arm, coat * 0.85, PEDESTRIAN)
    canvas.paint(window, disc(window, 0.0, 0.65 * tall, 0.22, 0.2 * tall / 0.22), coat, PEDESTRIAN)
    canvas.paint(window, disc(window, 0.0, 0.93 * tall, 0.105, 1.2), pick(random, SKIN), PEDESTRIAN)
    if random.random() < 0.7:
        hair = disc(window, 0.0, 0.955 * tall, 0.105) & (window.height > 0.94 * tall)
        canvas.paint(window, hair, pick(random, CLOTH), PEDESTRIAN)
    if random.random() < 0.3:
        bag = box(window, 0.3, 0.12, 0.35 * tall, 0.5 * tall)
        canvas.paint(window, bag, pick(random, PAINT), PEDESTRIAN)


def bicyclist(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    """Someone on a bicycle; both are one class, as in CamVid."""
    window = canvas.facing(x, z, 1.0, 0.0, 1.85)
    if window is None:
        return
    coat, frame = pick(random, CLOTH if random.random() < 0.5 else PLATES, 25.0), pick(random, PAINT)
    seen_from_side = random.random() < 0.5
    # Seen along the street, a bicycle is a narrow thing.
    wide = 1.0 if seen_from_side else 0.14
    turned = wide * (1 if random.random() < 0.5 else -1)
    for hub in (-0.52, 0.52):
        rim = ((window.along - hub * turned) / max(wide, 0.16)) ** 2 + (window.height - 0.34) ** 2
        thin = max(0.05, float(window.pixel.min()) / 2)
        canvas.paint(window, np.abs(np.sqrt(rim) - 0.32) <= thin, DARK, BICYCLIST)
    for start, end in (((-0.52, 0.34), (-0.15, 0.9)), ((-0.15, 0.9), (0.42, 0.92)), ((0.42, 1.02), (0.52, 0.34))):
        tube = limb(window, (start[0] * turned, start[1]), (end[0] * turned, end[1]), 0.035)
        canvas.paint(window, tube, frame, BICYCLIST)
    for side in (-1, 1):
        foot = 0.06 * turned + (0.0 if seen_from_side else 0.14 * side)
        leg = limb(window, (-0.15 * turned, 0.95), (foot, 0.4 + 0.12 * side), 0.075)
        canvas.paint(window, leg, pick(random, CLOTH), BICYCLIST)
    back = limb(window, (-0.15 * turned, 0.98), (0.14 * turned, 1.42), 0.17)
    canvas.paint(window, back, coat, BICYCLIST)
    canvas.paint(window, limb(window, (0.14 * turned, 1.38), (0.42 * turned, 1.04), 0.055), coat * 0.85, BICYCLIST)
    canvas.paint(window, disc(window, 0.2 * turned, 1.62, 0.12, 1.15), pick(random, SKIN), BICYCLIST)
    if random.random() < 0.5:
        helmet = disc(window, 0.2 * turned, 1.66, 0.13) & (window.height > 1.64)
        canvas.paint(window, helmet, pick(random, PLATES), BICYCLIST)


# Things ---------------------------------------------------------------------------------------------------------------


def tree(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    """A trunk, and a crown with ragged edges and holes; or a bush. Both are of class tree."""
    leaves = pick(random, LEAVES)
    bush = random.random() < 0.25
    radius = random.uniform(0.5, 1.1) if bush else random.uniform(1.3, 2.9)
    middle = 0.7 * radius if bush else random.uniform(1.9, 2.9) + 0.9 * radius
    if not bush:
        window = canvas.facing(x, z, 0.3, 0.0, middle)
        if window is not None:
            trunk = box(window, 0.0, random.uniform(0.1, 0.22), 0.0, middle)
            canvas.paint(window, trunk, pick(random, np.array([[78, 66, 54], [104, 96, 84]], np.float32)), TREE)
    window = canvas.facing(x, z, 1.35 * radius, max(0.0, middle - 1.35 * radius), middle + 1.35 * radius)
    if window is None:
        return
    size = len(window.height), window.along.shape[1]
    rough = noise(random, 1, size)
    away = np.hypot(window.along, (window.height - middle) / random.uniform(0.85, 1.2)) / radius
    crown = away + 0.16 * rough < 1
    sparse = random.uniform(1.2, 2.4)
    holes = (noise(random, 0, size) > sparse) & (away > 0.35)
    lit = 0.85 + 0.3 * np.clip((window.height - middle) / radius, -1, 1) + 0.16 * rough
    canvas.paint(window, crown & ~holes, leaves * lit[..., None].astype(np.float32), TREE)


def pole(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    """A lamp post or a mast."""
    high = random.uniform(4.5, 8.5)
    window = canvas.facing(x, z, 1.5, 0.0, high)
    if window is None:
        return
    colour = pick(random, np.array([[96, 98, 100], [58, 62, 60], [150, 152, 150], [112, 92, 72]], np.float32))
    canvas.paint(window, box(window, 0.0, random.uniform(0.07, 0.12), 0.0, high), colour, POLE)
    if random.random() < 0.6:
        arm = (window.along * -np.sign(x) >= 0) & (window.along * -np.sign(x) <= 1.3)
        thin = max(0.06, float(window.pixel.min()) / 2)
        canvas.paint(window, arm & (np.abs(window.height - high + 0.15) <= thin), colour, POLE)


def sign(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    """A traffic sign, a board or a traffic light, on a pole of its own."""
    middle = random.uniform(2.1, 2.9)
    window = canvas.facing(x, z, 1.1, 0.0, middle + 0.7)
    if window is None:
        return
    canvas.paint(
        window, box(window, 0.0, 0.05, 0.0, middle), pick(random, np.array([[120, 122, 122]], np.float32)), POLE
    )
    kind = random.choice(["disc", "triangle", "board", "light"], p=[0.35, 0.2, 0.2, 0.25])
    plate = pick(random, PLATES)
    white = np.array([232, 230, 224], np.float32)
    if kind == "light":
        canvas.paint(window, box(window, 0.0, 0.2, middle - 0.5, middle + 0.5), DARK, SIGN)
        lamp = random.integers(3)
        glow = np.array([[60, 220, 140], [240, 190, 60], [240, 50, 40]], np.float32)[lamp]
        canvas.paint(window, disc(window, 0.0, middle + 0.3 * (lamp - 1), 0.11), glow, SIGN)
    elif kind == "disc":
        radius = random.uniform(0.32, 0.45)
        canvas.paint(window, disc(window, 0.0, middle, radius), plate, SIGN)
        canvas.paint(window, disc(window, 0.0, middle, 0.62 * radius), white, SIGN)
    elif kind == "triangle":
        inside = (window.height > middle - 0.4) & (np.abs(window.along) < 0.5 * (middle + 0.45 - window.height) / 0.85)
        canvas.paint(window, inside, plate, SIGN)
        smaller = (window.height > middle - 0.3) & (np.abs(window.along) < 0.5 * (middle + 0.2 - window.height) / 0.85)
        canvas.paint(window, smaller, white, SIGN)
    else:
        half = random.uniform(0.4, 1.0)
        canvas.paint(window, box(window, 0.0, half, middle - 0.4, middle + 0.4), plate, SIGN)
        canvas.paint(window, box(window, 0.0, 0.8 * half, middle - 0.12, middle + 0.12), white, SIGN)


def fence(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    """Rails along the street; one looks through, but the whole is the fence."""
    length, high = random.uniform(5, 18), random.uniform(0.85, 1.35)
    window = canvas.alongside(x, z, z + length, 0.0, high)
    if window is None:
        return
    colour = pick(random, np.array([[70, 72, 74], [150, 150, 146], [110, 84, 60], [44, 66, 54]], np.float32))
    whole = (window.height >= 0.0) & (window.height <= high)
    canvas.paint(window, whole, colour, FENCE, opacity=random.uniform(0.35, 0.75))
    posts = np.abs(window.along % 1.5 - 0.75) < np.maximum(0.07, window.pixel / 2)
    rails = np.minimum(np.abs(window.height - 0.93 * high), np.abs(window.height - 0.3 * high)) < np.maximum(
        0.04, window.pixel / 2
    )
    canvas.paint(window, whole & (posts | rails), colour, FENCE)


def unlabelled(canvas: Canvas, random: Rng, x: float, z: float) -> None:
    """A bin or a box, of no class that counts."""
    half, high = random.uniform(0.2, 0.5), random.uniform(0.6, 1.3)
    window = canvas.facing(x, z, half, 0.0, high)
    if window is not None:
        canvas.paint(window, box(window, 0.0, half, 0.0, high), pick(random, PAINT), IGNORE)
