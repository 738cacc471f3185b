"""What `reproduce` and `claims` share: which papers are meant, what the store holds of them, and running the rest."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import click
from click.shell_completion import CompletionItem

from allwin.running import Engine, run_missing
from bench.contracts import Budget
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.evidence import Evidence
    from bench.grid import Cell
    from bench.papers import Paper, PaperTable

ALL = "all"
"""Every paper."""

DEFAULT_BUDGET: Budget = "small"


def chosen_papers(name: str) -> "list[Paper]":
    """One paper by name, or all of them."""
    from bench.papers import load_paper, paper_files

    return [load_paper(each) for each in (paper_files() if name == ALL else [name])]


def chosen_tables(target: str) -> "list[tuple[Paper, list[PaperTable]]]":
    """`fasterseg`, `fasterseg/table-5` or `all`: papers with the tables that are meant."""
    name, slash, table = target.partition("/")
    if slash and name == ALL:
        raise UserError(f"{target}: a table belongs to one paper; write PAPER/TABLE, or {ALL} alone")
    return [(paper, [paper.table(table)] if slash else paper.tables) for paper in chosen_papers(name)]


def paper_names() -> list[tuple[str, str]]:
    from bench.papers import paper_files

    return [(name, "") for name in paper_files()]


def complete_paper(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of papers."""
    return [CompletionItem(name, help=text) for name, text in (*paper_names(), (ALL, "")) if name.startswith(typed)]


def complete_table(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of papers and, once one stands before a slash, its tables."""
    from bench.papers import load_paper, paper_files

    name, slash, _ = typed.partition("/")
    if not slash or name not in paper_files():
        return complete_paper(context, parameter, typed)
    paths = {f"{name}/{table.id}": table.title for table in load_paper(name).tables}
    return [CompletionItem(path, help=title) for path, title in paths.items() if path.startswith(typed)]


class Judged(Protocol):
    """A figure or a claim, with the trials that decide it."""

    @property
    def cells(self) -> "tuple[Cell, ...]": ...


One = TypeVar("One", bound=Judged)


def judged(
    find: "Callable[[Evidence], list[One]]",
    name: str | None,
    store: Path,
    how: Engine,
    paths: tuple[Path, ...],
    device: Literal["cpu", "cuda"],
    *,
    quiet: bool,
) -> "tuple[list[One] | None, int]":
    """What stands of figures or claims, and the exit code: 1 if a trial failed.

    With the name of a run, what is missing is run first; where that is broken off there is only its code.
    """
    evidence = _evidence_of(store, paths, device)
    listed = find(evidence)
    if name:
        ran = _run_asked(name, (one.cells for one in listed), store, how, paths, quiet)
        if ran:
            return None, ran
        if ran is not None:
            evidence = _evidence_of(store, paths, device)
            listed = find(evidence)
    return listed, int(any(evidence.failed(one.cells) for one in listed))


def _evidence_of(store: Path, paths: tuple[Path, ...], device: Literal["cpu", "cuda"]) -> "Evidence":
    """What a store holds; nothing where there is no store yet."""
    from bench.evidence import Evidence
    from bench.registry import load
    from bench.store import Store

    records = Store.open(store).records() if (store / "records").is_dir() else ()
    return Evidence(load(paths), records, device)


def _run_asked(
    name: str, groups: Iterable[Sequence["Cell"]], store: Path, how: Engine, paths: tuple[Path, ...], quiet: bool
) -> int | None:
    """Runs what is missing of the cells that figures or claims ask for, each once; 0, or the code of a broken run.

    None if nothing was missing. Of a group that has a cell that cannot run here, nothing is run: the rest alone would
    decide nothing.
    """
    from bench.runner import plan
    from bench.store import Store

    able = (group for group in groups if not any(cell.skip for cell in group))
    cells = list({cell.key: cell for group in able for cell in group}.values())
    opened = Store.open(store) if (store / "records").is_dir() else None
    if not plan(cells, opened).to_run:
        return None
    outcome = run_missing(name, name, cells, store, how, paths=paths, quiet=quiet)
    return outcome if isinstance(outcome, int) else 0
