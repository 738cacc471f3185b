"""The figures of a board: accuracy against cost with its Pareto front, and curves with bands over seeds."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from reports.board import MARKS, Board, Quantity
from reports.curves import Band, Chart
from reports.house_style import DASHES, INK, MARKERS, MUTED, OTHERS, PAPER, SERIES, canvas, render
from reports.numbers import scale, significant
from reports.sheet import TITLES, plain_name, title_of
from reports.text import label, printable, shortened

LABELLED = 12
"""Points of a scatter that carry their name: the front's, then by rank."""

NAME = 26
"""Longest name inside a figure, in characters."""

DRAWN = 12
"""Curves in one figure at most, the best ranked; all are in its table."""

TABLE_ROWS = 13
"""Points of a curve in the table beside it, evenly picked, the ends included."""


@dataclass(frozen=True)
class Plot:
    """A figure with the same facts in words and as a table."""

    name: str
    """File name without its ending; also in front of its ids."""
    caption: str
    title: str
    """The caption, and of which board it is."""
    description: str
    svg: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


# Accuracy against cost ------------------------------------------------------------------------------------------------


def cost_plot(board: Board, cost: str, name: str) -> Plot | None:
    """The ranking metric against one cost; None where fewer than two rows have both or all cost the same."""
    ranking = board.ranking
    price = next((quantity for quantity in board.quantities if quantity.key == cost), None)
    places = [position for position, row in enumerate(board.rows) if cost in row.fronts]
    rows = [board.rows[position] for position in places]
    raw = [row.cells[cost].mean or 0.0 for row in rows]
    if not ranking or not price or len(set(raw)) < 2:
        return None
    divisor, unit = scale(price.unit, raw)
    priced = f"{TITLES[cost]} ({unit})" if unit else TITLES[cost]
    xs = [value / divisor for value in raw]
    ys = [row.cells[ranking.key].mean or 0.0 for row in rows]
    caption = f"{title_of(ranking)} against {TITLES[cost]}"
    title = f"{caption}, {label(board.title)}"
    best = [label(row.label) for row in rows if row.fronts[cost]]
    description = (
        f"{len(rows)} methods; {'up' if ranking.better == 'high' else 'down'} and left is better. "
        f"On the Pareto front, where no other is both better and cheaper: {', '.join(best[:LABELLED])}."
    )
    with canvas(name) as (figure, axes):
        if min(xs) > 0 and max(xs) / min(xs) > 5:
            _log_axis(axes, "x", max(xs) / min(xs))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        front = [(x, y) for row, x, y in zip(rows, xs, ys, strict=True) if row.fronts[cost]]
        stairs = _stairs(front, ranking)
        axes.plot(*zip(*stairs, strict=True), color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
        for position, row, x, y in zip(places, rows, xs, ys, strict=True):
            colour, marker = _series(position)
            half = row.cells[ranking.key].half_width
            if half:
                axes.vlines(x, y - half, y + half, color=colour, linewidth=1, alpha=0.6)
            face = colour if row.fronts[cost] else PAPER
            axes.plot([x], [y], marker=marker, markersize=6, color=colour, markerfacecolor=face, linestyle="none")
        axes.margins(0.16, 0.14)
        axes.set_xlabel(f"{priced}, less is better")
        axes.set_ylabel(_axis_label(ranking))
        named = sorted(range(len(rows)), key=lambda index: not rows[index].fronts[cost])[:LABELLED]
        _name_points(axes, [(xs[i], ys[i], rows[i].label) for i in named], list(zip(xs, ys, strict=True)), stairs)
        svg = render(figure, name, title, description)
    headers = ("method", title_of(ranking) + _unit(ranking), priced, "on the front")
    table = tuple(
        (label(row.label), significant(y, 4), significant(x, 4), "yes" if row.fronts[cost] else "no")
        for row, x, y in zip(rows, xs, ys, strict=True)
    )
    return Plot(name, caption, title, description, svg, headers, table)


def _stairs(front: Sequence[tuple[float, float]], ranking: Quantity) -> list[tuple[float, float]]:
    """The corners of the line below which nothing is to be had: the best at each cost."""
    corners: list[tuple[float, float]] = []
    for x, y in sorted(front, key=lambda point: (point[0], point[1] if ranking.better == "high" else -point[1])):
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _name_points(
    axes: Axes,
    named: Sequence[tuple[float, float, str]],
    points: Sequence[tuple[float, float]],
    stairs: Sequence[tuple[float, float]],
) -> None:
    """Puts each name beside its point where it meets no other name, point or line, if there is such a place."""
    axes.autoscale_view()
    taken = []
    for x, y in points:
        px, py = axes.transData.transform((x, y))
        taken.append((px - 4, py - 4, px + 4, py + 4))
    corners = [tuple(axes.transData.transform(corner)) for corner in stairs]
    for (x1, y1), (x2, y2) in itertools.pairwise(corners):
        taken.append((min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1))
    left, bottom, right, top = axes.get_window_extent().extents
    for x, y, text in named:
        name = shortened(printable(text[:200]), NAME)
        px, py = axes.transData.transform((x, y))
        width, height = 4.3 * len(name) + 2, 9.0
        places = [
            (px + 6, py - height / 2),
            (px - 6 - width, py - height / 2),
            (px - width / 2, py + 6),
            (px - width / 2, py - 6 - height),
            (px + 5, py + 5),
            (px + 5, py - 5 - height),
            (px - 5 - width, py + 5),
            (px - 5 - width, py - 5 - height),
        ]
        boxes = [(u, v, u + width, v + height) for u, v in places]
        inside = [
            box for box in boxes if left + 3 <= box[0] and box[2] <= right + 8 and bottom <= box[1] and box[3] <= top
        ]
        box = min(inside or boxes[:1], key=lambda box: sum(_overlap(box, other) for other in taken))
        taken.append(box)
        axes.annotate(
            name,
            (box[0], box[1] + 1.5),
            xycoords="figure pixels",
            fontsize=8,
            color=INK,
            annotation_clip=False,
        )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


# Curves ---------------------------------------------------------------------------------------------------------------


def curve_plot(chart: Chart, board: Board, name: str) -> Plot:
    """A mean with its band for each row; rows beyond the palette are grey and unnamed."""
    when = "during fit" if chart.origin == "fit" else "at evaluation"
    quantity = plain_name(chart.name, chart.unit)
    caption = f"{quantity} {when}"
    title = f"{caption}, {label(board.title)}"
    several = max(band.n for band in chart.bands)
    spread = f"Mean and 95 % band over {several} seeds" if several > 1 else "One seed"
    ends = "; ".join(
        f"{label(band.label)} ends at {significant(band.means[-1])}" for band in chart.bands[: len(SERIES)]
    )
    description = f"{spread}, by {label(chart.x_name)}. {ends}."
    with canvas(name) as (figure, axes):
        axes.set_position((0.13, 0.16, 0.60, 0.79))
        for band in reversed(chart.bands[:DRAWN]):
            _draw_band(axes, band)
        values = [value for band in chart.bands for value in band.means]
        if min(values) > 0 and max(values) / min(values) > 1000:
            _log_axis(axes, "y", max(values) / min(values))
        axes.margins(0.02, 0.06)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=all(x == int(x) for band in chart.bands for x in band.x)))
        axes.set_xlabel(label(chart.x_name))
        axes.set_ylabel(f"{quantity} ({label(chart.unit)})" if chart.unit else quantity)
        _name_ends(figure, axes, chart.bands)
        svg = render(figure, name, title, description)
    headers = (label(chart.x_name), *(label(band.label) for band in chart.bands))
    return Plot(name, caption, title, description, svg, headers, tuple(_curve_rows(chart.bands)))


