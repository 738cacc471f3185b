"""The page of a trial: all that its record tells, in the order in which one asks."""

import json
from collections.abc import Mapping
from typing import Any

from bench.record import Curve, Measurement, Record
from reports.curves import WHEN
from reports.facts import environment_facts, moment
from reports.leaderboard import flattened
from reports.numbers import scale, significant
from reports.sheet import TITLES, plain_name
from reports.sketch import Sketch, Trace, sketch
from reports.text import label, lines, message, printable, shortened, traceback_tail

CURVES = 24
"""Drawings of a page at most."""

ARTEFACT = 4_000
"""Characters of an artefact that are shown."""

DETAIL = 600
LONG_TRACEBACK = 20_000
FIELDS = 200
"""Rows of a table of settings, parts or packages at most."""


def trial_facts(record: Record) -> list[tuple[str, str]]:
    """What was asked for, and how it ended."""
    spec = record.spec
    return [
        ("Data set", label(spec.dataset)),
        ("Budget", spec.budget),
        ("Seed", str(spec.seed)),
        ("Device", spec.device),
        ("Stages", ", ".join(spec.stages)),
        ("Workload", message(record.workload) or "none"),
        ("Started", f"{moment(record.started)} UTC"),
        ("Ended", f"{moment(record.ended)} UTC"),
        ("Attempt", str(record.attempt)),
        ("Claim level", record.claim_level),
        ("Suite", label(record.provenance.suite) or "none"),
    ]


def failure(record: Record) -> dict[str, str] | None:
    """Cause, stage, message and the end of the traceback."""
    if not record.failure:
        return None
    told = record.failure
    return {
        "status": record.status,
        "cause": told.cause,
        "stage": told.stage,
        "message": message(told.message) or "no message",
        "traceback": traceback_tail(told.traceback, LONG_TRACEBACK),
    }


def metrics(record: Record) -> list[tuple[str, ...]]:
    return [
        (
            plain_name(name, value.unit),
            significant(value.value, 6),
            label(value.unit),
            f"{value.better} is good",
            label(value.split),
            f"{value.items:,}",
        )
        for name, value in list(record.metrics.items())[:FIELDS]
    ]


def costs(group: str, measurements: Mapping[str, Measurement]) -> list[dict[str, Any]]:
    """Value, instrument and flags of each; or why it was not measured."""
    scales = {name: scale(one.unit, [] if one.value is None else [one.value]) for name, one in measurements.items()}
    return [
        {
            "name": TITLES.get(f"{group}.{name}", label(name.replace("_", " "))),
            "value": "" if one.value is None else significant(one.value / scales[name][0], 4),
            "unit": label(scales[name][1]) if one.value is not None else label(one.unit),
            "instrument": message(one.instrument),
            "reason": message(one.reason),
            "flags": [label(name.replace("_", " ")) for name, value in one.detail.items() if value is True][:FIELDS],
            "detail": _json(one.detail, DETAIL) if one.detail else "",
        }
        for name, one in list(measurements.items())[:FIELDS]
    ]


def curves(record: Record) -> tuple[list[Sketch], list[str]]:
    """Drawings, those of evaluation first; and the names of those that there is no room for."""
    ordered = sorted(record.curves.items(), key=lambda item: (item[1].origin, item[0]))
    of = label(f"{record.spec.method}, seed {record.spec.seed}")
    drawn = [
        found
        for number, (name, curve) in enumerate(ordered[:CURVES], 1)
        if (found := sketch(f"curve-{number}", caption(name, curve), label(curve.x_name), of, [_trace(name, curve)]))
    ]
    return drawn, [label(name) for name, _ in ordered[CURVES:]]


def caption(name: str, curve: Curve) -> str:
    """`risk during fit`, with its unit."""
    unit = f" ({label(curve.unit)})" if curve.unit else ""
    return f"{plain_name(name, curve.unit)}{unit} {WHEN[curve.origin]}"


def _trace(name: str, curve: Curve) -> Trace:
    return Trace(plain_name(name, curve.unit), curve.x, curve.y)


def artefacts(record: Record) -> list[tuple[str, str]]:
    return [
        (label(name), lines(shortened(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True), ARTEFACT)))
        for name, value in list(record.artefacts.items())[:FIELDS]
    ]


def fields(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings or parameters, nested ones by dotted names."""
    flat = list(flattened(values).items())
    rows = [(label(name), _json(value, DETAIL)) for name, value in flat[:FIELDS]]
    return [*rows, (f"and {len(flat) - FIELDS} more", "in the record")] if len(flat) > FIELDS else rows


def named(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Short facts by name: key parts, seeds, seconds."""
    return [(label(name), message(str(value))) for name, value in list(values.items())[:FIELDS]]


def seconds(record: Record) -> list[tuple[str, str]]:
    return [(label(name), f"{significant(value)} s") for name, value in list(record.stage_s.items())[:FIELDS]]


def provenance(record: Record) -> list[tuple[str, str]]:
    told = record.provenance
    processes = f"driver {told.driver_pid}, worker {told.worker_pid}"
    if told.profile_pid is not None:
        processes += f", profile {told.profile_pid}"
    return [
        *environment_facts(told),
        ("Processes", processes),
        ("Data's fingerprint", message(told.data_fingerprint) or "none: loading failed"),
        ("Checksum", message(record.checksum) or "none"),
    ]


def _json(value: Any, length: int) -> str:
    return printable(shortened(json.dumps(value, ensure_ascii=False, sort_keys=True), length))
