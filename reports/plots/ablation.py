"""What each setting of a method does: its variants on one board against the one that they all vary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from bench.record import Record
from bench.stats import Difference, paired_difference
from reports.board import Board, Quantity, Row
from reports.house_style import INK, OTHERS, SERIES, canvas, render
from reports.numbers import decimals, fixed, signed
from reports.plots.plot import LETTER, Plot, unit_of
from reports.plots.variants import differing, reference_of
from reports.sheet import title_of
from reports.text import label, printable, shortened

DRAWN = 14
"""Variants in one figure at most, the furthest from the reference; all are in its table."""

NAME = 30
STEP = 17.0
"""Points from one bar to the next."""


@dataclass(frozen=True)
class Variant:
    """A row against the reference, and the settings in which it differs from it."""

    name: str
    difference: Difference


def ablation_plot(board: Board, method: str, records: Mapping[str, Record], name: str) -> Plot | None:
    """The variants of one method; None where fewer than two share a seed with the one that they vary."""
    ranking = board.ranking
    rows = [row for row in board.rows if row.method == method and row.rank is not None]
    if not ranking or len(rows) < 2:
        return None
    reference = reference_of(rows)
    variants = [one for row in rows if row is not reference and (one := _variant(row, reference, ranking, records))]
    if not variants:
        return None
    variants.sort(key=lambda one: abs(one.difference.mean), reverse=True)
    shown = variants[:DRAWN]
    of = label(reference.label)
    caption = f"what the settings of {label(method)} do to {title_of(ranking)}"
    title = f"{caption}, {label(board.title)}"
    several = max(one.difference.n for one in shown)
    spread = "bars end at mean differences, whiskers are 95 % intervals" if several > 1 else "one seed, so no interval"
    sense = "less" if ranking.better == "low" else "more"
    description = (
        f"{title_of(ranking)} of each variant minus that of {of}, paired by seed ({spread}); {sense} is better. "
        "Settings not named are those of the reference, which is the variant that differs least from all others."
    )
    places = _places(variants)
    with canvas(name, (STEP * len(shown) + 50) / 72) as (figure, axes):
        longest = max(len(shortened(printable(one.name), NAME)) for one in shown)
        left = min(0.46, (LETTER * longest + 14) / figure.bbox.width)
        axes.set_position((left, 38 / figure.bbox.height, 0.97 - left, 1 - 44 / figure.bbox.height))
        for place, one in enumerate(shown):
            _bar(axes, place, one.difference, ranking)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks(range(len(shown)), [shortened(printable(one.name), NAME) for one in shown], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.08)
        axes.set_xlabel(f"{title_of(ranking)}{unit_of(ranking)} minus the reference's, {sense} is better")
        axes.xaxis.set_label_coords(0.5, 14 / figure.bbox.height, transform=figure.transFigure)
        svg = render(figure, name, title, description)
    headers = ("variant", f"difference{unit_of(ranking)}", "95 % interval", "pairs")
    table = tuple((label(one.name), *_told(one.difference, places)) for one in variants)
    return Plot(name, caption, title, description, svg, figure, headers, table)


def _variant(row: Row, reference: Row, ranking: Quantity, records: Mapping[str, Record]) -> Variant | None:
    def value(one: Row, seed: int) -> float:
        return records[one.keys[seed]].metrics[ranking.name].value

    def has(one: Row, seed: int) -> bool:
        return ranking.name in records[one.keys[seed]].metrics

    seeds = [seed for seed in row.seeds if seed in reference.seeds and has(row, seed) and has(reference, seed)]
    if not seeds:
        return None
    difference = paired_difference([value(row, seed) for seed in seeds], [value(reference, seed) for seed in seeds])
    name = ", ".join(f"{setting}={told}" for setting, told in differing(row, reference).items())
    return Variant(name, difference)


def _bar(axes: Axes, place: int, difference: Difference, ranking: Quantity) -> None:
    low, high = difference.low, difference.high
    undecided = low is None or high is None or low <= 0 <= high
    better = (difference.mean < 0) == (ranking.better == "low")
    colour = OTHERS if undecided else SERIES[0] if better else SERIES[1]
    axes.barh(place, difference.mean, height=0.56, color=colour, linewidth=0)
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=INK, linewidth=1)
        for end in (low, high):
            axes.plot([end, end], [place - 0.14, place + 0.14], color=INK, linewidth=1)


def _places(variants: Sequence[Variant]) -> int:
    found = [one.difference for one in variants]
    halves = [(one.high - one.low) / 2 for one in found if one.low is not None and one.high is not None]
    return decimals([one.mean for one in found], halves)


def _told(difference: Difference, places: int) -> tuple[str, str, str]:
    low, high = difference.low, difference.high
    interval = f"{fixed(low, places)} to {fixed(high, places)}" if low is not None and high is not None else ""
    return signed(difference.mean, places), interval, str(difference.n)
