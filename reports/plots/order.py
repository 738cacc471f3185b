"""The critical-difference diagram: methods along their average ranks, and bars over those that cannot be told apart."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from reports.house_style import INK, MUTED, SERIES, WIDTH, canvas, render
from reports.numbers import significant
from reports.overall import Overall, Standing
from reports.plots.plot import LETTER, Plot
from reports.text import label, printable, shortened

DRAWN = 20
"""Methods in the diagram at most, the best; all are in its table."""

NAME = 18
"""Longest name in the diagram, in characters."""

TOP = 44.0
"""Points from the upper edge to the axis: room for its numbers and the ruler."""
STEP = 15.0
"""Points from one name to the next, and from the axis to the first bar."""
BAR = 6.0
"""Points from one bar to the next."""


def order_plot(overall: Overall, name: str) -> Plot | None:
    """None where there is no critical difference: fewer than three methods."""
    test = overall.test
    if test.critical is None or test.p is None:
        return None
    shown = overall.standings[:DRAWN]
    bars = [group for group in ([p for p in clique if p < len(shown)] for clique in overall.cliques) if len(group) > 1]
    caption = f"critical difference over {test.blocks} data sets"
    title = f"{caption}, {label(overall.title)}"
    level = ", ".join(label(one.label) for one in overall.standings if one.level)
    p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}"
    description = (
        f"Average ranks, 1 is best; Friedman's test {p}. Ranks that differ by less than {significant(test.critical)} "
        f"cannot be told apart (Nemenyi); a bar joins such methods. Not to be told from the best: {level}."
    )
    rows = math.ceil(len(shown) / 2)
    depth = TOP + STEP + BAR * len(bars) + STEP * rows + 6
    width = 72 * WIDTH
    left_margin, right_margin = _margin(shown[:rows]), _margin(shown[rows:])
    with canvas(name, depth / 72) as (figure, axes):
        axes.set_position((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(depth, 0)
        axes.set_axis_off()
        most = len(overall.standings) if len(overall.standings) <= DRAWN else math.ceil(shown[-1].average_rank)
        scale = (width - left_margin - right_margin) / max(most - 1, 1)

        def across(rank: float) -> float:
            return left_margin + (rank - 1) * scale

        _axis(axes, most, across(1), scale)
        _ruler(axes, test.critical * scale, test.critical, left_margin)
        for number, bar in enumerate(bars):
            y = TOP + 9 + BAR * number
            ends = [across(shown[bar[0]].average_rank) - 3, across(shown[bar[-1]].average_rank) + 3]
            axes.plot(ends, [y, y], color=SERIES[0], linewidth=3.2, solid_capstyle="butt")
        first = TOP + STEP + BAR * len(bars) + 4
        for place, one in enumerate(shown):
            # The better half is named at the left, from the top down; the other at the right, from the bottom up.
            left = place < rows
            height = first + STEP * (place if left else len(shown) - 1 - place)
            edge = left_margin - 6 if left else width - right_margin + 6
            _name(axes, one, across(one.average_rank), height, left, edge)
        svg = render(figure, name, title, description)
    headers = ("method", "average rank", *(label(board.dataset) for board in overall.boards))
    table = tuple(
        (label(one.label), f"{one.average_rank:.2f}", *(f"{rank:g}" for rank in one.ranks)) for one in overall.standings
    )
    return Plot(name, caption, title, description, svg, figure, headers, table)


def _brief(one: Standing) -> str:
    return shortened(printable(one.label[:200]), NAME)


def _margin(standings: Sequence[Standing]) -> float:
    """Room for names at one side: letters of a bold one are wider; six more are the rank's."""
    return 1.1 * LETTER * (max((len(_brief(one)) for one in standings), default=0) + 6) + 12


def _axis(axes: Axes, most: int, start: float, scale: float) -> None:
    axes.plot([start, start + (most - 1) * scale], [TOP, TOP], color=INK, linewidth=1)
    every = max(1, math.ceil(most / 10))
    for rank in range(1, most + 1):
        x = start + (rank - 1) * scale
        axes.plot([x, x], [TOP - (4 if (rank - 1) % every == 0 else 2), TOP], color=INK, linewidth=1)
        if (rank - 1) % every == 0:
            axes.text(x, TOP - 6, str(rank), ha="center", va="bottom", fontsize=8, color=MUTED)
    axes.text(72 * WIDTH - 8, 4, "average rank, 1 is best", ha="right", va="top", fontsize=8, color=MUTED)


def _ruler(axes: Axes, length: float, critical: float, margin: float) -> None:
    """The critical difference to scale, as long as the figure at most."""
    end = min(margin + length, 72 * WIDTH - 8)
    axes.plot([margin, end], [18, 18], color=INK, linewidth=1)
    for x in (margin, end):
        axes.plot([x, x], [15, 21], color=INK, linewidth=1)
    axes.text(margin, 4, f"CD = {significant(critical)}", ha="left", va="top", fontsize=8, color=INK)


def _name(axes: Axes, one: Standing, x: float, height: float, left: bool, edge: float) -> None:
    """A line down from the method's rank, then out to its name beside the axis, where no other line runs."""
    name, rank = _brief(one), f"{one.average_rank:.2f}"
    axes.plot([x, x, edge], [TOP, height, height], color=MUTED, linewidth=0.8, solid_joinstyle="miter")
    axes.plot([x], [TOP], marker="o", markersize=3.5, color=INK, linestyle="none", zorder=3)
    axes.text(
        edge - 3 if left else edge + 3,
        height,
        f"{name}  {rank}" if left else f"{rank}  {name}",
        ha="right" if left else "left",
        va="center_baseline",
        fontsize=8,
        color=INK,
        fontweight="bold" if one.level else "normal",
    )
