"""What a page tells besides the boards: of which trials it is made, where they ran, and what went wrong."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.record import Provenance, Record
from reports.board import Board
from reports.numbers import significant
from reports.text import label, message, shortened, traceback_tail

KEY = 12
"""Characters of a key that are shown: enough to name it."""

FAILURES = 200
"""Kinds of failure that are listed."""

TRACEBACKS = 60
"""Kinds of failure whose traceback is shown."""

ENVIRONMENTS = 30
OWN_TO_A_TRIAL = {"driver_pid", "worker_pid", "data_fingerprint"}
"""Parts of the provenance that differ between the trials of one run."""


def latest(records: Sequence[Record]) -> str:
    return moment(max(record.ended for record in records)) if records else "none"


def moment(iso: str) -> str:
    """A UTC time to the second."""
    return label(iso[:19].replace("T", " "))


def _span(first: str, last: str) -> str:
    """To the minute; the day once where it is the same."""
    start, end = moment(first)[:16], moment(last)[:16]
    return f"{start} to {end[11:] if end[:10] == start[:10] else end} UTC"


def header_facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    """What one asks first of a set of records."""
    if not records:
        return [("Trials", "none")]
    statuses = Counter(record.status for record in records)
    seeds = sorted({record.spec.seed for record in records})
    return [
        (
            "Trials",
            ", ".join(f"{statuses[status]:,} {status}" for status in ("ok", "failed", "skipped") if statuses[status]),
        ),
        ("Seeds", _seeds(seeds)),
        ("Budget", _listed(record.spec.budget for record in records)),
        ("Suite", _listed(record.provenance.suite for record in records) or "none"),
        ("Hardware", _listed(record.provenance.hardware for record in records)),
        ("Ran", _span(min(record.started for record in records), max(record.ended for record in records))),
        ("allwin", _listed(_version(record.provenance) for record in records)),
    ]


def _version(provenance: Provenance) -> str:
    commit = f", commit {provenance.git_commit[:10]}" if provenance.git_commit else ", outside a checkout"
    return provenance.allwin + commit + (", with changes" if provenance.git_dirty else "")


def _listed(values: Any) -> str:
    distinct = sorted(set(values))
    text = "; ".join(label(value) for value in distinct[:4])
    return f"{text}; and {len(distinct) - 4} more" if len(distinct) > 4 else text


def _seeds(seeds: Sequence[int]) -> str:
    """`0 to 4`, or the list where there are gaps."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{len(seeds)} ({seeds[0]} to {seeds[-1]})"
    return f"{len(seeds)} ({shortened(', '.join(map(str, seeds)), 40)})"


# Failures -------------------------------------------------------------------------------------------------------------


def failures(records: Sequence[Record]) -> tuple[list[dict[str, str]], int]:
    """Failed, then skipped trials, alike ones in one line; and how many kinds were left out."""
    alike: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.failure:
            spec, failure = record.spec, record.failure
            kind = (record.status, spec.task, spec.dataset, spec.method, failure.cause, failure.stage, failure.message)
            alike.setdefault(kind, []).append(record)
    kinds = sorted(alike.items())
    told = []
    for number, (_, group) in enumerate(kinds[:FAILURES]):
        first = group[0]
        assert first.failure
        told.append(
            {
                "status": first.status,
                "cause": first.failure.cause,
                "method": label(first.spec.method),
                "data": label(f"{first.spec.task} on {first.spec.dataset}"),
                "seeds": shortened(", ".join(str(seed) for seed in sorted(record.spec.seed for record in group)), 40),
                "stage": first.failure.stage,
                "message": message(first.failure.message) or "no message",
                "traceback": traceback_tail(first.failure.traceback) if number < TRACEBACKS else "",
            }
        )
    return told, len(kinds) - len(told)


# Environments and trials ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Environments:
    """Where trials ran, alike ones together; `names` are by record key."""

    names: Mapping[str, str]
    shown: Sequence[Mapping[str, Any]]
    left_out: int


def environments(records: Sequence[Record]) -> Environments:
    alike: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.started, record.key)):
        same = json.dumps(record.provenance.model_dump(mode="json", exclude=OWN_TO_A_TRIAL), sort_keys=True)
        alike.setdefault(same, []).append(record)
    names = {record.key: f"E{number}" for number, group in enumerate(alike.values(), 1) for record in group}
    shown = [
        {
            "name": f"E{number}",
            "summary": label(f"{group[0].provenance.hardware}, {len(group):,} trial{'' if len(group) == 1 else 's'}"),
            "facts": environment_facts(group[0].provenance),
        }
        for number, group in enumerate(list(alike.values())[:ENVIRONMENTS], 1)
    ]
    return Environments(names, shown, len(alike) - len(shown))


def environment_facts(provenance: Provenance) -> list[tuple[str, str]]:
    """Where, when, with what and by which command."""
    accelerator, accelerated = provenance.accelerator, "none"
    if accelerator:
        memory = significant(accelerator.memory_bytes / 2**30)
        accelerated = f"{label(accelerator.name)}, {memory} GiB, driver {label(accelerator.driver)}"
    return [
        ("Command", message(provenance.command)),
        ("allwin", label(_version(provenance))),
        (
            "Engine",
            f"{provenance.engine}, {provenance.threads} thread{'' if provenance.threads == 1 else 's'} a worker",
        ),
        ("Processor", label(f"{provenance.cpu}, {provenance.cores} cores")),
        ("Memory", f"{significant(provenance.memory_bytes / 2**30)} GiB"),
        ("Accelerator", accelerated),
        ("System", label(f"{provenance.platform}, Python {provenance.python}")),
        ("Packages", message(", ".join(f"{name} {version}" for name, version in sorted(provenance.packages.items())))),
        ("Flags", message(", ".join(f"{name}={value}" for name, value in sorted(provenance.flags.items())) or "none")),
    ]


def trials(records: Sequence[Record], boards: Sequence[Board], named: Environments) -> list[dict[str, str]]:
    """One short line a record, in the order of the boards; those that no board uses (older code) last."""
    labels = {key: row.label for board in boards for row in board.rows for key in row.keys.values()}
    places = {key: place for place, key in enumerate(labels)}
    lines = []
    for record in sorted(records, key=lambda record: (places.get(record.key, len(places)), record.ended, record.key)):
        first = next(iter(record.metrics.items()), None)
        lines.append(
            {
                "key": record.key[:KEY],
                "method": label(labels.get(record.key, f"{record.spec.method} (older code)")),
                "data": label(f"{record.spec.task} on {record.spec.dataset}"),
                "seed": str(record.spec.seed),
                "status": record.status if not record.failure else f"{record.status}: {record.failure.cause}",
                "metric": f"{significant(first[1].value, 4)} {label(first[1].unit)}".strip() if first else "",
                "wall": significant(sum(record.stage_s.values())) if record.stage_s else "",
                "ended": moment(record.ended),
                "environment": named.names[record.key],
            }
        )
    return lines
