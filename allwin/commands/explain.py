"""`allwin explain`: why each cell would be reused or run again."""

from pathlib import Path

import click

from allwin.grid_options import Grid, grid_options
from allwin.options import json_option


@click.command()
@grid_options()
@json_option
def command(grid: Grid, store: Path, as_json: bool) -> None:
    """Why each cell of SUITE is reused or run again: which part of its key differs from the nearest record."""
    from allwin.output import print_json, print_table
    from bench.explain import explain
    from bench.runner import plan
    from bench.store import Store

    _, cells = grid.expand()
    opened = Store.open(store) if (store / "records").is_dir() else None
    found = explain(cells, plan(cells, opened), opened)
    if as_json:
        print_json(
            [
                {
                    "task": e.cell.spec.task,
                    "dataset": e.cell.spec.dataset,
                    "method": e.cell.spec.method,
                    "seed": e.cell.spec.seed,
                    "key": e.cell.key,
                    "parts": e.cell.parts,
                    "state": e.state,
                    "why": e.why,
                    "differs": {part: {"record": old, "cell": new} for part, (old, new) in e.differs.items()},
                }
                for e in found
            ]
        )
        return
    print_table(("state", "cell", "why"), [(e.state, e.cell.title, e.why) for e in found])
