"""A board as a page shows it: printed cells, figures, notes, and what a reader may pick two rows to compare."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.record import Record
from reports.board import LEVEL_MARK, Board
from reports.house_style import themed
from reports.overall import overall
from reports.pairs import Pairs, pairs
from reports.plots import Plot
from reports.sheet import Column, Sheet, sheet
from reports.text import label, message, printable, shortened

GROUP_TITLES = {"metric": "Quality", "cost": "Cost of one solution", "training": "Training"}

PAIRS_OF_A_PAGE = 5_000
"""Differences that a page carries at most, each some 35 bytes."""

NO_PLACE = ""
"""The address of what has no page."""


@dataclass(frozen=True)
class Illustrated:
    """A board with its figures, and a sentence on those that were not drawn."""

    board: Board
    plots: tuple[Plot, ...]
    omitted: str


@dataclass(frozen=True)
class Section:
    """A board, ready for the template."""

    anchor: str
    sheet: Sheet
    hardware: str
    kind: str
    groups: tuple[tuple[str, int], ...]
    """Header cells above the columns, with their spans."""
    edges: frozenset[int]
    """Columns that begin a group."""
    compared: bool
    """Some row has a difference from the best."""
    troubled: bool
    pages: tuple[str, ...]
    """For each line the address of its method's page from the top of the site, or nothing."""
    pairs: Pairs
    notes: tuple[str, ...]
    plots: tuple[tuple[Plot, Markup], ...]
    omitted: str
    settings: str
    parameters: tuple[tuple[str, str], ...]


def sections(
    boards: Sequence[Illustrated],
    records: Mapping[str, Record],
    kinds: Mapping[str, str],
    method_page: Callable[[str, str], str] = lambda _task, _method: NO_PLACE,
) -> list[Section]:
    """Sections `board-1` and on.

    `kinds` tells of each data set whether it is embedded, generated or the user's files; `method_page` gives the
    address of a task's method.
    """
    found = []
    left = PAIRS_OF_A_PAGE
    for number, illustrated in enumerate(boards, 1):
        printed = sheet(illustrated.board)
        compared = pairs(printed, records, left)
        left -= compared.count
        pages = tuple(method_page(illustrated.board.task, line.row.method) for line in printed.lines)
        found.append(_section(f"board-{number}", illustrated, printed, compared, pages, kinds))
    return found


def _section(
    anchor: str,
    illustrated: Illustrated,
    printed: Sheet,
    compared: Pairs,
    pages: tuple[str, ...],
    kinds: Mapping[str, str],
) -> Section:
    board = illustrated.board
    runs = [(group, list(run)) for group, run in itertools.groupby(printed.columns, key=_group)]
    starts = list(itertools.accumulate((len(run) for _, run in runs), initial=0))[:-1]
    return Section(
        anchor=anchor,
        sheet=printed,
        hardware=label(board.hardware),
        kind=label(kinds.get(board.dataset, "")),
        groups=tuple((GROUP_TITLES[group], len(run)) for group, run in runs),
        edges=frozenset(starts),
        compared=any(line.difference for line in printed.lines),
        troubled=any(line.trouble for line in printed.lines),
        pages=pages,
        pairs=compared,
        notes=tuple(message(note) for note in board.notes),
        plots=tuple((plot, Markup(themed(plot.svg))) for plot in illustrated.plots),
        omitted=illustrated.omitted,
        settings=_json(board.settings),
        parameters=tuple((label(row.label), _json(row.parameters)) for row in board.rows),
    )


def _group(column: Column) -> str:
    return column.quantity.group


def _json(value: Any) -> str:
    return printable(shortened(json.dumps(value, ensure_ascii=False, sort_keys=True), 1000))


def together(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """One order over several data sets, where there are several: `overall-1` and on."""
    return [
        {
            "anchor": f"overall-{number}",
            "title": label(one.title),
            "datasets": [label(board.dataset) for board in one.boards],
            "lines": [
                {
                    "label": label(standing.label),
                    "method": standing.method,
                    "average": f"{standing.average_rank:.2f}",
                    "ranks": [f"{rank:g}" for rank in standing.ranks],
                    "leading": standing.level,
                    "mark": LEVEL_MARK if place and standing.level else "",
                }
                for place, standing in enumerate(one.standings)
            ],
            "rule": one.rule,
            "left_out": [message(text) for text in one.left_out],
        }
        for number, one in enumerate(overall(boards), 1)
    ]


def overview(section: Section, address: str) -> dict[str, Any]:
    """A board in one line: its best method, and how far that may be trusted. `address` may be empty."""
    lines = section.sheet.lines
    board = section.sheet.board
    best = next((place for place, line in enumerate(lines) if line.row.standing == "best"), None)
    first = best if best is not None else next((place for place, line in enumerate(lines) if line.row.rank), None)
    level = [line.label for line in lines if line.row.standing == "not distinguishable"]
    column = section.sheet.columns[0] if section.sheet.columns else None
    compared = sum(line.row.rank is not None for line in lines)
    untested = "not tested: n < 5" if compared > 1 else "nothing to compare"
    leader = lines[first] if first is not None else None
    return {
        "address": address,
        "title": section.sheet.title,
        "budget": board.budget,
        "best": leader.label if leader else "none is ranked" if column and board.ranking else "none has a result",
        "page": section.pages[first] if first is not None else NO_PLACE,
        "value": f"{column.title} {leader.cells[0].text} {column.unit}".strip() if leader and column else "",
        "level": (", ".join(level) or "none") if best is not None else untested,
        "methods": len(lines),
        "ok": sum(len(row.seeds) for row in board.rows),
        "failed": sum(len(row.failed) for row in board.rows),
        "skipped": sum(len(row.skipped) for row in board.rows),
    }
