"""`allwin report`: leaderboards and figures from the records of a store, as one HTML file and beside it."""

from pathlib import Path

import click

from allwin.grid_options import Grid, grid_options
from allwin.options import json_option


@click.command()
@grid_options(required=False)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to; else STORE/report.")
@click.option("--title", help="Of the page; else the suite's.")
@json_option
def command(grid: Grid | None, store: Path, out: Path | None, title: str | None, as_json: bool) -> None:
    """Write the report of SUITE, or of all that a store holds. Runs nothing."""
    from allwin.boards import records_of
    from allwin.output import print_json, print_line
    from bench.registry import load, suite_names
    from bench.store import Store
    from bench.suite import load_suite
    from reports.build import write_report

    records = records_of(Store.open(store), grid)
    kinds = {card.name: card.kind for task in load().tasks.values() for card in task.cards}
    suites = sorted({record.provenance.suite for record in records})
    known = suite_names()
    heading = title or "; ".join(load_suite(name).title if name in known else name for name in suites)
    paths = write_report(records, out or store / "report", heading, kinds)
    if as_json:
        print_json(
            {
                "records": len(records),
                "index": str(paths.index),
                "markdown": str(paths.markdown),
                "csv": str(paths.csv),
                "latex": str(paths.latex),
                "figures": [str(path) for path in paths.figures],
            }
        )
        return
    print_line(f"{len(records)} records -> {paths.index.resolve()}")
    print_line(f"beside it: {paths.markdown.name}, {paths.csv.name}, {paths.latex.name}, {len(paths.figures)} figures")
