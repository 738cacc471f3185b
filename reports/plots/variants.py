"""Rows of one method that differ in their settings: which one the others vary, and how to name them briefly."""

from collections.abc import Sequence

from reports.board import ORACLE, Board, Row
from reports.leaderboard import flattened
from reports.plots.plot import NAME
from reports.text import printable, shortened


def varied(board: Board) -> list[str]:
    """Methods with several variants that have a result, in the order of the board."""
    names = [row.method for row in board.rows if row.rank is not None]
    return [method for method in dict.fromkeys(names) if names.count(method) > 1]


def reference_of(rows: Sequence[Row]) -> Row:
    """The variant that differs from the others in the fewest settings in all: of an ablation that is its default."""

    def distance(row: Row) -> int:
        return sum(len(differing(row, other)) for other in rows)

    return min(rows, key=distance)


def differing(row: Row, other: Row) -> dict[str, str]:
    """The settings of `row` that `other` has not, or has otherwise."""
    ours, theirs = ({**flattened(one.parameters), "stages": "+".join(one.stages)} for one in (row, other))
    names = dict.fromkeys((*ours, *theirs))
    return {name: str(ours.get(name, "unset")) for name in names if repr(ours.get(name)) != repr(theirs.get(name))}


def brief_names(board: Board) -> list[str]:
    """A name for each row that fits beside its point: a label that is too long names only what a variant changes."""
    by_method: dict[str, list[Row]] = {}
    for row in board.rows:
        by_method.setdefault(row.method, []).append(row)
    names = []
    for row in board.rows:
        name = printable(row.label[:200])
        if len(name) > NAME and len(by_method[row.method]) > 1:
            changed = differing(row, reference_of(by_method[row.method]))
            name = printable(", ".join([row.method[:200], *(f"{key}={value}" for key, value in changed.items())])[:200])
        names.append(shortened(f"{ORACLE}: {name}" if row.oracle else name, NAME))
    return names
