"""A cell on its way to a worker, and the record that comes of it. Nothing here imports torch: the driver needs none."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import provenance
from bench.grid import Cell
from bench.keys import canonical
from bench.limits import DEFAULT_LIMITS, Limits
from bench.provenance import Origin
from bench.record import Failure, Provenance, Record


@dataclass(frozen=True)
class Trial:
    """A cell on its way to a worker, with what the worker must know besides."""

    cell: Cell
    origin: Origin
    attempt: int = 1
    method_paths: tuple[Path, ...] = ()
    checkpoints: Path | None = None
    claim: Path | None = None
    """The file that is locked while this run works on it: by it a worker elsewhere sees whether it shares the store."""
    limits: Limits = DEFAULT_LIMITS["smoke"]
    threads: int = 1
    memory_bytes: int | None = None
    """What it needs of its device's memory; None where nobody knows."""
    shared: bool = True
    """Whether other trials of this run solve the same problem."""
    debug: bool = False
    """A failure is raised instead of recorded: for a debugger in this process."""

    @functools.cached_property
    def shared_problem(self) -> str:
        """What other trials of this run solve too, as a text; empty where nothing is shared."""
        return problem_of(self.cell) if self.shared else ""


def problem_of(cell: Cell) -> str:
    """The problem of a cell, as a text."""
    spec = cell.spec
    return canonical([spec.task, spec.settings, spec.dataset, spec.budget, spec.seed])


def make_record(trial: Trial, failure: Failure | None, where: Provenance, **fields: Any) -> Record:
    """A trial's record. A failed one keeps neither metrics nor costs: a number beside a failure would be believed."""
    if failure:
        for name in ("metrics", "costs"):
            fields.pop(name, None)
    skipped = failure is not None and failure.cause in ("unsupported", "missing-data")
    return Record(
        key=trial.cell.key,
        parts=trial.cell.parts,
        spec=trial.cell.spec,
        status="ok" if failure is None else "skipped" if skipped else "failed",
        failure=failure,
        attempt=trial.attempt,
        oracle=trial.cell.oracle,
        ended=provenance.now(),
        provenance=where,
        **({"started": provenance.now()} | fields),
    )
