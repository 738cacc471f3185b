"""Runs what is missing of a grid and writes each record as its trial ends. It never renders."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from filelock import BaseFileLock

from bench import data, provenance
from bench.admission import Needs
from bench.errors import CAUSES, UserError
from bench.grid import Cell
from bench.limits import DEFAULT_LIMITS, GIB, Limits
from bench.record import Failure, Record
from bench.registry import unknown
from bench.store import Store, Stored
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
    retrying: set[str] = field(default_factory=set)
    """Keys whose worker was lost and which are tried once more."""
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
    """Sorts cells into what is missing and what stands. `retry` names causes whose failures are run again, or `all`.

    A trial that lost its worker once is tried once more without being asked for; that is no fault of its method's yet.
    """
    check_causes(retry)
    known = _known(store) if store else {}
    to_run, to_skip, reused = [], [], {}
    for cell in cells:
        status, cause, attempt = known.get(cell.key, ("", "", 0))
        again = status == "failed" and ("all" in retry or cause in retry or (cause == "crash" and attempt == 1))
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


def _known(store: Store) -> dict[str, tuple[str, str, int]]:
    if not store.attempts():
        return {}
    frame = store.frame()
    columns = (frame[name] for name in ("key", "status", "cause", "attempt"))
    return {key: (status, cause, attempt) for key, status, cause, attempt in zip(*columns, strict=True)}


@dataclass(frozen=True)
class Options:
    """How a run is made."""

    engine: EngineName = "ray"
    workers: int | None = None
    """Trials at a time; None: as many as the cores and GPUs allow."""
    threads: int = 1
    """Of each trial. Part of no key, since one thread is what makes results equal everywhere."""
    address: str | None = None
    """Of a Ray cluster that runs already."""
    accelerator: str | None = None
    """Ray's name of the accelerator that every worker's node must have, such as H100."""
    time_limit_s: float | None = None
    """Of each trial, instead of its budget's."""
    memory_limit_bytes: int | None = None
    retry: tuple[str, ...] = ()
    method_paths: tuple[Path, ...] = ()
    debug: bool = False
    """Inline only: a failure is raised where it happens."""
    command: tuple[str, ...] = ()
    """The words after `allwin`: what a record names as the command to run again."""

    def limits(self, cell: Cell) -> Limits:
        default = DEFAULT_LIMITS[cell.spec.budget]
        return Limits(self.time_limit_s or default.time_s, self.memory_limit_bytes or default.memory_bytes)


@dataclass(frozen=True)
class Placement:
    """Where workers are to be, and what each of them is given."""

    workers: int
    """0 on a cluster: as many as it has room for."""
    threads: int
    address: str | None = None
    cuda: bool = False
    accelerator: str | None = None
    method_paths: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


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
    needs = Needs(_alike(store, planned.to_run) if planned.reused else ())

    def write(record: Record) -> None:
        try:
            store.add(record)
        except OSError as error:
            raise UserError(
                f"--store {store.path}: a record cannot be written ({error.strerror}); what stands there is whole, "
                "mend that and run the same command again"
            ) from error
        needs.learn(record)
        progress.running.pop(record.key, None)
        if record.key not in progress.retrying:
            if record.key in claims:
                store.release(record.key, claims.pop(record.key))
            setattr(progress, record.status, getattr(progress, record.status) + 1)
        listener(progress, record)
        progress.retrying.discard(record.key)

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
            declared = None if cell.memory_gib is None else int(cell.memory_gib * GIB)
            yield Trial(
                cell=cell,
                origin=origin,
                attempt=attempts.get(cell.key, 0) + 1,
                method_paths=options.method_paths,
                checkpoints=store.checkpoints(cell.key).resolve(),
                claim=store.claim_file(cell.key).resolve(),
                limits=options.limits(cell),
                threads=options.threads,
                memory_bytes=needs.of(cell.spec, declared),
                shared=problems[problem_of(cell)] > 1,
                debug=options.debug,
            )

    listener(progress, None)
    for cell in planned.to_skip:
        write(_skipped(cell, origin, options.threads))
    try:
        if planned.to_run:
            with _drain_at_first_interrupt(progress, lambda: listener(progress, None)):
                engine = _engine(options, planned.to_run)
                for record in engine.run(trials(), progress, lambda: listener(progress, None)):
                    again = record.key in progress.retrying
                    write(record)
                    if not again:
                        store.forget_checkpoints(record.key)
    finally:
        for key, claim in claims.items():
            store.release(key, claim)
    if progress.draining:
        raise KeyboardInterrupt
    return progress


def _alike(store: Store, cells: Sequence[Cell]) -> Iterator[Record]:
    """The good records of the store that may be of the same kind as these cells; no others are read."""
    columns = ["task", "method", "dataset", "budget", "device"]
    kinds = {tuple(getattr(cell.spec, name) for name in columns) for cell in cells}
    if not kinds:
        return
    frame = store.frame()
    records = Stored(store.path, frame)
    for key, status, *kind in zip(*(frame[name] for name in ("key", "status", *columns)), strict=True):
        if status == "ok" and tuple(kind) in kinds:
            yield records[key]


def _done_meanwhile(store: Store, key: str, attempts: dict[str, int]) -> bool:
    """Whether another runner wrote this record since the plan was made."""
    return (store.path / "records" / key[:2] / f"{key}-{attempts.get(key, 0) + 1}.json").exists()


def _engine(options: Options, cells: Sequence[Cell]) -> Engine:
    if options.engine == "inline":
        from bench.inline_engine import InlineEngine

        return InlineEngine()
    from bench.ray_start import import_ray

    import_ray(options.address)
    from bench.ray_engine import RayEngine

    return RayEngine(place(options, any(cell.spec.device == "cuda" for cell in cells)))


TRIALS_PER_GPU = 4
"""At most, as far as memory and cores allow."""


def place(options: Options, cuda: bool) -> Placement:
    """Raises `UserError` for more workers than this machine has cores for: their threads would share them."""
    cores = provenance.cores()
    workers = options.workers or 0
    if options.address is None:
        most = max(1, cores // options.threads)
        if cuda:
            most = max(1, min(most, TRIALS_PER_GPU * len(provenance.gpu_memory_bytes())))
        workers = workers or most
        if workers * options.threads > cores:
            raise UserError(
                f"{workers} workers of {options.threads} threads need {workers * options.threads} cores, and there are "
                f"{cores}; lower --workers or --threads"
            )
    root = data.root()
    environment = {data.ENVIRONMENT: str(root.resolve())} if root else {}
    return Placement(
        workers, options.threads, options.address, cuda, options.accelerator, options.method_paths, environment
    )


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
        oracle=cell.oracle,
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