def _draw_band(axes: Axes, band: Band) -> None:
    colour, marker = _series(band.position)
    if band.half_widths and colour != OTHERS:
        low = [mean - half for mean, half in zip(band.means, band.half_widths, strict=True)]
        high = [mean + half for mean, half in zip(band.means, band.half_widths, strict=True)]
        axes.fill_between(band.x, low, high, color=colour, alpha=0.16, linewidth=0)
    dash = DASHES[band.position % len(DASHES)]
    shown = marker if len(band.x) == 1 else None
    axes.plot(band.x, band.means, color=colour, linestyle=dash, marker=shown)
    axes.plot(band.x[-1:], band.means[-1:], color=colour, marker=marker, markersize=4.5, linestyle="none")


def _name_ends(figure: Figure, axes: Axes, bands: Sequence[Band]) -> None:
    """Names at the right, beside the ends of their curves, pushed apart where these meet."""
    named = list(enumerate(bands))[: len(SERIES)]
    axes.autoscale_view()
    bottom, top = axes.get_window_extent().ymin, axes.get_window_extent().ymax
    gap = 12
    heights = {}
    for index, band in named:
        height = axes.transData.transform((band.x[-1], band.means[-1]))[1]
        heights[index] = min(max(float(height), bottom), top) if math.isfinite(height) else bottom
    order = sorted(heights, key=lambda index: heights[index])
    spread: dict[int, float] = {}
    level = -math.inf
    for index in order:
        level = max(heights[index], level + gap)
        spread[index] = level
    overshoot = max(0.0, level - top)
    right = axes.get_window_extent().xmax
    for index in order:
        colour, marker = _series(bands[index].position)
        y = (spread[index] - overshoot) / figure.bbox.height
        x = (right + 9) / figure.bbox.width
        key = Line2D([x], [y], color=colour, marker=marker, markersize=4.5, transform=figure.transFigure)
        figure.add_artist(key)
        figure.text(x + 0.02, y, shortened(printable(bands[index].label[:200]), 20), fontsize=8, color=INK, va="center")
    if len(bands) > len(named):
        figure.text(
            right / figure.bbox.width + 0.02, 0.03, f"and {len(bands) - len(named)} more", fontsize=8, color=MUTED
        )


