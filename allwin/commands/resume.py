"""`allwin resume`: the last run of a store once more; it does only what is missing."""

import json
from pathlib import Path
from typing import Any

import click

from allwin.options import store_option
from allwin.running import LAST_RUN


@click.command()
@store_option
def command(store: Path) -> Any:
    """Go on with the last run of a store, with the same words."""
    from allwin.cli import group
    from bench.errors import UserError

    try:
        words = json.loads((store / LAST_RUN).read_text(encoding="utf-8"))
        if not (isinstance(words, list) and words[0] == "run"):
            raise ValueError("not the words of a run")
    except (OSError, ValueError, LookupError):
        raise UserError(
            f"--store {store}: no run to go on with; `allwin run SUITE --store {store}` starts one"
        ) from None
    click.echo(f"allwin {' '.join(words)}", err=True)
    return group.main(words, prog_name="allwin", standalone_mode=False, obj=words)
