"""Small line drawings of curves, in the page's own colours: pages of trials have no time for a plotting library."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from reports.board import MARKS
from reports.house_style import SERIES
from reports.numbers import along, significant
from reports.text import label

POINTS = 200
"""Of a line at most, evenly picked, the ends included: more than the drawing has pixels to tell apart."""

TABLE_ROWS = 13

LEFT, RIGHT, TOP, BOTTOM = 50.0, 326.0, 8.0, 132.0
"""The drawing's frame inside its 336 x 168 units."""

LOG_SPAN = 1000.0
"""Values that span more than this are drawn on a logarithmic axis, if all are above zero."""


@dataclass(frozen=True)
class Trace:
    """A line: None is a gap. `half_widths` of its band, or none."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    half_widths: Sequence[float] | None = None
    step_cost: float = 1.0
    """What one of `x` costs, where the line is drawn against a cost."""

    @property
    def drawn_x(self) -> list[float]:
        return [x * self.step_cost for x in self.x]


@dataclass(frozen=True)
class Sketch:
    """A drawing with the same facts in words and as a table."""

    caption: str
    title: str
    description: str
    svg: Markup
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sketch(
    name: str, caption: str, x_name: str, of: str, traces: Sequence[Trace], axis: str = "", log_x: bool = False
) -> Sketch | None:
    """The lines in one frame; None where none has a value. `name` makes ids unique, `of` says whose curves they are.

    Where they are drawn against a cost, `axis` says which.
    """
    drawn = [_thinned(trace) for trace in traces if any(value is not None for value in trace.y)]
    if not drawn:
        return None
    title = f"{caption}, {of}"
    ends = "; ".join(f"{trace.label} ends at {_end(trace)}" for trace in drawn[: len(SERIES)])
    description = f"Against {axis}. {ends}." if axis else f"By {x_name}. {ends}."
    svg = _svg(name, title, description, axis or x_name, drawn[: len(SERIES)], log_x)
    headers = (x_name, *(trace.label for trace in drawn))
    return Sketch(caption, title, description, svg, headers, tuple(_rows(drawn, bool(axis))))


def _thinned(trace: Trace) -> Trace:
    places = _picked(len(trace.x), POINTS)
    widths = [trace.half_widths[place] for place in places] if trace.half_widths else None
    xs, ys = [trace.x[place] for place in places], [trace.y[place] for place in places]
    return Trace(label(trace.label), xs, ys, widths, trace.step_cost)


def _picked(length: int, most: int) -> list[int]:
    return [int(place) for place in np.unique(np.linspace(0, length - 1, min(most, length)).round())]


def _end(trace: Trace) -> str:
    last = trace.y[-1]
    return MARKS["not run"] if last is None else significant(last)


def _rows(traces: Sequence[Trace], priced: bool) -> Iterator[tuple[str, ...]]:
    """`0.25`, or `0.25 at 1.5` along a cost."""
    xs = max((trace.x for trace in traces), key=len)
    values = [dict(zip(trace.x, trace.y, strict=True)) for trace in traces]
    for x in (xs[place] for place in _picked(len(xs), TABLE_ROWS)):
        found = [by_x.get(x) for by_x in values]
        where = [f" at {significant(x * trace.step_cost)}" if priced else "" for trace in traces]
        told = zip(found, where, strict=True)
        yield (along(x, 6), *(MARKS["not run"] if y is None else significant(y) + at for y, at in told))


def _svg(name: str, title: str, description: str, axis: str, traces: Sequence[Trace], log_x: bool) -> Markup:
    xs = [x for trace in traces for x in trace.drawn_x]
    ys = [y for trace in traces for y in trace.y if y is not None]
    log = min(ys) > 0 and max(ys) / min(ys) > LOG_SPAN
    if not log:
        ys += [end for trace in traces for end in _band_ends(trace)]
    across = _Scale(min(xs), max(xs), LEFT, RIGHT, log_x)
    up = _Scale(min(ys), max(ys), BOTTOM, TOP, log)
    parts = [
        Markup('<svg class="sketch" role="img" viewBox="0 0 336 168" aria-labelledby="{0}-title {0}-desc">').format(
            name
        ),
        Markup('<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>').format(name, title, name, description),
        Markup('<path class="frame" d="M{0:g} {1:g}V{2:g}H{3:g}"/>').format(LEFT, TOP, BOTTOM, RIGHT),
    ]
    for number, trace in enumerate(traces, 1):
        parts += _lines(trace, number, across, up)
    parts += [
        _text(LEFT - 5, TOP + 8, "end", along(max(ys))),
        _text(LEFT - 5, BOTTOM, "end", along(min(ys)) if max(ys) > min(ys) else ""),
        _text(LEFT, BOTTOM + 15, "start", along(min(xs))),
        _text(RIGHT, BOTTOM + 15, "end", along(max(xs)) if max(xs) > min(xs) else ""),
        _text((LEFT + RIGHT) / 2, BOTTOM + 29, "middle", axis),
        *([_text((LEFT + RIGHT) / 2, BOTTOM + 15, "middle", "log scale")] if log_x else []),
        *([_text(RIGHT, TOP + 8, "end", "log scale")] if log else []),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def _text(x: float, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text x="{:g}" y="{:g}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _lines(trace: Trace, number: int, across: "_Scale", up: "_Scale") -> Iterator[Markup]:
    colour = Markup('style="--line:var(--series-{})"').format(number)
    if trace.half_widths and not up.log:
        edges = list(zip(trace.drawn_x, trace.y, trace.half_widths, strict=True))
        upper = [(across(x), up(y + half)) for x, y, half in edges if y is not None]
        lower = [(across(x), up(y - half)) for x, y, half in reversed(edges) if y is not None]
        yield Markup('<path class="band" {} d="{}Z"/>').format(colour, Markup(_path([*upper, *lower])))
    present = zip(trace.drawn_x, trace.y, strict=True)
    for missing, run in itertools.groupby(present, key=lambda point: point[1] is None):
        if missing:
            continue
        points = [(across(x), up(y)) for x, y in run if y is not None]
        # A point between two gaps is a dot: a line of no length with round ends.
        kind, path = ("line", _path(points)) if len(points) > 1 else ("line dot", _path(points * 2))
        yield Markup('<path class="{}" {} d="{}"/>').format(kind, colour, Markup(path))


def _band_ends(trace: Trace) -> Iterator[float]:
    for y, half in zip(trace.y, trace.half_widths or (), strict=False):
        if y is not None:
            yield from (y - half, y + half)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


@dataclass(frozen=True)
class _Scale:
    """From values to places; values that are all alike lie in the middle."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)
