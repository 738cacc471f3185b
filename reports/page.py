"""One self-contained HTML file for a set of records: no request, complete without scripts, everything escaped."""

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from bench.record import Record
from reports.board import MARKS, MEANINGS, Board
from reports.facts import environments, failures, header_facts, latest, trials
from reports.house_style import themed
from reports.plots import Plot
from reports.sheet import Column, Sheet, sheet
from reports.text import label, message, printable, shortened

TEMPLATES = Path(__file__).parent / "templates"

BOARDS = 200
"""Boards that are shown in full; the overview has all."""

GROUP_TITLES = {"metric": "Quality", "cost": "Cost of one solution", "training": "Training"}


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
    notes: tuple[str, ...]
    plots: tuple[tuple[Plot, Markup], ...]
    omitted: str
    settings: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Illustrated:
    """A board with its figures, and a sentence on those that were not drawn."""

    board: Board
    plots: tuple[Plot, ...]
    omitted: str


def page(title: str, boards: Sequence[Illustrated], records: Sequence[Record], kinds: Mapping[str, str]) -> str:
    """The whole document. `kinds` tells of each data set whether it is embedded, generated or the user's files."""
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    named = environments(records)
    told, untold = failures(records)
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(index, illustrated, kinds) for index, illustrated in enumerate(boards, 1)]
    overview = [_overview(section, index <= BOARDS) for index, section in enumerate(sections, 1)]
    return environment.get_template("page.html").render(
        title=message(title),
        lead=_lead(records),
        generated=sorted({label(r.spec.dataset) for r in records if kinds.get(r.spec.dataset) == "generated"}),
        facts=header_facts(records),
        overview=overview,
        sections=sections[:BOARDS],
        boards_left_out=max(0, len(sections) - BOARDS),
        failures=told,
        failures_left_out=untold,
        trials=trials(records, [illustrated.board for illustrated in boards], named),
        environments=named.shown,
        environments_left_out=named.left_out,
        latest=latest(records),
        marks=MARKS,
        meanings=MEANINGS,
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    )


def _template(name: str) -> str:
    """Without the indents, which would be half of a long table."""
    return re.sub(r"(?m)^ +", "", (TEMPLATES / name).read_text(encoding="utf-8"))


def _section(number: int, illustrated: Illustrated, kinds: Mapping[str, str]) -> Section:
    board, printed = illustrated.board, sheet(illustrated.board)
    runs = [(group, list(run)) for group, run in itertools.groupby(printed.columns, key=_group)]
    starts = list(itertools.accumulate((len(run) for _, run in runs), initial=0))[:-1]
    return Section(
        anchor=f"board-{number}",
        sheet=printed,
        hardware=label(board.hardware),
        kind=label(kinds.get(board.dataset, "")),
        groups=tuple((GROUP_TITLES[group], len(run)) for group, run in runs),
        edges=frozenset(starts),
        compared=any(line.difference for line in printed.lines),
        troubled=any(line.trouble for line in printed.lines),
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


def _overview(section: Section, shown: bool) -> dict[str, Any]:
    lines = section.sheet.lines
    board = section.sheet.board
    best = next((line for line in lines if line.row.standing == "best"), None)
    first = best or next((line for line in lines if line.row.rank), None)
    level = [line.label for line in lines if line.row.standing == "not distinguishable"]
    column = section.sheet.columns[0] if section.sheet.columns else None
    compared = sum(line.row.rank is not None for line in lines)
    untested = "not tested: n < 5" if compared > 1 else "nothing to compare"
    return {
        "anchor": section.anchor if shown else "",
        "title": section.sheet.title,
        "best": first.label if first else "none has a result",
        "value": f"{column.title} {first.cells[0].text} {column.unit}".strip() if first and column else "",
        "level": (", ".join(level) or "none") if best else untested,
        "methods": len(lines),
        "ok": sum(len(row.seeds) for row in board.rows),
        "failed": sum(len(row.failed) for row in board.rows),
        "skipped": sum(len(row.skipped) for row in board.rows),
    }


def _lead(records: Iterable[Record]) -> str:
    records = list(records)

    def count(word: str, values: Iterable[Any]) -> str:
        number = len(set(values))
        return f"{number:,} {word}{'' if number == 1 else 's'}"

    return ", ".join(
        [
            count("task", (record.spec.task for record in records)),
            count("data set", ((record.spec.task, record.spec.dataset) for record in records)),
            count("method", ((record.spec.task, record.spec.method) for record in records)),
            count("trial", (record.key for record in records)),
        ]
    )
