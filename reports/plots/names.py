"""Names beside points, where they collide with nothing."""

import itertools
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from reports.house_style import INK, MUTED
from reports.plots.plot import LETTER

HEIGHT = 9.0
"""Points from the foot of a name to its head."""

RINGS = (6.0, 16.0, 28.0)
"""Points from a point to its name: the next ring is tried where the one before has no free place."""

LED = 10.0
"""From this distance on a thin line leads from the name to its point."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def name_points(
    axes: Axes, named: Sequence[tuple[float, float, str]], points: Sequence[Point], lines: Sequence[Sequence[Point]]
) -> None:
    """Puts each name beside its point where it meets no other name and, if it can be, no point and no line.

    Whatever is drawn is in `points` and in `lines`, whose pieces are upright or level. A name without a place is left
    out: the table has it.
    """
    axes.autoscale_view()
    drawn: list[Box] = []
    for x, y in (axes.transData.transform(point) for point in points):
        drawn.append((x - 4, y - 4, x + 4, y + 4))
    for line in lines:
        corners = [axes.transData.transform(corner) for corner in line]
        for (x1, y1), (x2, y2) in itertools.pairwise(corners):
            drawn.append((min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1))
    left, bottom, right, top = axes.get_window_extent().extents
    names: list[Box] = []
    for x, y, name in named:
        px, py = axes.transData.transform((x, y))
        width = LETTER * len(name) + 2
        inside = [
            (ring, box)
            for ring, box in _places(px, py, width)
            if left + 3 <= box[0] and box[2] <= right + 8 and bottom <= box[1] and box[3] <= top
        ]
        free = [(ring, box) for ring, box in inside if not any(_overlap(box, other) for other in names)]
        if not free:
            continue
        ring, box = min(free, key=lambda place: sum(_overlap(place[1], other) for other in drawn))
        names.append(box)
        if ring >= LED:
            near = (min(max(px, box[0]), box[2]), min(max(py, box[1]), box[3]))
            axes.annotate(
                "",
                near,
                (px, py),
                xycoords="figure points",
                textcoords="figure points",
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 4, "shrinkB": 0},
            )
        axes.annotate(
            name, (box[0], box[1] + 1.5), xycoords="figure points", fontsize=8, color=INK, annotation_clip=False
        )


def _places(x: float, y: float, width: float) -> Iterator[tuple[float, Box]]:
    """Boxes around a point, the nearest and most usual first."""
    for ring in RINGS:
        slant = ring - 1
        for u, v in (
            (x + ring, y - HEIGHT / 2),
            (x - ring - width, y - HEIGHT / 2),
            (x - width / 2, y + ring),
            (x - width / 2, y - ring - HEIGHT),
            (x + slant, y + slant),
            (x + slant, y - slant - HEIGHT),
            (x - slant - width, y + slant),
            (x - slant - width, y - slant - HEIGHT),
        ):
            yield ring, (u, v, u + width, v + HEIGHT)


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
