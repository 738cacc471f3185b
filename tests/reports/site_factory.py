"""A small site with one of everything: figures and claims of each verdict, curves, costs, failures, artefacts."""

from pathlib import Path
from typing import Any

from record_factory import cost, curve, failed, profile, record, skipped

from bench import registry
from bench.contracts import Budget
from bench.evidence import Ask, Evidence
from bench.papers import Paper, parse_paper
from bench.record import MetricValue, Record
from reports.build import illustrate
from reports.site import write_site
from reports.site_papers import Judged, judged

KNOWN = registry.load()

DISTANCES = {"sample-mean": 0.5, "descent": 1.5}
"""Mean distance of each toy method; seeds add hundredths."""


def toy_records(budget: Budget = "smoke") -> list[Record]:
    """Trials of the toy plug-in as they are asked for by figures and claims: three seeds of two methods."""
    made = []
    for method, distance in DISTANCES.items():
        ask = Ask(task="toy", method=method, quantity="metric.distance", seeds=3)
        for cell in Evidence(KNOWN, []).measured(ask, budget).cells:
            value = distance + cell.spec.seed / 100
            latency = cost(1.5, "ms", contaminated=True, p5=1)
            drawn = record(
                metrics={"distance": MetricValue(value=value, unit="1", better="low", items=1)},
                costs=profile(1.0, 1e6) | {"latency_ms": latency},
                training={"fit_s": cost(2.0, "s")},
                curves={"risk": curve([1.0, None, 0.25]), "roc": curve([0.0, 1.0], "evaluate", "rate")},
            )
            changes = {"key": cell.key, "parts": cell.parts, "spec": cell.spec, "artefacts": {"genotype": ["conv", 3]}}
            made.append(drawn.model_copy(update=changes))
    return made


def small_set() -> list[Record]:
    """The toy trials, and beside them another task with a failure, a skipped trial and a method that is gone."""
    records = toy_records()
    for seed in range(5):
        for index, method in enumerate(("pn", "nnpu", "gone")):
            curves = {"risk": curve([1.0, 0.5 - seed / 10, 0.2])}
            error = 5.0 + 5 * index + seed * (index + 1) / 10
            records.append(record(method, seed, error=error, costs=profile(1.0 + index, 1e6), curves=curves))
    return [*records, failed("upu", 0, "timeout", "over 60 s"), skipped("pu-naive", 0, "no data here")]


def small_paper() -> Paper:
    """Figures of each kind and certainty for the toy task, and claims that come out either way."""
    run = {"task": "toy", "method": "sample-mean", "quantity": "metric.distance", "kind": "full", "seeds": 3}
    # The seeds' mean is 0.51.
    rows = [
        ("agrees", {"printed": "0.51", "certainty": "paper"}),
        ("differs", {"printed": "0.90", "certainty": "second-hand", "spread": "0.05"}),
        ("recalled", {"printed": "0.51", "certainty": "recalled"}),
        ("scaled", {"printed": "0.70", "certainty": "derived", "run": {"kind": "scaled"}}),
        ("no-code", {"printed": "0.10", "certainty": "paper", "run": {"method": "nobody"}}),
        ("blank", {"certainty": "paper", "note": "the paper has no number here"}),
    ]
    table = {
        "id": "main",
        "title": "Distances",
        "place": "table 1",
        "note": "With `code` in it.",
        "run": run,
        "columns": [{"id": "distance", "title": "Distance", "better": "low", "convention": "absolute"}],
        "rows": [
            {"id": name, "title": f"Row {name}", "own": name == "agrees", "cells": {"distance": cell}}
            for name, cell in rows
        ],
    }
    claim: dict[str, Any] = {
        "place": "abstract",
        "certainty": "paper",
        "task": "toy",
        "quantity": "metric.distance",
        "test": "better",
        "first": {"method": "sample-mean"},
        "second": {"method": "descent"},
        "at": {"smoke": {"datasets": ["normal"], "seeds": 3}},
    }
    claims = [
        claim | {"id": "holds", "statement": "The mean is nearer than descent."},
        claim | {"id": "fails", "statement": "The mean is nearer by two.", "minimum_effect": 2.0},
        claim | {"id": "waits", "statement": "Nobody is nearer.", "first": {"method": "nobody"}},
    ]
    head = {"title": "On means", "authors": "Gauss", "venue": "1809", "reference": "none", "note": "A note."}
    return parse_paper(head | {"tables": [table], "claims": claims}, "means", "means.yaml")


ORDERED = {"1": 3.0, "2": 1.0, "3": 2.0, "4": 4.0, "5": 5.0}
"""Published distance of each row of `ordered_content`, and what `ordered_records` measure."""


def ordered_content() -> dict[str, Any]:
    """A paper's file with one table, whose first row is published 1st and measured 3rd."""
    run = {"task": "toy", "method": "shrunk(sample-mean)", "quantity": "metric.distance", "kind": "scaled", "seeds": 2}
    rows = [
        {
            "id": f"row-{name}",
            "title": f"Row {name}",
            "run": {"parameters": {"factor": int(name) / 10}},
            "cells": {"distance": {"printed": name, "certainty": "paper"}},
        }
        for name in ORDERED
    ]
    columns = [{"id": "distance", "title": "Distance", "better": "low"}]
    table = {"id": "main", "title": "Distances", "place": "table 1", "run": run, "columns": columns, "rows": rows}
    head = {"title": "On orders", "authors": "Gauss", "venue": "1809", "reference": "none"}
    return head | {"tables": [table], "claims": []}


def ordered_records(budget: Budget = "smoke") -> list[Record]:
    """Two seeds of each row of `ordered_content`, row by row."""
    made = []
    for name, distance in ORDERED.items():
        parameters = {"factor": int(name) / 10}
        ask = Ask("toy", "shrunk(sample-mean)", "metric.distance", seeds=2, parameters=parameters)
        for cell in Evidence(KNOWN, []).measured(ask, budget).cells:
            value = MetricValue(value=distance, unit="1", better="low", items=1)
            changes = {"key": cell.key, "parts": cell.parts, "spec": cell.spec}
            made.append(record(metrics={"distance": value}).model_copy(update=changes))
    return made


def judged_paper(records: list[Record], paper: Paper | None = None) -> Judged:
    return judged(paper or small_paper(), [Evidence(KNOWN, records)], ["smoke"])


def write_small_site(out: Path, records: list[Record] | None = None, title: str = "Toy site") -> list[Path]:
    records = small_set() if records is None else records
    return write_site(records, out, title, KNOWN, [judged_paper(records)], illustrate)
