"""`allwin run`: does what is missing of a grid, shows how far it is, and ends with the leaderboard."""

from pathlib import Path

import click

from allwin.grid_options import Grid, grid_options
from allwin.options import json_option
from allwin.running import Engine, engine_options, run_cells


@click.command()
@grid_options()
@engine_options
@click.option("--retry", multiple=True, metavar="CAUSE", help="Run failures of this cause again, or all.")
@json_option
def command(grid: Grid, store: Path, how: Engine, retry: tuple[str, ...], as_json: bool) -> int:
    """Run what is missing of SUITE, which is a suite's name or file, or a task.

    Records are written as the trials end; the same command again does only what is missing. Exit code 1 if a trial
    failed, 130 after Ctrl-C (once: the running trials end; twice: at once).
    """
    suite, cells = grid.expand(how.hardware_of if how.address else None)
    return run_cells(suite.name, suite.title, cells, store, how, retry=retry, paths=grid.paths, as_json=as_json)
