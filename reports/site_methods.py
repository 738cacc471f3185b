"""The page of a method: what it is, where it stands on every board, its curves and its trials."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.record import Record
from bench.registry import Entry, Registry
from reports.addresses import TOP, Addresses, outermost
from reports.board import Board, Row
from reports.curves import WHEN, Chart, charts
from reports.prose import blocks
from reports.sections import Section
from reports.sheet import Line, plain_name
from reports.site_registry import setting_table
from reports.sketch import Sketch, Trace, sketch
from reports.text import label, message

CURVES = 16
"""Drawings of a page at most."""

COSTS = ("cost.latency_ms", "cost.macs", "cost.parameters", "training.fit_s")
"""Costs that a method's page repeats from the boards."""


def method_entry(registry: Registry, task: str, method: str) -> Entry | None:
    """What the sources say of a method, or of the one that wraps the others; nothing where they have it no more."""
    return registry.methods.get(task, {}).get(outermost(method))


def method_page_facts(
    task: str,
    method: str,
    entry: Entry | None,
    sections: Sequence[Section],
    records: Mapping[str, Record],
    addresses: Addresses,
) -> dict[str, Any]:
    """What the template of a method's page asks for. `sections` are the boards of its task, in their order."""
    mine = [(section, line) for section in sections for line in section.sheet.lines if line.row.method == method]
    headers, rows = setting_table(entry) if entry else ([], [])
    drawn, unseen = _curves(mine, records)
    paper = addresses.paper(entry.paper) if entry else ""
    return {
        "summary": message(entry.summary) if entry else "The sources here have no method of this name.",
        "task": label(task),
        "task_page": TOP + addresses.tasks[task],
        "paper": label(entry.paper) if entry else "",
        "paper_page": TOP + paper if paper else "",
        "module": entry.module or entry.origin if entry else "",
        "oracle": bool(entry and entry.oracle),
        "prose": blocks(entry.doc) if entry else [],
        "setting_headers": headers,
        "settings": rows,
        "standing": [_standing(section, line, TOP + addresses.tasks[task]) for section, line in mine],
        "sketches": drawn,
        "unseen": unseen,
        "trials": [_trial(records[key], addresses) for _, line in mine for key in line.row.keys.values()],
    }


def _standing(section: Section, line: Line, page: str) -> dict[str, Any]:
    board = section.sheet.board
    ranked = sum(other.rank is not None for other in board.rows)
    cells = {}
    for column, cell in zip(section.sheet.columns, line.cells, strict=True):
        cells[column.quantity.key] = f"{cell.text} {column.unit}".strip() if cell.value is not None else cell.text
    metric = section.sheet.columns[0] if board.ranking else None
    return {
        "title": section.sheet.title,
        "page": f"{page}#{section.anchor}",
        "budget": board.budget,
        "row": line.label,
        "rank": f"{line.rank} of {ranked}" if line.row.rank else line.rank,
        "seeds": line.seeds,
        "metric": f"{metric.title} {cells[metric.quantity.key]}" if metric else "",
        "difference": " ".join(part for part in (line.difference, line.p) if part),
        "costs": [cells.get(cost, "") for cost in COSTS],
        "trouble": line.trouble,
    }


def _trial(record: Record, addresses: Addresses) -> dict[str, str]:
    page = addresses.trials.get(record.key, "")
    return {
        "key": record.key[:12],
        "page": TOP + page if page else "",
        "data": label(record.spec.dataset),
        "budget": record.spec.budget,
        "seed": str(record.spec.seed),
        "status": record.status,
    }


def _curves(mine: Sequence[tuple[Section, Line]], records: Mapping[str, Record]) -> tuple[list[Sketch], int]:
    """Means over seeds with their bands, board by board; and how many there was no room for."""
    boards: dict[str, tuple[Board, list[Row]]] = {}
    for section, line in mine:
        boards.setdefault(section.anchor, (section.sheet.board, []))[1].append(line.row)
    found: list[Sketch] = []
    unseen = 0
    for anchor, (board, rows) in boards.items():
        for number, chart in enumerate(charts(board, records), 1):
            labels = {row.drawn_label for row in rows}
            if not any(band.label in labels for band in chart.bands):
                continue
            if len(found) >= CURVES:
                unseen += 1
            elif drawing := _drawing(f"{anchor}-curve-{number}", chart, labels, label(board.title)):
                found.append(drawing)
    return found, unseen


def _drawing(name: str, chart: Chart, labels: set[str], title: str) -> Sketch | None:
    drawn = [band for band in chart.bands if band.label in labels]
    traces = [Trace(band.label, band.x, band.means, band.half_widths, band.step_cost) for band in drawn]
    unit = f" ({label(chart.unit)})" if chart.unit else ""
    against = f", against {chart.against}" if chart.against else ""
    caption = f"{plain_name(chart.name, chart.unit)}{unit} {WHEN[chart.origin]}{against}, {title}"
    of = "mean and 95 % band over seeds"
    return sketch(name, caption, label(chart.x_name), of, traces, label(chart.axis), chart.log_x)
