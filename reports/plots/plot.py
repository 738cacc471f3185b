"""A figure with its facts, and what all figures share: colours of rows, axes."""

from dataclasses import dataclass, field
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.board import Quantity
from reports.house_style import MARKERS, MUTED, OTHERS, SERIES
from reports.numbers import significant
from reports.sheet import title_of
from reports.text import label

NAME = 26
"""Longest name inside a figure, in characters."""

LETTER = 4.3
"""Points across of a letter at the size of names, on average."""


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
    figure: Figure = field(repr=False, compare=False)
    """What the SVG was rendered from, for the other formats."""
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def series(index: int, oracle: bool = False) -> tuple[str, str]:
    """Colour and marker of a row; an oracle has those of no method."""
    if oracle:
        return MUTED, "*"
    return (SERIES[index], MARKERS[index]) if index < len(SERIES) else (OTHERS, "o")


def axis_label(quantity: Quantity) -> str:
    return f"{title_of(quantity)}{unit_of(quantity)}, {'more' if quantity.better == 'high' else 'less'} is better"


def unit_of(quantity: Quantity) -> str:
    return f" ({label(quantity.unit)})" if quantity.unit else ""


def log_axis(axes: Axes, which: Literal["x", "y"], span: float) -> None:
    """Powers of ten, written as such; below three of them twice and five times each as well, lest one tick stand alone.

    `span` is the largest value over the smallest.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0,) if span > 1000 else (1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: significant(value, 1)))
    axis.set_minor_formatter(NullFormatter())
