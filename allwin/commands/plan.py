"""`allwin plan`: each cell of a grid and its state. Runs nothing."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from allwin.grid_options import Grid, grid_options
from allwin.options import json_option

if TYPE_CHECKING:
    from bench.forecast import Forecast

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
    from bench.forecast import forecast
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
    expected = forecast(planned.to_run, opened.records() if opened and planned.to_run else [])
    if as_json:
        print_json({"suite": suite.name, "budget": cells[0].spec.budget, "cells": rows, "forecast": asdict(expected)})
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
    if planned.to_run:
        print_line(_told(expected))


def _told(expected: "Forecast") -> str:
    if not expected.cells:
        return "no basis for a forecast: no earlier record of the same kind in this store"
    energy = "energy not measured" if expected.energy_j is None else f"{expected.energy_j / 3600:.3g} Wh of training"
    rest = f"; no basis for the other {expected.without_basis}" if expected.without_basis else ""
    return (
        f"forecast for {expected.cells} of them, from {expected.records} earlier records: "
        f"{expected.device_s / 60:.3g} min of work, {energy}, {expected.disk_bytes / 1e6:.2g} MB{rest}"
    )
