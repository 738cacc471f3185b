"""Writes a report: one HTML file, the same boards as Markdown, CSV and LaTeX, and the figures as SVG, PDF and PNG."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.record import Record
from bench.store import frame_of
from reports.board import Board
from reports.export import csv_table, latex, markdown, markdown_overall, markdown_text
from reports.house_style import printed
from reports.leaderboard import leaderboard
from reports.overall import overall
from reports.page import page
from reports.plots import Plot, figures_of
from reports.sections import Illustrated
from reports.text import message, slug

FIGURES = 32
"""Figures of a report at most: each takes a fifth of a second to draw, and 25 kB."""


@dataclass(frozen=True)
class Paths:
    """What was written."""

    index: Path
    markdown: Path
    csv: Path
    latex: Path
    figures: tuple[Path, ...]


def write_report(records: Iterable[Record], out: Path, title: str, kinds: Mapping[str, str]) -> Paths:
    """Writes the report into the folder `out`, which is made if need be; files of the same names are replaced.

    `kinds` tells of each data set whether it is `embedded`, `generated` or `files`. Equal records give equal bytes.
    """
    ordered = sorted(records, key=lambda record: (record.key, record.attempt))
    boards = leaderboard(frame_of(ordered), {record.key: record for record in ordered})
    illustrated = illustrate(boards, {record.key: record for record in ordered})
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    plots = [plot for drawn in illustrated for plot in drawn.plots]
    return Paths(
        index=_write(out / "index.html", page(title, illustrated, ordered, kinds)),
        markdown=_write(out / "report.md", _document(title, illustrated)),
        csv=_write(out / "leaderboard.csv", csv_table(boards)),
        latex=_write(out / "leaderboard.tex", latex(boards)),
        figures=tuple(path for plot in plots for path in _figure(folder, plot)),
    )


def illustrate(boards: Sequence[Board], records: Mapping[str, Record]) -> list[Illustrated]:
    """Each board with its figures; where there are many boards, each gets fewer."""
    drawn = figures_of(boards, records, FIGURES)
    return [Illustrated(board, tuple(plots), omitted) for board, (plots, omitted) in zip(boards, drawn, strict=True)]


def _document(title: str, illustrated: Sequence[Illustrated]) -> str:
    parts = [f"# {markdown_text(message(title))}\n"]
    for drawn in illustrated:
        parts.append(markdown(drawn.board))
        parts += [f"![{slug(plot.title)}](figures/{plot.name}.svg)\n" for plot in drawn.plots]
    parts += [markdown_overall(one) for one in overall([drawn.board for drawn in illustrated])]
    return "\n".join(parts)


def _figure(folder: Path, plot: Plot) -> list[Path]:
    """The figure for a page, for a paper and for a slide."""
    pdf, png = folder / f"{plot.name}.pdf", folder / f"{plot.name}.png"
    for path, content in zip((pdf, png), printed(plot.figure, plot.name), strict=True):
        path.write_bytes(content)
    return [_write(folder / f"{plot.name}.svg", plot.svg), pdf, png]


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
