"""Runs what is missing of a grid and writes each record as its trial ends. It never renders."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from filelock import BaseFileLock

from bench import provenance
from bench.errors import CAUSES, UserError
from bench.grid import Cell
from bench.limits import DEFAULT_LIMITS, Limits
from bench.record import Failure, Record
from bench.registry import unknown
from bench.store import Store
from bench.trial import Trial, problem_of

EngineName = Literal["inline", "ray"]


@dataclass
class Progress:
    """How far a run is. The runner keeps it, the terminal shows it."""

    total: int = 0
    reused: int = 0
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    elsewhere: int = 0
    """Cells that another runner is working on."""
    running: dict[str, str] = field(default_factory=dict)
    """Key -> what is being done."""
    waiting: int = 0
    """Solutions that wait for their profile."""
    draining: bool = False

    @property
    def done(self) -> int:
        return self.reused + self.ok + self.failed + self.skipped + self.elsewhere


class Engine(Protocol):
    """Runs trials and yields their records in the order in which they end."""

    def run(self, trials: Iterator[Trial], progress: Progress, changed: Callable[[], None]) -> Iterator[Record]: ...


@dataclass(frozen=True)
class Plan:
    """What a run would do: the cells to run, and those that need nothing."""

    to_run: list[Cell]
    to_skip: list[Cell]
    reused: dict[str, str]
    """Key -> status of the record that stands."""


def plan(cells: Sequence[Cell], store: Store | None, retry: Sequence[str] = ()) -> Plan:
    """Sorts cells into what is missing and what stands. `retry` names causes whose failures are run again, or `all`."""
    check_causes(retry)
    known = _known(store) if store else {}
    to_run, to_skip, reused = [], [], {}
    for cell in cells:
        status, cause = known.get(cell.key, ("", ""))
        again = status == "failed" and ("all" in retry or cause in retry)
        if status in ("ok", "failed") and not again:
            reused[cell.key] = status
        elif cell.skip is None:
            to_run.append(cell)
        elif status == "skipped":
            reused[cell.key] = status
        else:
            to_skip.append(cell)
    return Plan(to_run, to_skip, reused)


def check_causes(causes: Sequence[str]) -> None:
    """Raises `UserError` for a word that is neither a cause nor `all`."""
    for cause in causes:
        if cause not in (*CAUSES, "all"):
            raise unknown("cause", cause, [*CAUSES, "all"], "allwin status")


def _known(store: Store) -> dict[str, tuple[str, str]]:
    if not store.attempts():
        return {}
    frame = store.frame()
    return {
        key: (status, cause) for key, status, cause in zip(frame["key"], frame["status"], frame["cause"], strict=True)
    }


@dataclass(frozen=True)
class Options:
    """How a run is made."""

    engine: EngineName = "ray"
    workers: int | None = None
    """Trials at a time; None: as many as the cores allow."""
    threads: int = 1
    """Of each trial. Part of no key, since one thread is what makes results equal everywhere."""
    address: str | None = None
    limits: Limits | None = None
    retry: tuple[str, ...] = ()
    method_paths: tuple[Path, ...] = ()
    debug: bool = False
    """Inline only: a failure is raised where it happens."""
    command: tuple[str, ...] = ()
    """The words after `allwin`: what a record names as the command to run again."""


def run(
    cells: Sequence[Cell],
    store: Store,
    suite: str,
    options: Options,
    listener: Callable[[Progress, Record | None], None] = lambda *_: None,
) -> Progress:
    """Runs the missing cells. Raises `KeyboardInterrupt` after a first Ctrl-C has drained, or at once at a second."""
    planned = plan(cells, store, options.retry)
    progress = Progress(total=len(cells), reused=len(planned.reused))
    origin = provenance.origin(suite, options.engine, options.command)
    claims: dict[str, BaseFileLock] = {}
    attempts = store.attempts()
    problems = Counter(problem_of(cell) for cell in planned.to_run)

    def write(record: Record) -> None:
        try:
            store.add(record)
        except OSError as error:
            raise UserError(
                f"--store {store.path}: a record cannot be written ({error.strerror}); what stands there is whole, "
                "mend that and run the same command again"
            ) from error
        if record.key in claims:
            store.release(record.key, claims.pop(record.key))
        progress.running.pop(record.key, None)
        setattr(progress, record.status, getattr(progress, record.status) + 1)
        listener(progress, record)

    def trials() -> Iterator[Trial]:
        for cell in planned.to_run:
            if progress.draining:
                return
            claim = store.claim(cell.key)
            if claim is None:
                progress.elsewhere += 1
                continue
            if _done_meanwhile(store, cell.key, attempts):
                store.release(cell.key, claim)
                progress.reused += 1
                continue
            claims[cell.key] = claim
            limits = options.limits or DEFAULT_LIMITS[cell.spec.budget]
            yield Trial(
                cell=cell,
                origin=origin,
                attempt=attempts.get(cell.key, 0) + 1,
                method_paths=options.method_paths,
                checkpoints=store.checkpoints(cell.key),
                limits=limits,
                threads=options.threads,
                shared=problems[problem_of(cell)] > 1,
                debug=options.debug,
            )

    listener(progress, None)
    for cell in planned.to_skip:
        write(_skipped(cell, origin, options.threads))
    try:
        if planned.to_run:
            with _drain_at_first_interrupt(progress, lambda: listener(progress, None)):
                for record in _engine(options).run(trials(), progress, lambda: listener(progress, None)):
                    write(record)
                    store.forget_checkpoints(record.key)
    finally:
        for key, claim in claims.items():
            store.release(key, claim)
    if progress.draining:
        raise KeyboardInterrupt
    return progress


def _done_meanwhile(store: Store, key: str, attempts: dict[str, int]) -> bool:
    """Whether another runner wrote this record since the plan was made."""
    return (store.path / "records" / key[:2] / f"{key}-{attempts.get(key, 0) + 1}.json").exists()


def _engine(options: Options) -> Engine:
    if options.engine == "inline":
        from bench.inline_engine import InlineEngine

        return InlineEngine()
    from bench.ray_engine import RayEngine

    workers = options.workers or max(1, provenance.cores() // options.threads)
    if workers * options.threads > provenance.cores() and options.address is None:
        raise UserError(
            f"{workers} workers of {options.threads} threads need {workers * options.threads} cores, and there are "
            f"{provenance.cores()}; lower --workers or --threads"
        )
    return RayEngine(workers, options.threads, options.address)


def _skipped(cell: Cell, origin: provenance.Origin, threads: int) -> Record:
    assert cell.skip
    cause, reason = cell.skip
    moment = provenance.now()
    return Record(
        key=cell.key,
        parts=cell.parts,
        spec=cell.spec,
        status="skipped",
        failure=Failure(cause=cause, message=reason, stage="load"),
        started=moment,
        ended=moment,
        provenance=provenance.collect(origin, cell.spec.device, threads, {}, ""),
    )


@contextmanager
def _drain_at_first_interrupt(progress: Progress, changed: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C once: no new trial starts, the running ones end. Twice: `KeyboardInterrupt`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: object) -> None:  # noqa: ARG001
        if progress.draining:
            raise KeyboardInterrupt
        progress.draining = True
        changed()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
