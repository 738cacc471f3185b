"""`allwin run`: does what is missing of a grid, shows how far it is, and ends with the leaderboard."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allwin.grid_options import Grid, grid_options
from allwin.options import json_option

if TYPE_CHECKING:
    from bench.contracts import Budget
    from bench.limits import Limits

LAST_RUN = "last-run.json"
"""In the store: the arguments of its last run, for `allwin resume`."""


@click.command()
@grid_options()
@click.option("--engine", type=click.Choice(["ray", "inline"]), default="ray", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Trials at a time; else as many as the cores allow.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of each trial.")
@click.option("--address", metavar="HOST:PORT", help="A running Ray cluster, instead of one on this machine.")
@click.option("--time-limit", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Of a trial, in seconds.")
@click.option(
    "--memory-limit", type=click.FloatRange(min=0, min_open=True), metavar="GIB", help="Of a trial and its children."
)
@click.option("--retry", multiple=True, metavar="CAUSE", help="Run failures of this cause again, or all.")
@click.option("--pdb", is_flag=True, help="With --engine inline: a debugger where a trial fails.")
@json_option
def command(
    grid: Grid,
    store: Path,
    engine: Any,
    workers: int | None,
    threads: int,
    address: str | None,
    time_limit: float | None,
    memory_limit: float | None,
    retry: tuple[str, ...],
    pdb: bool,
    as_json: bool,
) -> int:
    """Run what is missing of SUITE, which is a suite's name or file, or a task.

    Records are written as the trials end; the same command again does only what is missing. Exit code 1 if a trial
    failed, 130 after Ctrl-C (once: the running trials end; twice: at once).
    """
    from bench.errors import UserError
    from bench.runner import Options, plan, run
    from bench.store import Store

    if pdb and engine != "inline":
        raise UserError("--pdb needs --engine inline: a worker's process has no terminal")
    suite, cells = grid.expand()
    opened = Store.open(store, create=True)
    (store / LAST_RUN).write_text(json.dumps(sys.argv[1:]), encoding="utf-8")
    planned = plan(cells, opened, retry)
    limits = _limits(cells[0].spec.budget, time_limit, memory_limit)
    options = Options(engine, workers, threads, address, limits, retry, grid.paths, pdb)

    from allwin.live import Live

    with Live(suite.title, len(planned.to_run), quiet=as_json) as live:
        try:
            progress = run(cells, opened, suite.name, options, live)
        except KeyboardInterrupt:
            click.echo(f"interrupted; what ended is in {store}, the same command goes on from there", err=True)
            return 130
        except Exception:
            if not pdb:
                raise
            import pdb as debugger

            debugger.post_mortem(sys.exc_info()[2])
            return 1
    return _conclude(suite, cells, opened, progress, as_json)


def _limits(budget: "Budget", time_s: float | None, memory_gib: float | None) -> "Limits | None":
    """The budget's limits with what was asked for in their place; None where nothing was."""
    from bench.limits import DEFAULT_LIMITS, GIB, Limits

    if time_s is None and memory_gib is None:
        return None
    default = DEFAULT_LIMITS[budget]
    return Limits(time_s or default.time_s, int(memory_gib * GIB) if memory_gib else default.memory_bytes)


def _conclude(suite: Any, cells: list[Any], store: Any, progress: Any, as_json: bool) -> int:
    """Prints what stands now for every cell asked for. Failures of earlier runs count: the grid is not whole."""
    from allwin.boards import boards_of, print_boards
    from allwin.output import print_json, print_line

    wanted = {cell.key for cell in cells}
    records = [record for record in store.records() if record.key in wanted]
    statuses = [record.status for record in records]
    failed, good = statuses.count("failed"), statuses.count("ok")
    if as_json:
        print_json(
            {
                "suite": suite.name,
                "store": str(store.path),
                "cells": len(cells),
                "reused": progress.reused,
                "ok": good,
                "failed": failed,
                "skipped": statuses.count("skipped"),
                "failures": [
                    {
                        "key": r.key,
                        "task": r.spec.task,
                        "method": r.spec.method,
                        "dataset": r.spec.dataset,
                        "seed": r.spec.seed,
                        "cause": r.failure.cause,
                        "message": r.failure.message,
                    }
                    for r in records
                    if r.failure
                ],
            }
        )
    else:
        print_boards(boards_of(records))
        print_line(
            f"{len(cells)} cells: {good} ok, {failed} failed, {statuses.count('skipped')} skipped; "
            f"{progress.reused} reused -> {store.path}"
        )
    return 0 if good and not failed else 1
