"""`allwin retry`: the failed trials of a store once more, whatever suite they came from."""

from pathlib import Path

import click

from allwin.options import json_option, methods_by_path_option, store_option
from allwin.running import Engine, engine_options, run_cells


@click.command()
@click.option("--cause", "causes", multiple=True, required=True, metavar="CAUSE", help="Which failures, or all.")
@methods_by_path_option
@store_option
@engine_options
@json_option
def command(causes: tuple[str, ...], paths: tuple[Path, ...], store: Path, how: Engine, as_json: bool) -> int:
    """Run the trials of a store that failed of CAUSE once more, as the code is now. Each attempt is kept."""
    from bench.errors import UserError
    from bench.grid import cell_of
    from bench.registry import load
    from bench.runner import check_causes
    from bench.store import Store

    check_causes(causes)
    known = load(paths)
    specs = [
        record.spec
        for record in Store.open(store).records()
        if record.status == "failed" and record.failure and ("all" in causes or record.failure.cause in causes)
    ]
    if not specs:
        raise UserError(f"--store {store}: nothing there failed of {', '.join(causes)}; `allwin status` tells what did")
    cells = [cell_of(spec, known) for spec in specs]
    return run_cells("retry", "Once more", cells, store, how, retry=causes, paths=paths, as_json=as_json)
