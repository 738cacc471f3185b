"""`allwin report`: leaderboards and figures from the records of a store, as one HTML file or as a small site."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from allwin.grid_options import Grid, grid_options
from allwin.options import json_option
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.record import Record
    from bench.registry import Registry
    from reports.site_papers import Judged


@click.command()
@grid_options(required=False)
@click.option(
    "--site", is_flag=True, help="Of all that the store holds, a page for each task, method, trial and paper."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to; else STORE/report, or STORE/site."
)
@click.option("--title", help="Of the page; else the suite's.")
@json_option
def command(grid: Grid | None, store: Path, site: bool, out: Path | None, title: str | None, as_json: bool) -> None:
    """Write the report of SUITE, or of all that a store holds. Runs nothing.

    One self-contained index.html with Markdown, CSV, LaTeX and the figures beside it; with --site a folder of pages
    that link to one another: overview, tasks, papers with published figures beside measured ones, methods, trials,
    environment. Either opens from disk, asks nothing of the network and is complete without scripts.
    """
    from allwin.boards import records_of
    from bench.registry import load
    from bench.store import Store

    if site and grid:
        raise UserError(
            f"--site is of all that a store holds, and {grid.name} is a part of it; leave out one of the two"
        )
    records = records_of(Store.open(store), grid)
    registry = load()
    heading = title or _heading(records)
    if site:
        _write_site(records, registry, out or store / "site", heading, as_json)
    else:
        _write_page(records, registry, out or store / "report", heading, as_json)


def _heading(records: "list[Record]") -> str:
    from bench.registry import suite_names
    from bench.suite import load_suite

    known = suite_names()
    suites = sorted({record.provenance.suite for record in records})
    return "; ".join(load_suite(name).title if name in known else name for name in suites)


def _write_page(records: "list[Record]", registry: "Registry", out: Path, title: str, as_json: bool) -> None:
    from allwin.output import print_json, print_line
    from reports.build import write_report

    kinds = {card.name: card.kind for task in registry.tasks.values() for card in task.cards}
    paths = write_report(records, out, title, kinds)
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
    drawn = len({path.stem for path in paths.figures})
    print_line(f"beside it: {paths.markdown.name}, {paths.csv.name}, {paths.latex.name}, {drawn} figures")


def _write_site(records: "list[Record]", registry: "Registry", out: Path, title: str, as_json: bool) -> None:
    from allwin.output import print_json, print_line
    from reports.build import illustrate
    from reports.site import write_site

    pages = write_site(records, out, title, registry, _judged(records, registry), illustrate)
    if as_json:
        print_json({"records": len(records), "index": str(pages[0]), "pages": [str(page) for page in pages]})
        return
    size = sum(page.stat().st_size for page in pages) / 1e6
    print_line(f"{len(records)} records -> {pages[0].resolve()}")
    print_line(f"{len(pages)} pages, {size:.1f} MB")


def _judged(records: "list[Record]", registry: "Registry") -> "list[Judged]":
    """All papers of the tree, held against these records on every device and at every budget that they have."""
    from bench.evidence import Evidence
    from bench.papers import load_paper, paper_files
    from reports.site_papers import judged

    devices = sorted({record.spec.device for record in records})
    budgets = sorted({record.spec.budget for record in records})
    evidences = [Evidence(registry, records, device) for device in devices]
    return [judged(load_paper(name), evidences, budgets) for name in paper_files()]
