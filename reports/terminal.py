"""A board for the terminal: a rich table where someone looks, aligned plain text where a pipe does."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from reports.board import MARKS, Board
from reports.sheet import Line, Sheet, sheet

GAP = 2
"""Blanks between two columns."""

FIRST_METRICS = 3
"""Columns that come before any cost where room is short: a task may have twenty metrics more, one for each class."""


def rich_table(board: Board, width: int) -> Table:
    """As many columns as fit into `width` characters; the caption has the rest."""
    printed = sheet(board)
    shown, below = _fitting(printed, width)
    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text(printed.title),
        title_justify="left",
        title_style="bold",
        caption=Text("\n".join(below)),
        caption_justify="left",
        caption_style="dim",
        padding=(0, 1),
        pad_edge=False,
    )
    for index, header in enumerate(_headers(printed, shown)):
        table.add_column(Text(header), justify="left" if index == 1 else "right", no_wrap=index != 1)
    for line in printed.lines:
        style = "bold" if line.leading else "" if line.row.rank else "dim"
        table.add_row(*(Text(text) for text in _texts(line, shown)), style=style)
    return table


def plain(board: Board, width: int = 120) -> str:
    """The same without colour or lines, for a file or a pipe."""
    printed = sheet(board)
    shown, below = _fitting(printed, width)
    rows = [_headers(printed, shown), *(_texts(line, shown) for line in printed.lines)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    aligned = [
        (" " * GAP)
        .join(text.ljust(widths[index]) if index == 1 else text.rjust(widths[index]) for index, text in enumerate(row))
        .rstrip()
        for row in rows
    ]
    return "\n".join([printed.title, "", *aligned, "", *below, ""])


def _fitting(printed: Sheet, width: int) -> tuple[list[int], list[str]]:
    """Which columns fit, the first metric always; and the lines below, which name the others."""
    used = sum(GAP + max(len(row[index]) for row in _fixed(printed)) for index in range(4))
    metrics = [index for index, column in enumerate(printed.columns) if column.quantity.group == "metric"]
    shown: list[int] = []
    for index in sorted(range(len(printed.columns)), key=metrics[FIRST_METRICS:].__contains__):
        column = printed.columns[index]
        needed = GAP + max(len(column.header), *(len(_text(line, index)) for line in printed.lines))
        if not shown or (used + needed <= width and not column.blank):
            shown.append(index)
            used += needed
    shown.sort()
    levels = ", ".join(f"{line.label} {line.claim_level}" for line in printed.lines)
    below = [printed.board.rule, f"Claim levels: {levels}." if printed.levels else printed.level, *printed.board.notes]
    below += [f"[{number}] {text}" for number, text in enumerate(printed.footnotes, 1)]
    if hidden := [column.title for index, column in enumerate(printed.columns) if index not in shown]:
        below.append(f"Not shown: {', '.join(hidden)}.")
    if met := [f"{MARKS[name]} {name}" for name in MARKS if _has_mark(printed, MARKS[name])]:
        below.append(f"Blanks: {', '.join(met)}.")
    return shown, below


def _has_mark(printed: Sheet, mark: str) -> bool:
    return any(cell.text == mark for line in printed.lines for cell in line.cells)


def _fixed(printed: Sheet) -> list[list[str]]:
    return [_headers(printed, []), *(_texts(line, []) for line in printed.lines)]


def _headers(printed: Sheet, shown: Sequence[int]) -> list[str]:
    return ["#", "method", "seeds", *(printed.columns[index].header for index in shown), "trouble"]


def _texts(line: Line, shown: Sequence[int]) -> list[str]:
    return [line.rank, line.label, line.seeds, *(_text(line, index) for index in shown), line.trouble]


def _text(line: Line, index: int) -> str:
    cell = line.cells[index]
    return f"{cell.text} [{cell.note}]" if cell.note else cell.text
