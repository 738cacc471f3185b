"""Whether two quantities order the methods alike: one against the other, with their rank correlation."""

from matplotlib.ticker import MaxNLocator

from bench.stats import Association, association, correlation
from reports.board import Board, Quantity, Row
from reports.house_style import INK, canvas, render
from reports.numbers import fixed, significant
from reports.plots.names import name_points
from reports.plots.plot import Plot, axis_label, log_axis, series, unit_of
from reports.plots.variants import brief_names
from reports.sheet import title_of
from reports.text import label

LEAST = 5
"""Methods: the order of fewer is soon alike by chance."""

LABELLED = 12

ROUNDING = 1e-9


def same_order(board: Board, other: Quantity) -> bool:
    """Whether a quantity puts the methods in the very order of the ranking metric, or in the reverse."""
    points = _points(board, other)
    if len(points) < LEAST:
        return False
    value = correlation([x for *_, x, _ in points], [y for *_, y in points])
    return value is not None and abs(value) > 1 - ROUNDING


def agreement_plot(board: Board, other: Quantity, name: str) -> Plot | None:
    """The ranking metric over another quantity; None where fewer than five rows have both, or one is constant."""
    ranking = board.ranking
    if not ranking or ranking.key == other.key:
        return None
    points = _points(board, other)
    xs, ys = [x for *_, x, _ in points], [y for *_, y in points]
    rho = association(xs, ys) if len(points) >= LEAST else None
    if rho is None:
        return None
    told = _told(rho)
    caption = f"{title_of(ranking)} against {title_of(other)}, rank correlation {told}"
    title = f"{caption}, {label(board.title)}"
    description = (
        f"{len(points)} methods, means over seeds. Spearman's {told}; the interval is a bootstrap over methods, "
        "which takes them for a sample of all methods."
    )
    with canvas(name) as (figure, axes):
        axes.set_position((0.13, 0.16, 0.83, 0.73))
        if min(xs) > 0 and max(xs) / min(xs) > 100:
            log_axis(axes, "x", max(xs) / min(xs))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        bars = []
        for place, row, x, y in points:
            colour, marker = series(place)
            if half := row.cells[ranking.key].half_width:
                axes.vlines(x, y - half, y + half, color=colour, linewidth=1, alpha=0.6)
                bars.append([(x, y - half), (x, y + half)])
            if half := row.cells[other.key].half_width:
                axes.hlines(y, x - half, x + half, color=colour, linewidth=1, alpha=0.6)
                bars.append([(x - half, y), (x + half, y)])
            axes.plot([x], [y], marker=marker, markersize=6, color=colour, linestyle="none")
        axes.margins(0.16, 0.14)
        axes.set_xlabel(axis_label(other))
        axes.set_ylabel(axis_label(ranking))
        axes.set_title(told, loc="left", fontsize=9, color=INK)
        names = brief_names(board)
        labelled = [(x, y, names[place]) for place, _, x, y in points[:LABELLED]]
        name_points(axes, labelled, list(zip(xs, ys, strict=True)), bars)
        svg = render(figure, name, title, description)
    headers = ("method", title_of(other) + unit_of(other), title_of(ranking) + unit_of(ranking))
    table = tuple((label(row.label), significant(x, 4), significant(y, 4)) for _, row, x, y in points)
    return Plot(name, caption, title, description, svg, figure, headers, table)


def _points(board: Board, other: Quantity) -> list[tuple[int, Row, float, float]]:
    """Place, row, the other quantity and the ranking metric of each row that has both and is no oracle."""
    if not board.ranking:
        return []
    found = [
        (place, row, row.cells[other.key].mean, row.cells[board.ranking.key].mean)
        for place, row in enumerate(board.rows)
        if not row.oracle
    ]
    return [(place, row, x, y) for place, row, x, y in found if x is not None and y is not None]


def _told(rho: Association) -> str:
    """`ρ = 0.80 [0.20, 0.95], n = 8`."""
    interval = f" [{fixed(rho.low, 2)}, {fixed(rho.high, 2)}]" if rho.low is not None and rho.high is not None else ""
    return f"ρ = {fixed(rho.value, 2)}{interval}, n = {rho.n}"
