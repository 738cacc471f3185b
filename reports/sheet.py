"""A board as printed cells: the one place where headers, units, digits, marks and footnotes are decided.

Markdown, LaTeX, the terminal and the page all print a `Sheet`; CSV and JSON take the board's raw values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from reports.board import LEVEL_MARK, MARKS, ORACLE, Board, Cell, Quantity, Row
from reports.numbers import decimals, fixed, p_value, scale, signed, significant
from reports.text import label, message

TITLES = {
    "cost.latency_ms": "latency",
    "cost.throughput_per_s": "throughput",
    "cost.macs": "MACs",
    "cost.parameters": "parameters",
    "cost.peak_memory_bytes": "peak memory",
    "cost.energy_j": "energy",
    "cost.first_call_ms": "first call",
    "training.fit_s": "fit time",
    "training.fit_macs": "fit MACs",
    "training.fit_energy_j": "fit energy",
    "training.fit_peak_memory_bytes": "fit peak memory",
}
"""Names of costs in print; others are printed as they are."""

CLAIMS = {
    "paper": "as the paper prints them",
    "self-reported": "reported by the method's authors",
    "reproduced": "reproduced by this harness",
    "verified": "reproduced here and verified by another",
}
"""What the claim levels of records mean."""

RAW_ONLY = {"cost.first_call_ms", "training.fit_energy_j", "training.fit_peak_memory_bytes"}
"""In CSV and JSON only: a table has room for so many columns."""


@dataclass(frozen=True)
class Column:
    quantity: Quantity
    title: str
    unit: str
    """As printed, prefix included; may be empty."""
    divisor: float
    places: int | None
    """Decimals of a metric; None for costs, which are printed with three significant digits."""
    blank: bool
    """No row has a value."""

    @property
    def header(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def arrow(self) -> str:
        return "↑" if self.quantity.better == "high" else "↓"


@dataclass(frozen=True)
class Printed:
    """A cell's text, its footnote's number, and the value by which to sort (in the quantity's own unit)."""

    text: str
    value: float | None
    note: int | None = None


@dataclass(frozen=True)
class Line:
    row: Row
    rank: str
    label: str
    seeds: str
    """How many of the board's seeds gave a result: `3 / 5`."""
    cells: tuple[Printed, ...]
    """One a column."""
    difference: str
    p: str
    trouble: str
    """Failed, skipped and missing trials, with their causes; empty if there are none."""
    leading: bool
    """The best by test, or not distinguishable from it."""
    claim_level: str


@dataclass(frozen=True)
class Sheet:
    board: Board
    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    footnotes: tuple[str, ...]
    """The first has number 1."""

    @property
    def levels(self) -> bool:
        """Whether the rows differ in their claim level, so that each has to tell its own."""
        return len({line.claim_level for line in self.lines}) > 1

    @property
    def level(self) -> str:
        """The claim level that all rows share, in a sentence; empty where they differ."""
        return "" if self.levels or not self.lines else f"All figures: {CLAIMS[self.lines[0].claim_level]}."


def sheet(board: Board) -> Sheet:
    columns = tuple(_column(quantity, board) for quantity in board.quantities if quantity.key not in RAW_ONLY)
    footnotes: dict[str, int] = {}
    lines = tuple(_line(row, board, columns, footnotes) for row in board.rows)
    return Sheet(board, label(board.title), columns, lines, tuple(footnotes))


def title_of(quantity: Quantity) -> str:
    return TITLES.get(quantity.key) or plain_name(quantity.name, quantity.unit)


def plain_name(name: str, unit: str) -> str:
    """`nmse_db` in dB is printed as nmse, since its unit stands beside it."""
    return label((name.removesuffix(f"_{unit.lower()}") if unit else name).replace("_", " "))


def _column(quantity: Quantity, board: Board) -> Column:
    cells = [row.cells[quantity.key] for row in board.rows]
    means = [cell.mean for cell in cells if cell.mean is not None]
    widths = [cell.half_width for cell in cells if cell.half_width is not None]
    divisor, unit = scale(quantity.unit, means)
    places = decimals(means, widths) if quantity.group == "metric" else None
    return Column(quantity, title_of(quantity), label(unit), divisor, places, not means)


def _line(row: Row, board: Board, columns: tuple[Column, ...], footnotes: dict[str, int]) -> Line:
    cells = tuple(_printed(row.cells[column.quantity.key], column, row, footnotes) for column in columns)
    ranking = next((column for column in columns if column.quantity == board.ranking), None)
    level = row.standing == "not distinguishable"
    return Line(
        row=row,
        rank=ORACLE if row.oracle else f"{row.rank}{' ' + LEVEL_MARK if level else ''}" if row.rank else "–",
        label=label(row.label),
        seeds=f"{len(row.seeds)} / {len(board.seeds)}",
        cells=cells,
        # A tenth at least: beside a wide interval a small difference would otherwise be printed as a power of ten.
        difference=_difference(row, max(ranking.places or 0, 1)) if ranking else "",
        p=p_value(row.p) if row.p is not None else "",
        trouble=trouble(row),
        leading=row.standing == "best" or level,
        claim_level=row.claim_level,
    )


def _printed(cell: Cell, column: Column, row: Row, footnotes: dict[str, int]) -> Printed:
    if cell.mark:
        # What failed or was skipped is told once, at the end of the row.
        told = cell.reasons if cell.mark == "not measured" else ()
        return Printed(MARKS[cell.mark], None, _footnote("; ".join(told), column, footnotes))
    assert cell.mean is not None
    mean = cell.mean / column.divisor
    if column.places is None:
        text = significant(mean)
    else:
        text = fixed(mean, column.places)
        if cell.half_width is not None:
            text += f" ± {fixed(cell.half_width / column.divisor, column.places)}"
    partial = f"value in {cell.n} of {len(row.seeds)} trials" if cell.n < len(row.seeds) else ""
    why = "; ".join(part for part in (partial, *cell.reasons) if part)
    return Printed(text, cell.mean, _footnote(why, column, footnotes))


def _footnote(text: str, column: Column, footnotes: dict[str, int]) -> int | None:
    if not text:
        return None
    return footnotes.setdefault(f"{column.title}: {message(text)}", len(footnotes) + 1)


def _difference(row: Row, places: int) -> str:
    """`+2.02 [1.82, 2.21]`, from the best row."""
    difference = row.difference
    if difference is None:
        return ""
    text = signed(difference.mean, places)
    if difference.low is None or difference.high is None:
        return text
    return f"{text} [{fixed(difference.low, places)}, {fixed(difference.high, places)}]"


def trouble(row: Row) -> str:
    counts: Mapping[str, tuple[int, ...]] = {"failed": row.failed, "skipped": row.skipped, "not run": row.not_run}
    parts = [f"{len(seeds)} {what}" for what, seeds in counts.items() if seeds]
    causes = ", ".join(f"{count} × {cause}" if count > 1 else cause for cause, count in row.causes.items())
    return ", ".join(parts) + (f" ({causes})" if causes else "")