def _curve_rows(bands: Sequence[Band]) -> Iterable[tuple[str, ...]]:
    """The points of the longest curve, thinned; a row that has no such point is left blank there."""
    xs = max((band.x for band in bands), key=len)
    picked = sorted({round(index * (len(xs) - 1) / (TABLE_ROWS - 1)) for index in range(TABLE_ROWS)})
    for x in (xs[index] for index in picked):
        yield (significant(x, 6), *(_point(band, x) for band in bands))


def _point(band: Band, x: float) -> str:
    if x not in band.x:
        return MARKS["not run"]
    index = band.x.index(x)
    mean = significant(band.means[index])
    return f"{mean} ± {significant(band.half_widths[index], 2)}" if band.half_widths else mean


# Both -----------------------------------------------------------------------------------------------------------------


def _series(index: int) -> tuple[str, str]:
    """Colour and marker of a row."""
    return (SERIES[index], MARKERS[index]) if index < len(SERIES) else (OTHERS, "o")


def _axis_label(quantity: Quantity) -> str:
    return f"{title_of(quantity)}{_unit(quantity)}, {'more' if quantity.better == 'high' else 'less'} is better"


def _unit(quantity: Quantity) -> str:
    return f" ({label(quantity.unit)})" if quantity.unit else ""


def _log_axis(axes: Axes, which: Literal["x", "y"], span: float) -> None:
    """Powers of ten, written as such; below three of them twice and five times each as well, lest one tick stand alone.

    `span` is the largest value over the smallest.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0,) if span > 1000 else (1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: significant(value, 1)))
    axis.set_minor_formatter(NullFormatter())
