"""The page of a paper: its tables, published beside measured, and its claims with their verdicts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from bench.agreement import Agreement, agreements
from bench.claims import Finding, findings
from bench.claims import Verdict as ClaimVerdict
from bench.contracts import BUDGETS, Budget
from bench.evidence import Evidence
from bench.papers import CERTAINTY_MARKS, Figure, Kind, Paper, PaperTable, TableColumn
from bench.reproduction import VERDICTS, Reproduction, reproductions
from bench.stats import Interval
from reports.numbers import MINUS, fixed, signed, significant
from reports.text import message, printable, shortened

CLAIM_VERDICTS: tuple[ClaimVerdict, ...] = get_args(ClaimVerdict)

NOTE = 2_000
"""Longest note of a paper or a table, in characters."""

KINDS: tuple[tuple[Kind | None, str, str], ...] = (
    ("exact", "exact", "needs no data, and must agree to the printed digit"),
    ("full", "full", "the published data and schedule"),
    ("scaled", "scaled", "the same comparison on what one has: it can support a claim, and reproduces no figure"),
    (None, "not said", "nothing says yet how it is measured"),
)


@dataclass(frozen=True)
class Judged:
    """A paper and what the records say of it."""

    paper: Paper
    figures: tuple[tuple[Budget, Reproduction], ...]
    """Of every cell of its tables the judgement that says most, and at which budget."""
    claims: tuple[Finding, ...]
    """At every budget that a claim offers."""
    orders: tuple[Agreement, ...]
    """Of every column at every budget that has rows enough, on the device that has the most; the largest budget first.
    """

    def verdicts(self) -> dict[str, int]:
        """How many figures have each verdict; the blanks of a table are none."""
        counts = Counter(one.verdict for _, one in self.figures if one.figure.printed is not None)
        return {verdict: counts[verdict] for verdict in VERDICTS}

    def claim_verdicts(self) -> dict[str, int]:
        """How many claims have each verdict at their best budget."""
        counts = Counter(rows[0]["verdict"] for rows in _claim_rows(self.claims).values())
        return {verdict: counts[verdict] for verdict in CLAIM_VERDICTS}


def judged(paper: Paper, evidences: Sequence[Evidence], budgets: Iterable[Budget]) -> Judged:
    """Holds a paper against what a store has, on each device, at these budgets. Runs nothing."""
    candidates: dict[tuple[str, str, str], list[tuple[Budget, Reproduction]]] = {}
    orders: dict[tuple[str, str, Budget], list[Agreement]] = {}
    for budget in sorted(budgets, key=BUDGETS.index, reverse=True):
        for evidence in evidences:
            listed = reproductions(paper, paper.tables, budget, evidence)
            for order in agreements(listed):
                orders.setdefault((order.table.id, order.column.id, order.budget), []).append(order)
            for one in listed:
                candidates.setdefault((one.table.id, one.row.id, one.column.id), []).append((budget, one))
    best_claims: dict[tuple[str, str], list[Finding]] = {}
    for evidence in evidences:
        for finding in findings(paper, None, evidence):
            best_claims.setdefault((finding.claim.id, finding.budget), []).append(finding)
    return Judged(
        paper,
        tuple(max(found, key=lambda pair: _weight(pair[1])) for found in candidates.values()),
        tuple(max(found, key=lambda one: (one.verdict != "not run", one.n)) for found in best_claims.values()),
        tuple(max(found, key=lambda order: order.n) for found in orders.values()),
    )


def _weight(one: Reproduction) -> int:
    """How much a judgement says: a verdict, then a measured value, then the reason why there is none."""
    if one.verdict in ("reproduced", "not reproduced"):
        return 3
    return 2 if one.measured else int(one.verdict == "could not run")


def note(text: str) -> str:
    """What a paper's file says in prose."""
    return shortened(printable(text), NOTE)


# Tables ---------------------------------------------------------------------------------------------------------------


def table_views(found: Judged) -> list[dict[str, Any]]:
    """Each table ready for the template, its cells in the order of the page."""
    return [
        _table_view(
            table,
            [pair for pair in found.figures if pair[1].table.id == table.id],
            [order for order in found.orders if order.table.id == table.id],
        )
        for table in found.paper.tables
    ]


def _table_view(
    table: PaperTable, figures: Sequence[tuple[Budget, Reproduction]], orders: Sequence[Agreement]
) -> dict[str, Any]:
    cells = {(one.row.id, one.column.id): (budget, one) for budget, one in figures}
    tried = {one.column.id for _, one in figures if one.measured or one.verdict == "could not run"}
    usual = _usual(one for _, one in figures)
    notes: dict[str, int] = {}
    rows = []
    for row in table.rows:
        printed = [_cell(cells.get((row.id, column.id)), column.id in tried, usual, notes) for column in table.columns]
        rows.append({"title": message(row.title), "own": row.own, "cells": printed})
    counts = Counter(one.verdict for _, one in figures if one.figure.printed is not None)
    certainties = {one.figure.certainty for _, one in figures if one.figure.printed is not None}
    return {
        "id": table.id,
        "title": message(table.title),
        "place": message(table.place),
        "note": note(table.note),
        "discussion": note(table.discussion),
        "orders": [note(order.told) for order in orders],
        "columns": [_column(column, column.id in tried) for column in table.columns],
        "conventions": _conventions(table),
        "rows": rows,
        "usual": usual,
        "notes": list(notes),
        "counts": [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]],
        "certainties": [told for certainty, told in CERTAINTY_MARKS.items() if certainty in certainties],
        "measured": bool(tried),
    }


