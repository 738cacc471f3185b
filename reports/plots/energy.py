"""Where the energy goes: of a fit, and of one item afterwards, by the domains that the counter tells apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.record import Measurement, Record
from reports.board import Board, Row
from reports.house_style import INK, PAPER, SERIES, canvas, render
from reports.numbers import significant
from reports.plots.plot import LETTER, Plot
from reports.text import label, printable, shortened

DRAWN = 14
"""Rows in one figure at most, the best ranked; all are in its table."""

NAME = 22
STEP = 17.0
"""Points from one bar to the next."""

WHOLE = "all domains"
"""Of a counter that tells none apart."""

LEAST_LENGTH = 1e-6
"""Of an axis, in the unit that it shows."""

PREFIXES = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G"}


@dataclass(frozen=True)
class Panel:
    """One kind of energy: for each row joules by domain, or nothing."""

    title: str
    joules: Sequence[Mapping[str, float]]


def energy_plot(board: Board, records: Mapping[str, Record], name: str) -> Plot | None:
    """None where no row has a measured energy."""
    panels = [
        Panel("of one fit", [_domains(row, records, "training", "fit_energy_j") for row in board.rows]),
        Panel("of one item", [_domains(row, records, "cost", "energy_j") for row in board.rows]),
    ]
    panels = [panel for panel in panels if any(panel.joules)]
    places = [place for place, _ in enumerate(board.rows) if any(panel.joules[place] for panel in panels)]
    if not places:
        return None
    domains = sorted({domain for panel in panels for joules in panel.joules for domain in joules})
    caption = f"energy {' and '.join(panel.title for panel in panels)}"
    title = f"{caption}, {label(board.title)}"
    description = f"Means over the seeds that measured it, stacked by domain: {', '.join(map(label, domains))}."
    if len(panels) > 1:
        description += " Each panel has its own scale: a fit is paid once, an item each time."
    shown = places[:DRAWN]
    units = [_prefix([sum(joules.values()) for joules in panel.joules if joules]) for panel in panels]
    with canvas(name, (STEP * len(shown) + 64) / 72) as (figure, first):
        texts = [shortened(printable(board.rows[place].drawn_label[:200]), NAME) for place in shown]
        left = (LETTER * max(map(len, texts)) + 12) / figure.bbox.width
        span = (0.97 - left) / len(panels)
        bottom, height = 40 / figure.bbox.height, STEP * len(shown) / figure.bbox.height
        axes = [first, *(figure.add_axes((0, 0, 1, 1)) for _ in panels[1:])]
        for number, (panel, frame, (factor, unit)) in enumerate(zip(panels, axes, units, strict=True)):
            frame.set_position((left + number * span, bottom, span - 0.04, height))
            _bars(frame, [panel.joules[place] for place in shown], domains, factor)
            frame.set_yticks(range(len(shown)), texts if not number else [""] * len(shown), color=INK)
            frame.set_xlabel(f"energy {panel.title} ({unit})")
        _legend(figure, domains, left)
        svg = render(figure, name, title, description)
    columns = [(panel, domain) for panel in panels for domain in domains if any(domain in j for j in panel.joules)]
    headers = ("method", *(f"{panel.title}: {label(domain)} (J)" for panel, domain in columns))
    table = tuple(
        (label(board.rows[place].drawn_label), *(_joules(panel.joules[place].get(domain)) for panel, domain in columns))
        for place in places
    )
    return Plot(name, caption, title, description, svg, figure, headers, table)


def _domains(row: Row, records: Mapping[str, Record], group: str, name: str) -> dict[str, float]:
    """Mean joules by domain over the seeds that measured it, a fit's or an item's; empty if none did."""
    told: list[dict[str, float]] = []
    for seed in row.seeds:
        record = records[row.keys[seed]]
        measurement = (record.costs if group == "cost" else record.training).get(name)
        if measurement and measurement.value is not None:
            told.append(_of(measurement, measurement.value))
    domains = dict.fromkeys(domain for one in told for domain in one)
    return {domain: float(np.mean([one.get(domain, 0.0) for one in told])) for domain in domains}


def _of(measurement: Measurement, value: float) -> dict[str, float]:
    """Joules of the window by domain, for one item where the window held several; the value where none are told."""
    joules = measurement.detail.get("joules_by_domain")
    items = measurement.detail.get("items", 1)
    if not isinstance(joules, dict) or not joules or not all(map(_amount, joules.values())):
        return {WHOLE: value}
    if not _amount(items) or not items:
        return {WHOLE: value}
    return {str(domain): float(amount) / items for domain, amount in joules.items()}


def _amount(value: Any) -> bool:
    """A record's detail is whatever its instrument wrote."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _prefix(totals: Sequence[float]) -> tuple[float, str]:
    """What to divide joules by, and the unit then."""
    largest = max(totals)
    power = math.floor(math.log10(largest) / 3) if largest > 0 else 0
    power = min(max(power, min(PREFIXES)), max(PREFIXES))
    return 1000.0**power, f"{PREFIXES[power]}J"


def _bars(axes: Axes, rows: Sequence[Mapping[str, float]], domains: Sequence[str], factor: float) -> None:
    for place, joules in enumerate(rows):
        start = 0.0
        for number, domain in enumerate(domains):
            if amount := joules.get(domain, 0.0) / factor:
                colour = SERIES[number % len(SERIES)]
                axes.barh(place, amount, left=start, height=0.6, color=colour, edgecolor=PAPER, linewidth=0.8)
                start += amount
        if not joules:
            axes.text(0, place, " not measured", fontsize=8, va="center", color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    longest = max((sum(joules.values()) / factor for joules in rows), default=0.0)
    # Energies far below every prefix would leave an axis without a length.
    axes.set_xlim(0, 1.05 * longest if longest > LEAST_LENGTH else 1.0)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _legend(figure: Any, domains: Sequence[str], left: float) -> None:
    """Names in the order of the stack, above the bars."""
    x = left
    height = 1 - 12 / figure.bbox.height
    for number, domain in enumerate(domains[: len(SERIES)]):
        text = shortened(printable(domain[:200]), NAME)
        figure.text(x, height, "■", fontsize=9, color=SERIES[number], va="center")
        figure.text(x + 11 / figure.bbox.width, height, text, fontsize=8, color=INK, va="center")
        x += (LETTER * len(text) + 24) / figure.bbox.width


def _joules(value: float | None) -> str:
    return significant(value) if value is not None else "∅"
