"""A board for other programs and papers: Markdown, CSV, LaTeX and JSON, all from the same board."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from reports.board import MARKS, MEANINGS, ORACLE, Board, Cell, Quantity
from reports.overall import Overall
from reports.sheet import Column, Line, Printed, sheet
from reports.text import label, printable

LEGEND = "; ".join(f"{mark} {name} ({MEANINGS[name]})" for name, mark in MARKS.items())


# Markdown -------------------------------------------------------------------------------------------------------------


def markdown(board: Board) -> str:
    """A heading, a pipe table, and below it the rule, the notes and the legend."""
    printed = sheet(board)
    headers = [
        "#",
        "method",
        "seeds",
        *(_marked_header(column) for column in printed.columns),
        "from the best",
        *(["claim level"] if printed.levels else []),
        "trouble",
    ]
    ruler = ["--:", ":--", "--:", *("--:" for _ in printed.columns), "--:", *[":--"] * (1 + printed.levels)]
    rows = [
        [
            line.rank,
            _bold(markdown_text(line.label), line.leading),
            line.seeds,
            *(_markdown_cell(cell, line.leading and index == 0) for index, cell in enumerate(line.cells)),
            line.difference + (f", {line.p}" if line.p else ""),
            *([line.claim_level] if printed.levels else []),
            markdown_text(line.trouble),
        ]
        for line in printed.lines
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [[markdown_text(h) for h in headers], ruler, *rows])
    below = [markdown_text(board.rule), *(f"- {markdown_text(note)}" for note in board.notes)]
    below += [f"{number}. {markdown_text(text)}" for number, text in enumerate(printed.footnotes, 1)]
    about = f"Budget {board.budget}, device {board.device}, {board.hardware}; {_seeds(board)}. {printed.level}".strip()
    paragraphs = [f"## {markdown_text(printed.title)}", markdown_text(about), table, *_grouped(below)]
    return "\n\n".join(paragraphs) + f"\n\nBlanks: {LEGEND}.\n"


def _marked_header(column: Column) -> str:
    return f"{column.header} {column.arrow}"


def _grouped(items: Sequence[str]) -> list[str]:
    """Lines of one list stand together; paragraphs apart."""
    groups: list[str] = []
    for item in items:
        kind = re.match(r"- |\d+\. ", item)
        before = re.match(r"- |\d+\. ", groups[-1].splitlines()[-1]) if groups else None
        if kind and before and (kind[0] == "- ") == (before[0] == "- "):
            groups[-1] += f"\n{item}"
        else:
            groups.append(item)
    return groups


def _markdown_cell(cell: Printed, bold: bool) -> str:
    return _bold(cell.text, bold) + (f" [{cell.note}]" if cell.note else "")


def _bold(text: str, bold: bool) -> str:
    return f"**{text}**" if bold else text


def markdown_text(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", printable(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _seeds(board: Board) -> str:
    return f"{len(board.seeds)} seed{'s' if len(board.seeds) != 1 else ''}"


def markdown_overall(overall: Overall) -> str:
    """A heading, the average ranks over data sets, and below them the rule and what is left out."""
    headers = ["method", "average rank", *(board.dataset for board in overall.boards)]
    rows = [
        [
            _bold(markdown_text(label(one.label)), one.level),
            f"{one.average_rank:.2f}{' ≈' if place and one.level else ''}",
            *(f"{rank:g}" for rank in one.ranks),
        ]
        for place, one in enumerate(overall.standings)
    ]
    ruler = [":--", *("--:" for _ in headers[1:])]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [[markdown_text(label(h)) for h in headers], ruler, *rows])
    left_out = [f"- Left out: {markdown_text(text)}." for text in overall.left_out]
    paragraphs = [f"## {markdown_text(label(overall.title))}", table, markdown_text(overall.rule), "\n".join(left_out)]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


# LaTeX ----------------------------------------------------------------------------------------------------------------

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "…": r"\dots{}",
    "–": "--",
    "✗": r"$\times$",
    "⊘": r"$\oslash$",
    "∅": r"$\emptyset$",
    "·": r"$\cdot$",
}
"""What LaTeX reads as a command, or may have no glyph for."""


def latex(boards: Iterable[Board]) -> str:
    r"""A booktabs table for each board; needs `\usepackage{booktabs}` and UTF-8 input.

    Columns without a single value are told in the caption instead.
    """
    return "% Needs \\usepackage{booktabs}.\n\n" + "\n".join(_latex_table(board) for board in boards)


def _latex_table(board: Board) -> str:
    printed = sheet(board)
    shown = [index for index, column in enumerate(printed.columns) if not column.blank]
    headers = ["", "Method", "Seeds", *(_marked_header(printed.columns[index]) for index in shown)]
    headers += ["Claim level"] * printed.levels
    rows = [_latex_row(line, shown, printed.levels) for line in printed.lines]
    blank = [column.title for column in printed.columns if column.blank]
    caption = f"{printed.title}, budget {board.budget}, {board.hardware}. {board.rule} {printed.level}".strip()
    if blank:
        caption += f" No row has a value for: {', '.join(blank)}."
    body = "\n".join(f"    {' & '.join(row)} \\\\" for row in rows)
    return (
        "\\begin{table}\n"
        f"  \\caption{{{latex_text(caption)}}}\n"
        "  \\centering\n"
        f"  \\begin{{tabular}}{{rl{'r' * (len(shown) + 1)}{'l' * printed.levels}}}\n"
        "    \\toprule\n"
        f"    {' & '.join(latex_text(header) for header in headers)} \\\\\n"
        "    \\midrule\n"
        f"{body}\n"
        "    \\bottomrule\n"
        "  \\end{tabular}\n"
        "\\end{table}\n"
    )


def _latex_row(line: Line, shown: Sequence[int], levels: bool) -> list[str]:
    first, *others = [latex_text(line.cells[index].text) for index in shown] or [""]
    name = latex_text(line.label)
    if line.leading:
        name, first = f"\\textbf{{{name}}}", f"\\textbf{{{first}}}"
    cells = [latex_text(line.rank), name, latex_text(line.seeds), *([first, *others] if shown else [])]
    return cells + [latex_text(line.claim_level)] * levels


def latex_text(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in printable(text))


# CSV ------------------------------------------------------------------------------------------------------------------


def csv_table(boards: Sequence[Board]) -> str:
    """One line a row of a board, raw values, units in the headers; each quantity with its half width and its mark.

    What a board does not have at all is left empty, without a mark.
    """
    quantities = list(dict.fromkeys((q.key, q.unit) for board in boards for q in board.quantities))
    identity = ["task", "dataset", "settings", "protocol", "budget", "device", "hardware"]
    identity += ["rank", "method", "label", "parameters", "claim level", ORACLE]
    seeds = ["seeds", "failed", "skipped", "not run", "causes"]
    comparison = ["standing", "difference", "difference low", "difference high", "pairs", "p (Holm)"]
    names = [f"{key} ({unit})" if unit else key for key, unit in quantities]
    values = [f"{name}{suffix}" for name in names for suffix in ("", " half width", " mark")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_csv_text(header) for header in [*identity, *seeds, *comparison, *values])
    for board in boards:
        units = {(quantity.key, quantity.unit) for quantity in board.quantities}
        for row in board.rows:
            difference = row.difference
            line: list[Any] = [board.task, board.dataset, _canonical(board.settings), board.protocol, board.budget]
            line += [board.device, board.hardware]
            line += [row.rank, row.method, row.label, _canonical(row.parameters), row.claim_level]
            line.append("yes" if row.oracle else "no")
            line += [len(row.seeds), len(row.failed), len(row.skipped), len(row.not_run)]
            line += [" ".join(f"{cause}:{count}" for cause, count in row.causes.items()), row.standing]
            line += [difference.mean, difference.low, difference.high, difference.n] if difference else [None] * 4
            line.append(row.p)
            for quantity in quantities:
                cell = row.cells[quantity[0]] if quantity in units else Cell()
                line += [cell.mean, cell.half_width, cell.mark]
            writer.writerow(_csv_text(value) if isinstance(value, str) else value for value in line)
    return text.getvalue()


def _csv_text(text: str) -> str:
    shown = printable(text)
    # A spreadsheet takes a text that starts like this for a formula.
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# JSON -----------------------------------------------------------------------------------------------------------------


def as_json(boards: Iterable[Board]) -> list[dict[str, Any]]:
    """Boards as plain data with raw values and names for marks: what `--json` prints."""
    return [
        {
            **{name: value for name, value in asdict(board).items() if name not in ("quantities", "rows")},
            "quantities": [_json_quantity(quantity) for quantity in board.quantities],
            "rows": [asdict(row) for row in board.rows],
        }
        for board in boards
    ]


def _json_quantity(quantity: Quantity) -> dict[str, str]:
    return {**asdict(quantity), "group": quantity.group, "name": quantity.name}
