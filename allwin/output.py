"""How the command line prints: tables that fit a terminal or a pipe, and JSON documents for scripts."""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
"""Control characters: what comes from a file or a record must not steer the terminal."""


def one_line(text: str) -> str:
    """The text without line breaks and control characters."""
    return UNPRINTABLE.sub(" ", text).strip()


def print_line(text: str = "") -> None:
    click.echo(text)


def print_json(document: Any) -> None:
    """One JSON document on standard output. Raises `ValueError` for NaN and infinity, which JSON has not."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=_plain))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", right: Collection[str] = ()
) -> None:
    """Rows under their headings; the columns named in `right` are aligned there. An empty cell is a blank.

    On a terminal the table wraps to its width; elsewhere every row is one line, so that `grep` and `cut` find it whole.
    """
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        _print_rich(headings, cells, title, right)
    else:
        _print_plain(headings, cells, title, right)


def _print_plain(headings: Sequence[str], rows: list[list[str]], title: str, right: Collection[str]) -> None:
    if title:
        click.echo(title)
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, ["-" * width for width in widths], *rows):
        padded = [
            cell.rjust(width) if heading in right else cell.ljust(width)
            for heading, cell, width in zip(headings, row, widths, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def _print_rich(headings: Sequence[str], rows: list[list[str]], title: str, right: Collection[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        # `Text`, since a cell's square brackets are no markup.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
