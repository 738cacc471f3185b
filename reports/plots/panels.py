"""Curves of one quantity for each of several things, a panel each: what a policy does in every part of a network."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.board import Board
from reports.curves import WHEN, Band, Chart, spread_of
from reports.house_style import DASHES, INK, OTHERS, canvas, render
from reports.numbers import significant
from reports.plots.learning import draw_band
from reports.plots.plot import LETTER, Plot, series
from reports.sheet import plain_name
from reports.text import label, printable, shortened

ACROSS = 3
PANEL = 76.0
"""Points from one row of panels to the next."""

GAP = 30.0
"""Of those, what lies between two panels: a title and the numbers of an axis."""

FOOT = 62.0
"""Points below the last panels: the axis and a line of names."""

HEAD = 18.0

NAME = 24

SHADES = (OTHERS, INK)
"""Of rows beyond the palette; the third grey of the house is an oracle's."""


def panel_plot(charts: Sequence[Chart], board: Board, name: str) -> Plot:
    """A panel for each member of a family of curves, on the same axes."""
    example = charts[0]
    family = plain_name(example.family, example.unit)
    caption = f"{family} of each of {len(charts)} {WHEN[example.origin]}"
    title = f"{caption}, {label(board.title)}"
    members = [plain_name(chart.member, "") for chart in charts]
    spread = spread_of([band for chart in charts for band in chart.bands])
    description = f"{spread}, by {label(example.x_name)}, a panel each for {', '.join(members)}."
    rows = -(-len(charts) // ACROSS)
    named = {band.position: band for chart in charts for band in chart.bands}
    bands = [named[position] for position in sorted(named)]
    colours = _colours(bands)
    with canvas(name, (HEAD + rows * PANEL + FOOT - GAP) / 72) as (figure, first):
        panels = [first, *(figure.add_axes((0, 0, 1, 1), sharex=first, sharey=first) for _ in charts[1:])]
        for number, (axes, chart, member) in enumerate(zip(panels, charts, members, strict=True)):
            _place(axes, figure, number)
            for band in reversed(chart.bands):
                draw_band(axes, band, colours[band.position])
            axes.set_title(shortened(member, NAME), loc="left", fontsize=8, color=INK, pad=3)
            axes.tick_params(labelleft=number % ACROSS == 0, labelbottom=number + ACROSS >= len(charts))
        first.margins(0.02, 0.06)
        first.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        first.yaxis.set_major_locator(MaxNLocator(3))
        figure.text(0.5, 30 / figure.bbox.height, label(example.axis_text), fontsize=8, ha="center", va="center")
        _legend(figure, bands, colours)
        svg = render(figure, name, title, description)
    headers = ("method", "of", "first", "mean", "last")
    return Plot(name, caption, title, description, svg, figure, headers, tuple(_facts(charts, members)))


def _place(axes: Axes, figure: Figure, number: int) -> None:
    width, height = figure.bbox.width, figure.bbox.height
    row, column = divmod(number, ACROSS)
    across = (width - 36) / ACROSS
    top = height - HEAD - row * PANEL
    axes.set_position(
        ((30 + column * across) / width, (top - PANEL + GAP) / height, (across - 10) / width, (PANEL - GAP) / height)
    )


def _colours(bands: Sequence[Band]) -> dict[int, str]:
    """By place on the board; rows beyond the palette, which are all grey elsewhere, in two shades by turns."""
    own = {band.position: series(band.position, band.oracle)[0] for band in bands}
    others = [position for position, colour in own.items() if colour == OTHERS]
    return own | {position: SHADES[number % len(SHADES)] for number, position in enumerate(others)}


def _legend(figure: Figure, bands: Sequence[Band], colours: Mapping[int, str]) -> None:
    """Names below the panels, in the order of the ranks, as many as the line holds."""
    x, height = 30.0, 10 / figure.bbox.height
    for band in bands:
        _, marker = series(band.position, band.oracle)
        text = shortened(printable(band.label[:200]), NAME)
        needed = LETTER * len(text) + 37
        if x + needed > figure.bbox.width:
            return
        ends = [x / figure.bbox.width, (x + 18) / figure.bbox.width]
        key = Line2D(ends, [height, height], color=colours[band.position], marker=marker, markersize=4.5, markevery=[1])
        key.set(linestyle=DASHES[band.position % len(DASHES)], transform=figure.transFigure)
        figure.add_artist(key)
        figure.text((x + 25) / figure.bbox.width, height, text, fontsize=8, color=INK, va="center")
        x += needed


def _facts(charts: Sequence[Chart], members: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for chart, member in zip(charts, members, strict=True):
        for band in chart.bands:
            told = (band.means[0], sum(band.means) / len(band.means), band.means[-1])
            yield (label(band.label), member, *(significant(value, 3) for value in told))
