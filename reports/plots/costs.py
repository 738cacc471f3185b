"""Accuracy against one cost, with its Pareto front."""

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from reports.board import ORACLE, Board, Quantity, Row
from reports.house_style import MUTED, PAPER, canvas, render
from reports.numbers import scale, significant
from reports.plots.names import name_points
from reports.plots.plot import Plot, axis_label, log_axis, series, unit_of
from reports.plots.variants import brief_names
from reports.sheet import TITLES, title_of
from reports.text import label

LABELLED = 12
"""Points that carry their name: the front's and oracles, then by rank."""


def cost_plot(board: Board, cost: str, name: str) -> Plot | None:
    """The ranking metric against one cost; None where fewer than two rows that rank have both, or all cost the same.

    Oracles stand beside the front as stars.
    """
    ranking = board.ranking
    price = next((quantity for quantity in board.quantities if quantity.key == cost), None)
    places = [position for position, row in enumerate(board.rows) if cost in row.fronts]
    competing = len({board.rows[position].cells[cost].mean for position in places})
    if not ranking or not price or competing < 2:
        return None
    places += [position for position, row in enumerate(board.rows) if row.oracle and _has(row, ranking.key, cost)]
    rows = [board.rows[position] for position in places]
    raw = [row.cells[cost].mean or 0.0 for row in rows]
    divisor, unit = scale(price.unit, raw)
    priced = f"{TITLES[cost]} ({unit})" if unit else TITLES[cost]
    xs = [value / divisor for value in raw]
    ys = [row.cells[ranking.key].mean or 0.0 for row in rows]
    caption = f"{title_of(ranking)} against {TITLES[cost]}"
    title = f"{caption}, {label(board.title)}"
    best = [label(row.label) for row in rows if row.fronts.get(cost)]
    oracles = [label(row.label) for row in rows if row.oracle]
    description = (
        f"{len(rows) - len(oracles)} methods; {'up' if ranking.better == 'high' else 'down'} and left is better. "
        f"On the Pareto front, where no other is both better and cheaper: {', '.join(best[:LABELLED])}."
    )
    if oracles:
        description += f" Beside it, as a star, what uses what no method may use: {', '.join(oracles[:LABELLED])}."
    with canvas(name) as (figure, axes):
        if min(xs) > 0 and max(xs) / min(xs) > 5:
            log_axis(axes, "x", max(xs) / min(xs))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        front = [(x, y) for row, x, y in zip(rows, xs, ys, strict=True) if row.fronts.get(cost)]
        stairs = _stairs(front, ranking)
        axes.plot(*zip(*stairs, strict=True), color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
        bars = []
        for position, row, x, y in zip(places, rows, xs, ys, strict=True):
            colour, marker = series(position, row.oracle)
            if half := row.cells[ranking.key].half_width:
                axes.vlines(x, y - half, y + half, color=colour, linewidth=1, alpha=0.6)
                bars.append([(x, y - half), (x, y + half)])
            face = colour if row.fronts.get(cost) else PAPER
            axes.plot([x], [y], marker=marker, markersize=6, color=colour, markerfacecolor=face, linestyle="none")
        axes.margins(0.16, 0.14)
        axes.set_xlabel(f"{priced}, less is better")
        axes.set_ylabel(axis_label(ranking))
        told_first = [row.oracle or row.fronts[cost] for row in rows]
        named = sorted(range(len(rows)), key=lambda index: not told_first[index])[:LABELLED]
        names = brief_names(board)
        labelled = [(xs[i], ys[i], names[places[i]]) for i in named]
        name_points(axes, labelled, list(zip(xs, ys, strict=True)), [stairs, *bars])
        svg = render(figure, name, title, description)
    headers = ("method", title_of(ranking) + unit_of(ranking), priced, "on the front")
    table = tuple(
        (label(row.label), significant(y, 4), significant(x, 4), _on_front(row, cost))
        for row, x, y in zip(rows, xs, ys, strict=True)
    )
    return Plot(name, caption, title, description, svg, figure, headers, table)


def _has(row: Row, *keys: str) -> bool:
    return all(key in row.cells and row.cells[key].mean is not None for key in keys)


def _on_front(row: Row, cost: str) -> str:
    return ORACLE if row.oracle else "yes" if row.fronts[cost] else "no"


def _stairs(front: Sequence[tuple[float, float]], ranking: Quantity) -> list[tuple[float, float]]:
    """The corners of the line below which nothing is to be had: the best at each cost."""
    corners: list[tuple[float, float]] = []
    for x, y in sorted(front, key=lambda point: (point[0], point[1] if ranking.better == "high" else -point[1])):
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners
