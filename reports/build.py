"""Writes a report: one HTML file, the same boards as Markdown, CSV and LaTeX, and the figures as SVG."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.record import Record
from bench.store import frame_of
from reports.board import Board
from reports.curves import charts
from reports.export import csv_table, latex, markdown, markdown_text
from reports.leaderboard import leaderboard
from reports.page import Illustrated, page
from reports.plots import Plot, cost_plot, curve_plot
from reports.ranking import FRONT_COSTS
from reports.sheet import TITLES
from reports.text import label, message, slug

FIGURES = 32
"""Figures of a report at most: each takes a tenth of a second to draw, and 25 kB."""

FIGURES_OF_A_BOARD = 8


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
        figures=tuple(_write(folder / f"{plot.name}.svg", plot.svg) for plot in plots),
    )


def illustrate(boards: Sequence[Board], records: Mapping[str, Record]) -> list[Illustrated]:
    """Each board with its figures; where there are many boards, each gets fewer."""
    share = min(FIGURES_OF_A_BOARD, max(1, FIGURES // max(1, len(boards))))
    left = FIGURES
    drawn = []
    for number, board in enumerate(boards, 1):
        plots, omitted = _plots(board, number, records, min(share, left))
        left -= len(plots)
        drawn.append(Illustrated(board, tuple(plots), omitted))
    return drawn


def _plots(board: Board, number: int, records: Mapping[str, Record], limit: int) -> tuple[list[Plot], str]:
    """The Pareto plots, then curves; and a sentence on what is missing."""
    start = f"{number:02d}-{slug(board.task)}-{slug(board.dataset)}"
    plots: list[Plot] = []
    sentences: list[str] = []
    for cost in FRONT_COSTS:
        prices = {row.cells[cost].mean for row in board.rows if cost in row.fronts}
        if len(prices) == 1 and sum(cost in row.fronts for row in board.rows) > 1:
            sentences.append(f"No plot against {TITLES[cost]}: all rows cost the same.")
        elif len(prices) > 1 and len(plots) < limit:
            plots += [plot] if (plot := cost_plot(board, cost, f"{start}-{slug(cost.partition('.')[2])}")) else []
    unseen = []
    for chart in charts(board, records):
        if len(plots) < limit:
            plots.append(curve_plot(chart, board, f"{start}-{chart.origin}-{slug(chart.name)}-{len(plots)}"))
        else:
            unseen.append(label(chart.name))
    if unseen:
        sentences.append(f"Curves not drawn: {', '.join(unseen[:20])}{' …' if len(unseen) > 20 else ''}.")
    return plots, " ".join(sentences)


def _document(title: str, illustrated: Iterable[Illustrated]) -> str:
    parts = [f"# {markdown_text(message(title))}\n"]
    for drawn in illustrated:
        parts.append(markdown(drawn.board))
        parts += [f"![{slug(plot.title)}](figures/{plot.name}.svg)\n" for plot in drawn.plots]
    return "\n".join(parts)


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
