"""Which figures a report has: each only where the records have what it needs, and so many as a page can carry."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from bench.record import Record
from reports.board import Board
from reports.curves import Chart, charts, families
from reports.overall import Overall, overall
from reports.plots.ablation import ablation_plot
from reports.plots.agreement import agreement_plot, same_order
from reports.plots.costs import cost_plot
from reports.plots.energy import energy_plot
from reports.plots.learning import curve_plot
from reports.plots.order import order_plot
from reports.plots.panels import panel_plot
from reports.plots.plot import Plot
from reports.plots.variants import varied
from reports.ranking import FRONT_COSTS
from reports.sheet import TITLES
from reports.text import label, slug

OF_A_BOARD = 10
"""Figures of one board at most."""

AGREEMENTS = 2
"""Scatters of a board at most: of the ranking metric over the next metrics that order the methods otherwise. The same
metric of another network of the fit, `accuracy_source_selected` beside `accuracy`, has a column and no scatter."""

Draw = Callable[[str], Plot | None]
"""Draws a figure under a name, or finds that there is nothing to show."""


def figures_of(boards: Sequence[Board], records: Mapping[str, Record], most: int) -> list[tuple[list[Plot], str]]:
    """For each board its figures and a sentence on those that are missing; `most` in all, fewer a board if many.

    What is drawn over several data sets stands with the first board of these.
    """
    share = min(OF_A_BOARD, max(1, most // max(1, len(boards))))
    over = {id(one.boards[0]): one for one in overall(boards)}
    left = most
    drawn = []
    for number, board in enumerate(boards, 1):
        plots, sentences = _figures(board, over.get(id(board)), number, records, min(share, left))
        left -= len(plots)
        drawn.append((plots, " ".join(sentences)))
    return drawn


def _figures(
    board: Board, over: Overall | None, number: int, records: Mapping[str, Record], limit: int
) -> tuple[list[Plot], list[str]]:
    start = f"{number:02d}-{slug(board.task)}-{slug(board.dataset)}"
    plots: list[Plot] = []
    unseen = []
    for name, draw, curve in _wanted(board, over, records):
        if len(plots) == limit:
            unseen += [label(curve)] if curve else []
        elif plot := draw(f"{start}-{name}"):
            plots.append(plot)
    sentences = [
        f"No plot against {TITLES[cost]}: all rows cost the same." for cost in FRONT_COSTS if _all_alike(board, cost)
    ]
    if unseen:
        sentences.append(f"Curves not drawn: {', '.join(unseen[:20])}{' …' if len(unseen) > 20 else ''}.")
    return plots, sentences


def _all_alike(board: Board, cost: str) -> bool:
    prices = [row.cells[cost].mean for row in board.rows if cost in row.fronts]
    return len(prices) > 1 and len(set(prices)) == 1


def _wanted(board: Board, over: Overall | None, records: Mapping[str, Record]) -> Iterator[tuple[str, Draw, str]]:
    """Names, how to draw them, and of which curve if of one: first one of each kind, the most telling before others."""
    first, second, *others = FRONT_COSTS
    numbered = [
        (_curves(group, board, number), len(group)) for number, group in enumerate(families(charts(board, records)))
    ]
    curves = [wanted for wanted, size in numbered if size == 1]
    panels = [wanted for wanted, size in numbered if size > 1]
    metrics = [quantity for quantity in board.quantities if quantity.group == "metric"]
    others_than = f"{metrics[0].name}_" if metrics else ""
    telling = [
        other for other in metrics[1:] if not other.name.startswith(others_than) and not same_order(board, other)
    ]
    agreements: list[tuple[str, Draw, str]] = [
        (f"agreement-{number}", partial(agreement_plot, board, other), "")
        for number, other in enumerate(telling[:AGREEMENTS])
    ]
    yield _cost_name(first), partial(cost_plot, board, first), ""
    if over:
        yield "critical-difference", partial(order_plot, over), ""
    yield from curves[:1]
    yield _cost_name(second), partial(cost_plot, board, second), ""
    for number, method in enumerate(varied(board)):
        yield f"ablation-{number}", partial(ablation_plot, board, method, records), ""
    yield from agreements
    yield "energy-domains", partial(energy_plot, board, records), ""
    yield from panels
    yield from curves[1:]
    for cost in others:
        yield _cost_name(cost), partial(cost_plot, board, cost), ""


def _curves(group: Sequence[Chart], board: Board, number: int) -> tuple[str, Draw, str]:
    """One curve, or a family of them in one figure."""
    first = group[0]
    if first.family and not first.against:
        name = f"{first.origin}-{slug(first.family)}-{number}"
        return name, partial(panel_plot, group, board), first.family
    return f"{first.origin}-{slug(first.title)}-{number}", partial(curve_plot, first, board), first.title


def _cost_name(cost: str) -> str:
    return slug(cost.partition(".")[2])
