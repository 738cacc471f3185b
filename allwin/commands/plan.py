"""`allwin plan`: each cell of a grid and its state. Runs nothing."""

from pathlib import Path

import click

from allwin.grid_options import Grid, grid_options
from allwin.options import json_option

SHOWN = 40
"""Rows in the terminal before the rest is only counted; `--json` has all."""


@click.command()
@grid_options()
@click.option("--retry", multiple=True, metavar="CAUSE", help="As in `allwin run`.")
@click.option("--all", "everything", is_flag=True, help="Every cell, however many.")
@json_option
def command(grid: Grid, store: Path, retry: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """What `allwin run` would do with SUITE: which cells stand, which are skipped and why, which would run."""
    from allwin.output import print_json, print_line, print_table
    from bench.runner import plan
    from bench.store import Store

    suite, cells = grid.expand()
    opened = Store.open(store) if (store / "records").is_dir() else None
    planned = plan(cells, opened, retry)
    running = {cell.key for cell in planned.to_run}
    rows = []
    for cell in cells:
        if cell.key in running:
            state, why = "to do", ""
        elif cell.key in planned.reused:
            state, why = planned.reused[cell.key], "has a record"
        else:
            state, why = "skip", cell.skip[1] if cell.skip else ""
        rows.append(
            {
                "state": state,
                "task": cell.spec.task,
                "dataset": cell.spec.dataset,
                "method": cell.spec.method,
                "parameters": cell.spec.parameters,
                "seed": cell.spec.seed,
                "key": cell.key,
                "why": why,
            }
        )
    if as_json:
        print_json({"suite": suite.name, "budget": cells[0].spec.budget, "cells": rows})
        return
    headings = ("state", "task", "dataset", "method", "seed", "key", "why")
    shown = rows if everything else rows[:SHOWN]
    print_table(headings, [[row[h] if h != "key" else row[h][:12] for h in headings] for row in shown], right=("seed",))
    if len(shown) < len(rows):
        print_line(f"… and {len(rows) - len(shown)} more; --all shows them")
    print_line(
        f"{len(cells)} cells at {cells[0].spec.budget} budget: {len(planned.to_run)} to do, "
        f"{len(planned.reused)} stand, {len(planned.to_skip)} to skip"
    )
