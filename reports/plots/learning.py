"""Curves of a board: a mean with its band for each row."""

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.board import MARKS, Board
from reports.curves import WHEN, Band, Chart, spread_of
from reports.house_style import DASHES, INK, MUTED, OTHERS, SERIES, canvas, render
from reports.numbers import along, significant
from reports.plots.plot import Plot, log_axis, series
from reports.sheet import plain_name
from reports.text import label, printable, shortened

DRAWN = 12
"""Curves in one figure at most, the best ranked; all are in its table."""

TABLE_ROWS = 13
"""Points of a curve in the table beside it, evenly picked, the ends included."""


def curve_plot(chart: Chart, board: Board, name: str) -> Plot:
    """A mean with its band for each row; rows beyond the palette are grey and unnamed."""
    quantity = plain_name(chart.name, chart.unit)
    caption = f"{quantity} {WHEN[chart.origin]}" + (f", against {chart.against}" if chart.against else "")
    title = f"{caption}, {label(board.title)}"
    ends = "; ".join(
        f"{label(band.label)} ends at {significant(band.means[-1])}" for band in chart.bands[: len(SERIES)]
    )
    description = f"{spread_of(chart.bands)}, {'against' if chart.against else 'by'} {label(chart.axis_text)}. {ends}."
    if chart.left_out:
        description += f" Without that cost, so not drawn: {', '.join(map(label, chart.left_out[:DRAWN]))}."
    with canvas(name) as (figure, axes):
        axes.set_position((0.13, 0.16, 0.60, 0.79))
        for band in reversed(chart.bands[:DRAWN]):
            draw_band(axes, band)
        values = [value for band in chart.bands for value in band.means]
        if min(values) > 0 and max(values) / min(values) > 1000:
            log_axis(axes, "y", max(values) / min(values))
        axes.margins(0.02, 0.06)
        xs = [x for band in chart.bands for x in band.drawn_x]
        if chart.log_x:
            log_axis(axes, "x", max(xs) / min(xs))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=all(x == int(x) for x in xs)))
        axes.set_xlabel(label(chart.axis_text))
        axes.set_ylabel(f"{quantity} ({label(chart.unit)})" if chart.unit else quantity)
        _name_ends(figure, axes, chart.bands)
        svg = render(figure, name, title, description)
    headers = (label(chart.x_name), *(label(band.label) for band in chart.bands))
    return Plot(name, caption, title, description, svg, figure, headers, tuple(_curve_rows(chart)))


def draw_band(axes: Axes, band: Band, lines: str | None = None) -> None:
    """A mean with its band, and a marker at its end; `lines` is a colour that is not the row's own."""
    colour, marker = series(band.position, band.oracle)
    if band.half_widths and colour != OTHERS:
        low = [mean - half for mean, half in zip(band.means, band.half_widths, strict=True)]
        high = [mean + half for mean, half in zip(band.means, band.half_widths, strict=True)]
        axes.fill_between(band.drawn_x, low, high, color=colour, alpha=0.16, linewidth=0)
    dash = DASHES[band.position % len(DASHES)]
    shown = marker if len(band.x) == 1 else None
    drawn = lines or colour
    axes.plot(band.drawn_x, band.means, color=drawn, linestyle=dash, marker=shown)
    axes.plot(band.drawn_x[-1:], band.means[-1:], color=drawn, marker=marker, markersize=4.5, linestyle="none")


def _name_ends(figure: Figure, axes: Axes, bands: Sequence[Band]) -> None:
    """Names at the right, beside the ends of their curves, pushed apart where these meet."""
    named = list(enumerate(bands))[: len(SERIES)]
    axes.autoscale_view()
    bottom, top = axes.get_window_extent().ymin, axes.get_window_extent().ymax
    gap = 12
    heights = {}
    for index, band in named:
        height = axes.transData.transform((band.drawn_x[-1], band.means[-1]))[1]
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
        colour, marker = series(bands[index].position, bands[index].oracle)
        y = (spread[index] - overshoot) / figure.bbox.height
        x = (right + 9) / figure.bbox.width
        key = Line2D([x], [y], color=colour, marker=marker, markersize=4.5, transform=figure.transFigure)
        figure.add_artist(key)
        figure.text(x + 0.02, y, shortened(printable(bands[index].label[:200]), 16), fontsize=8, color=INK, va="center")
    if len(bands) > len(named):
        figure.text(
            right / figure.bbox.width + 0.02, 0.03, f"and {len(bands) - len(named)} more", fontsize=8, color=MUTED
        )


def _curve_rows(chart: Chart) -> Iterable[tuple[str, ...]]:
    """The points of the longest curve, thinned; a row that has no such point is left blank there."""
    xs = max((band.x for band in chart.bands), key=len)
    picked = sorted({round(index * (len(xs) - 1) / (TABLE_ROWS - 1)) for index in range(TABLE_ROWS)})
    for x in (xs[index] for index in picked):
        yield (along(x, 6), *(_point(band, x, bool(chart.against)) for band in chart.bands))


def _point(band: Band, x: float, priced: bool) -> str:
    """`−12.3 ± 0.4`, and where the point lies along a cost: `−12.3 ± 0.4 at 1.5`."""
    if x not in band.x:
        return MARKS["not run"]
    index = band.x.index(x)
    told = significant(band.means[index])
    told += f" ± {significant(band.half_widths[index], 2)}" if band.half_widths else ""
    return f"{told} at {significant(band.drawn_x[index])}" if priced else told
