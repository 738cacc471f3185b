"""What the verbs that run trials share: how a run is made, shown and concluded."""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.grid import Cell
    from bench.runner import EngineName, Progress
    from bench.store import Store

LAST_RUN = "last-run.json"
"""In the store: the words of its last run, for `allwin resume`."""

INTERRUPTED = 130


@dataclass(frozen=True)
class Engine:
    """How trials are run, as the command line says."""

    engine: "EngineName"
    workers: int | None
    threads: int
    address: str | None
    accelerator: str | None
    time_limit: float | None
    """Seconds."""
    memory_limit: float | None
    """GiB."""
    pdb: bool

    def hardware_of(self, device: str) -> str:
        """Of the cluster's nodes."""
        from bench.cluster import hardware_of

        assert self.address
        return hardware_of(self.address, self.accelerator, device)

    def __post_init__(self) -> None:
        if self.pdb and self.engine != "inline":
            raise UserError("--pdb needs --engine inline: a worker's process has no terminal")


OPTIONS = (
    click.option("--engine", type=click.Choice(["ray", "inline"]), default="ray", show_default=True),
    click.option("--workers", type=click.IntRange(min=1), help="Trials at a time; else as many as the cores allow."),
    click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of each trial."),
    click.option("--address", metavar="HOST:PORT", help="A running Ray cluster, instead of one on this machine."),
    click.option(
        "--accelerator", metavar="NAME", help="Only nodes with this accelerator, by Ray's name, such as H100."
    ),
    click.option(
        "--time-limit", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Of a trial, in seconds."
    ),
    click.option(
        "--memory-limit",
        type=click.FloatRange(min=0, min_open=True),
        metavar="GIB",
        help="Of a trial and its children.",
    ),
    click.option("--pdb", is_flag=True, help="With --engine inline: a debugger where a trial fails."),
)


def engine_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options and hands the verb one `Engine` in their place."""

    @functools.wraps(verb)
    def wrapped(**words: Any) -> Any:
        names = Engine.__dataclass_fields__
        how = Engine(**{name: words.pop(name) for name in names})
        return verb(how=how, **words)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def run_cells(
    name: str,
    title: str,
    cells: "Sequence[Cell]",
    store: Path,
    how: Engine,
    *,
    retry: tuple[str, ...],
    paths: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Runs what is missing of these cells, prints what then stands, and returns the exit code."""
    from bench.store import Store

    progress = run_missing(name, title, cells, store, how, retry=retry, paths=paths, quiet=as_json)
    return progress if isinstance(progress, int) else _conclude(name, cells, Store.open(store), progress, as_json)


def run_missing(
    name: str,
    title: str,
    cells: "Sequence[Cell]",
    store: Path,
    how: Engine,
    *,
    retry: tuple[str, ...] = (),
    paths: tuple[Path, ...],
    quiet: bool,
) -> "Progress | int":
    """Runs what is missing of these cells; how far it came, or the exit code where it was broken off."""
    from allwin.live import Live
    from bench.limits import GIB
    from bench.outside import outside_code
    from bench.registry import load
    from bench.runner import Options, check_causes, run
    from bench.store import Store

    check_causes(retry)
    opened = Store.open(store, create=True)
    if later := opened.later_schema() & {cell.key for cell in cells}:
        raise UserError(
            f"--store {store}: {len(later)} of these trials have records that a later allwin wrote; "
            "update allwin, or name another --store"
        )
    tell_outside(outside_code(cells, load(paths)))
    words = _words()
    if words[:1] == ("run",):
        (store / LAST_RUN).write_text(json.dumps(words), encoding="utf-8")
    options = Options(
        engine=how.engine,
        workers=how.workers,
        threads=how.threads,
        address=how.address,
        accelerator=how.accelerator,
        time_limit_s=how.time_limit,
        memory_limit_bytes=None if how.memory_limit is None else int(how.memory_limit * GIB),
        retry=retry,
        method_paths=paths,
        debug=how.pdb,
        command=words,
    )
    with Live(title, quiet=quiet) as live:
        try:
            return run(cells, opened, name, options, live)
        except KeyboardInterrupt:
            click.echo(f"interrupted; what ended is in {store}, the same command goes on from there", err=True)
            return INTERRUPTED
        except Exception:
            if not how.pdb:
                raise
            import pdb

            pdb.post_mortem(sys.exc_info()[2])
            return 1


def tell_outside(sources: list[str]) -> None:
    """Names code from outside the tree before any of it is imported."""
    from allwin.output import one_line

    if sources:
        click.echo(one_line(f"runs code from outside allwin's tree: {'; '.join(sources)}"), err=True)


def _words() -> tuple[str, ...]:
    """The command line as it was given, which is this process's own or, after `resume`, an earlier one's."""
    return tuple(click.get_current_context().find_root().obj or ())


def _conclude(name: str, cells: "Sequence[Cell]", store: "Store", progress: "Progress", as_json: bool) -> int:
    """Prints what stands now for every cell asked for. Failures of earlier runs count: the grid is not whole."""
    from allwin.boards import boards_of, print_boards
    from allwin.output import print_json, print_line

    wanted = {cell.key for cell in cells}
    records = [record for record in store.records() if record.key in wanted]
    statuses = [record.status for record in records]
    failed, good = statuses.count("failed"), statuses.count("ok")
    if as_json:
        failures = [
            {
                "key": record.key,
                "task": record.spec.task,
                "method": record.spec.method,
                "dataset": record.spec.dataset,
                "seed": record.spec.seed,
                "cause": record.failure.cause,
                "message": record.failure.message,
            }
            for record in records
            if record.failure
        ]
        print_json(
            {
                "suite": name,
                "store": str(store.path),
                "cells": len(cells),
                "reused": progress.reused,
                "ok": good,
                "failed": failed,
                "skipped": statuses.count("skipped"),
                "failures": failures,
            }
        )
    else:
        print_boards(boards_of(records))
        print_line(
            f"{len(cells)} cells: {good} ok, {failed} failed, {statuses.count('skipped')} skipped; "
            f"{progress.reused} reused -> {store.path}"
        )
    return 0 if good and not failed else 1