def _column(column: TableColumn, tried: bool) -> dict[str, Any]:
    arrow = {"high": "↑", "low": "↓", None: ""}[column.better]
    return {
        "title": message(column.title),
        "unit": f"{message(column.unit)} {arrow}".strip(),
        "tried": tried,
    }


def _conventions(table: PaperTable) -> list[tuple[str, str]]:
    """What is meant by which columns, each meaning once."""
    meant: dict[str, list[str]] = {}
    for column in table.columns:
        if column.convention:
            meant.setdefault(note(column.convention), []).append(message(column.title))
    everywhere = len(table.columns) > 1
    return [
        ("all columns" if everywhere and len(titles) == len(table.columns) else ", ".join(titles), meaning)
        for meaning, titles in meant.items()
    ]


def _usual(figures: Iterable[Reproduction]) -> str:
    """Why most figures were not attempted: told once, not at each of them."""
    reasons = Counter(
        one.why for one in figures if one.verdict == "not attempted" and not one.measured and one.figure.printed
    )
    return message(reasons.most_common(1)[0][0]) if reasons else ""


def _cell(
    found: tuple[Budget, Reproduction] | None, tried: bool, usual: str, notes: dict[str, int]
) -> dict[str, Any] | None:
    if found is None:
        return None
    budget, one = found
    why = message(one.why)
    quiet = one.figure.printed is None or (one.verdict == "not attempted" and not one.measured and why == usual)
    texts = [message(one.figure.note), "" if quiet else f"{one.verdict}: {why}"]
    remark = "; ".join(text for text in texts if text)
    scaled = one.kind == "scaled" and one.measured
    return {
        "mark": CERTAINTY_MARKS.get(one.figure.certainty, ("", ""))[0],
        "published": _published(one.figure),
        "recalled": one.figure.certainty == "recalled",
        "measured": _measured(one.measured, one.figure.decimals) if one.measured else "",
        "verdict": "scaled" if scaled else one.verdict,
        "told": bool(one.measured) or one.verdict == "could not run",
        "budget": budget,
        "tried": tried,
        "note": notes.setdefault(remark, len(notes) + 1) if remark else 0,
    }


def _published(figure: Figure) -> str:
    if figure.printed is None:
        return "–"
    return figure.printed.replace("-", MINUS) + (f" ± {figure.spread}" if figure.spread else "")


def _measured(measured: Interval, decimals: int) -> str:
    text = fixed(measured.mean, decimals)
    if measured.half_width is not None:
        text += f" ± {fixed(measured.half_width, decimals)}, n = {measured.n}"
    return text


def kind_counts(found: Judged) -> list[dict[str, Any]]:
    """Verdicts by kind of agreement, for the kinds that the paper has."""
    counts = Counter((one.kind, one.verdict) for _, one in found.figures if one.figure.printed is not None)
    return [
        {"kind": name, "meaning": meaning, "counts": [counts[kind, verdict] for verdict in VERDICTS]}
        for kind, name, meaning in KINDS
        if any(counts[kind, verdict] for verdict in VERDICTS)
    ]


# Claims ---------------------------------------------------------------------------------------------------------------


def claim_views(found: Judged) -> list[dict[str, Any]]:
    """A line for each claim and budget that says something; what was not run at all takes one line."""
    return [line for rows in _claim_rows(found.claims).values() for line in rows]


def _claim_rows(claims: Iterable[Finding]) -> Mapping[str, list[dict[str, Any]]]:
    by_claim: dict[str, list[Finding]] = {}
    for one in claims:
        by_claim.setdefault(one.claim.id, []).append(one)
    rows = {}
    for name, found in by_claim.items():
        ran = [one for one in found if one.verdict != "not run"]
        silent = [one.budget for one in found if one.verdict == "not run"]
        # The largest budget speaks first.
        ran.sort(key=lambda one: BUDGETS.index(one.budget), reverse=True)
        rows[name] = [_claim_row(one, one.budget, silent) for one in ran] or [
            _claim_row(found[0], ", ".join(silent), [])
        ]
    return rows


def _claim_row(one: Finding, budget: str, silent: Sequence[str]) -> dict[str, Any]:
    rest = f"; not run at {', '.join(silent)} budget" if silent else ""
    return {
        "claim": message(one.claim.id),
        "statement": note(one.claim.statement),
        "place": message(one.claim.place),
        "mark": CERTAINTY_MARKS.get(one.claim.certainty, ("", ""))[0],
        "certainty": one.claim.certainty,
        "budget": budget,
        "verdict": one.verdict,
        "effect": "" if one.effect is None else _effect(one.effect),
        "interval": "" if one.low is None or one.high is None else f"{_plain(one.low)} to {_plain(one.high)}",
        "n": str(one.n) if one.n else "",
        "why": message(one.why) + rest,
    }


def _effect(value: float) -> str:
    return signed(value, 3) if abs(value) < 1 else ("+" if value > 0 else "") + _plain(value)


def _plain(value: float) -> str:
    return significant(value, 4)
