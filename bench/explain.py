"""Why a cell is reused or run again: its key's parts beside those of the nearest record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.grid import Cell
from bench.record import Record
from bench.runner import Plan
from bench.store import Store

NEARNESS = ("task", "method", "dataset", "seed", "parameters", "settings", "budget", "device")
"""The nearest record agrees in most of these, earlier ones first."""


@dataclass(frozen=True)
class Explanation:
    """A cell's state, and in which parts of the key the nearest record differs."""

    cell: Cell
    state: Literal["reuse", "run", "skip"]
    why: str
    differs: dict[str, tuple[str, str]]
    """Part -> the record's value and the cell's."""


def explain(cells: Sequence[Cell], plan: Plan, store: Store | None) -> list[Explanation]:
    """One explanation a cell."""
    latest = list(store.records()) if store else []
    running = {cell.key for cell in plan.to_run}
    explanations = []
    for cell in cells:
        if cell.key in plan.reused:
            why = f"a record with the same key stands: {plan.reused[cell.key]}"
            explanations.append(Explanation(cell, "reuse", why, {}))
        elif cell.key not in running:
            explanations.append(Explanation(cell, "skip", cell.skip[1] if cell.skip else "", {}))
        else:
            explanations.append(_why_run(cell, latest))
    return explanations


def _why_run(cell: Cell, records: list[Record]) -> Explanation:
    rivals = [r for r in records if r.spec.task == cell.spec.task and r.spec.method == cell.spec.method]
    if not rivals:
        return Explanation(cell, "run", f"no record of {cell.spec.task}/{cell.spec.method} yet", {})
    nearest = max(rivals, key=lambda record: [_equal(record, cell, name) for name in NEARNESS])
    if nearest.key == cell.key:
        status = nearest.failure.cause if nearest.failure else nearest.status
        return Explanation(cell, "run", f"its record ended as {status} and is run again", {})
    differs = {
        part: (nearest.parts.get(part, "—"), value)
        for part, value in cell.parts.items()
        if nearest.parts.get(part) != value
    }
    details = [_detail(part, nearest, cell, values) for part, values in differs.items()]
    return Explanation(cell, "run", f"nearest record {nearest.key[:12]}: {'; '.join(details)}", differs)


def _equal(record: Record, cell: Cell, name: str) -> bool:
    return getattr(record.spec, name) == getattr(cell.spec, name)


def _detail(part: str, record: Record, cell: Cell, values: tuple[str, str]) -> str:
    if part in ("parameters", "settings"):
        changed = _changed(getattr(record.spec, part), getattr(cell.spec, part))
        return f"{part}: " + ", ".join(f"{name} was {old!r}, now {new!r}" for name, old, new in changed)
    if part.endswith("source"):
        return f"the {part} changed"
    return f"{part} was {values[0]}, now {values[1]}"


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, old.get(name), new.get(name)) for name in sorted(old | new) if old.get(name) != new.get(name)]
