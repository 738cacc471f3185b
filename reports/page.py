"""One self-contained HTML file for a set of records: no request, complete without scripts, everything escaped."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.record import Record
from reports.facts import environments, failures, header_facts, latest, trials
from reports.rendering import render
from reports.sections import NO_PLACE, Illustrated, overview, sections, together
from reports.text import label

BOARDS = 200
"""Boards that are shown in full; the overview has all."""

MADE = "Made by allwin from the records of a store; nothing here was typed in by hand."


def page(title: str, boards: Sequence[Illustrated], records: Sequence[Record], kinds: Mapping[str, str]) -> str:
    """The whole document. `kinds` tells of each data set whether it is embedded, generated or the user's files."""
    named = environments(records)
    told, untold = failures(records)
    shown = sections(boards, {record.key: record for record in records}, kinds)
    lines = [
        overview(section, f"#{section.anchor}" if place <= BOARDS else NO_PLACE)
        for place, section in enumerate(shown, 1)
    ]
    return render(
        "page.html",
        title,
        brand="allwin report",
        lead=lead(records),
        generated=generated(records, kinds),
        facts=header_facts(records),
        overview=lines,
        sections=shown[:BOARDS],
        together=together([illustrated.board for illustrated in boards]),
        boards_left_out=max(0, len(shown) - BOARDS),
        failures=told,
        failures_left_out=untold,
        trials=trials(records, [illustrated.board for illustrated in boards], named),
        environments=named.shown,
        environments_left_out=named.left_out,
        footer=f"Latest record: {latest(records)}. {MADE}",
    )


def generated(records: Iterable[Record], kinds: Mapping[str, str]) -> list[str]:
    """The data sets that code made from a seed."""
    return sorted({label(r.spec.dataset) for r in records if kinds.get(r.spec.dataset) == "generated"})


def lead(records: Iterable[Record]) -> str:
    """What is here, counted."""
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
