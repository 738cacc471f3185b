"""`allwin export`: the leaderboards of a store for a paper, a spreadsheet or another program."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from allwin.grid_options import Grid, grid_options

if TYPE_CHECKING:
    from bench.store import Store

Format = Literal["latex", "markdown", "csv", "parquet"]


@click.command()
@grid_options(required=False)
@click.option("--format", "kind", type=click.Choice(["latex", "markdown", "csv", "parquet"]), required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Else standard output.")
def command(grid: Grid | None, store: Path, kind: Format, out: Path | None) -> None:
    """Write the leaderboards of SUITE, or of all that a store holds, as LaTeX (booktabs), Markdown or CSV.

    `parquet` is the table that they are made from, one line a trial; it needs --out.
    """
    from bench.errors import UserError
    from bench.store import Store

    if kind == "parquet" and out is None:
        raise UserError("--format parquet: it is not text; name a file with --out FILE")
    opened = Store.open(store)
    try:
        if out is None:
            click.echo(_text(opened, grid, kind), nl=False)
        elif kind == "parquet":
            _write_parquet(opened, grid, out)
        else:
            out.write_text(_text(opened, grid, kind), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(
            f"--out {out}: cannot be written ({error.strerror}); name a file in a folder that is there"
        ) from None


def _text(store: "Store", grid: Grid | None, kind: Format) -> str:
    from allwin.boards import stored_boards
    from reports.export import csv_table, latex, markdown, markdown_overall
    from reports.overall import overall

    boards = stored_boards(store, grid)
    if kind == "csv":
        return csv_table(boards)
    if kind == "latex":
        return latex(boards)
    return "\n".join([*map(markdown, boards), *map(markdown_overall, overall(boards))])


def _write_parquet(store: "Store", grid: Grid | None, out: Path) -> None:
    from allwin.boards import records_of
    from bench.store import frame_of

    # The path and the account of a record are the store's own business.
    frame_of(records_of(store, grid)).drop(columns=["path", "account"]).to_parquet(out, index=False)
