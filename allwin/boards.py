"""Leaderboards on the command line: from the records of a store to the terminal."""

import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store
    from reports.board import Board


def boards_of(records: "Iterable[Record]") -> "list[Board]":
    from bench.store import frame_of
    from reports.leaderboard import leaderboard

    listed = list(records)
    return leaderboard(frame_of(listed), {record.key: record for record in listed})


def stored_boards(store: "Store", grid: Any) -> "list[Board]":
    """Those of a whole store, or of a grid's cells: from its frame, so that few of its records are read."""
    from bench.store import Stored
    from reports.leaderboard import leaderboard

    frame = store.frame()
    if grid:
        frame = frame[frame["key"].isin({cell.key for cell in grid.expand()[1]})]
    if not len(frame):
        # Tells why, in one line.
        records_of(store, grid)
    return leaderboard(frame.reset_index(drop=True), Stored(store.path, frame))


def print_boards(boards: "list[Board]") -> None:
    """As tables that fit the terminal, or as plain text where a pipe reads."""
    if sys.stdout.isatty():
        from rich.console import Console

        from reports.terminal import rich_table

        console = Console()
        for board in boards:
            console.print(rich_table(board, console.width))
            console.print()
        return
    from reports.terminal import plain

    width = shutil.get_terminal_size((160, 24)).columns
    for board in boards:
        click.echo(plain(board, width))


def records_of(store: "Store", grid: Any) -> "list[Record]":
    """The records of a store, narrowed to the cells of a grid if one is named. `UserError` if none is left."""
    from bench.errors import UserError

    records = list(store.records())
    if grid:
        suite, cells = grid.expand()
        wanted = {cell.key for cell in cells}
        records = [record for record in records if record.key in wanted]
        if not records:
            raise UserError(
                f"--store {store.path} has no record of {suite.name} as it is now; `allwin explain {suite.name} "
                f"--store {store.path}` tells why, and without a suite all records are shown"
            )
    if not records:
        raise UserError(
            f"--store {store.path}: it holds no record yet; `allwin run SUITE --store {store.path}` makes some"
        )
    return records


def leaders(records: "Iterable[Record]", task: str | None) -> list[str]:
    """The methods that stand first on a board, or cannot be told from the first; of one task, or of all."""
    found: list[str] = []
    for board in boards_of(records):
        if task in (None, board.task):
            for row in board.rows:
                leading = row.rank == 1 or row.standing in ("best", "not distinguishable", "ahead")
                if leading and row.method not in found:
                    found.append(row.method)
    return found
