"""One order over several data sets: average ranks, Friedman's test, and who cannot be told from the best.

Only what is complete is averaged: every method compared has a result for every seed on every data set compared. Which
of both are kept is decided by one rule, the most cells without a gap among the sets of data sets that some method
finished, and what is left out is told with its reason.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.keys import canonical
from bench.stats import ALPHA, RankTest, cliques, rank_test, ranks
from reports.board import Board, Row
from reports.leaderboard import suffixes
from reports.numbers import significant
from reports.text import label

ROUGH_BELOW = 10
"""Data sets: with fewer the chi-squared approximation of Friedman's test is rough (Demšar 2006, section 3.2.2)."""

Variant = tuple[str, str, tuple[str, ...]]
"""Method, its parameters as text, stages: what makes one line."""


@dataclass(frozen=True)
class Standing:
    """A method over all data sets compared."""

    method: str
    label: str
    average_rank: float
    ranks: tuple[float, ...]
    """One a data set, ties sharing the mean of their ranks."""
    level: bool
    """The best, or not to be told from it."""


@dataclass(frozen=True)
class Overall:
    """Several boards that differ in their data set alone, taken together."""

    title: str
    boards: tuple[Board, ...]
    """Those compared, in the order of their data sets."""
    standings: tuple[Standing, ...]
    """The best average rank first."""
    test: RankTest
    """In the order of `standings`."""
    cliques: tuple[tuple[int, ...], ...]
    """Sets that cannot be told apart, as places among `standings`."""
    left_out: tuple[str, ...]
    """Methods and data sets with the reason."""
    rule: str


def overall(boards: Iterable[Board]) -> list[Overall]:
    """One for each task, settings, budget and hardware group that has two complete methods on two data sets."""
    groups: dict[tuple[Any, ...], list[Board]] = {}
    for board in boards:
        about = (board.task, canonical(dict(board.settings)), board.budget, board.device, board.hardware)
        groups.setdefault(about, []).append(board)
    tasks = [group[0] for group in groups.values()]
    titled = dict(zip(groups, _titles(tasks), strict=True))
    found = [_together(titled[about], group) for about, group in groups.items()]
    return [one for one in found if one]


def _titles(boards: Sequence[Board]) -> list[str]:
    """Each group by its task, with what tells it from other groups of the same task."""
    titles = [board.task for board in boards]
    for task in dict.fromkeys(titles):
        places = [place for place, board in enumerate(boards) if board.task == task]
        about = [
            {
                **boards[p].settings,
                "budget": boards[p].budget,
                "device": boards[p].device,
                "hardware": boards[p].hardware,
            }
            for p in places
        ]
        for place, suffix in zip(places, suffixes(about), strict=True):
            titles[place] = f"{task}{suffix}"
    return titles


def _together(task: str, group: Sequence[Board]) -> Overall | None:
    # Of two protocols of one data set neither is the data set's, so that both are left out.
    names = [board.dataset for board in group]
    usable = [board for board in group if board.ranking and names.count(board.dataset) == 1]
    every = {_variant(row): row for board in usable for row in board.rows}
    oracles = {_variant(row) for board in usable for row in board.rows if row.oracle}
    rows = {board.dataset: {v: row for row in board.rows if (v := _variant(row)) not in oracles} for board in usable}
    complete = {
        variant: frozenset(name for name, here in rows.items() if variant in here and _finished(here[variant]))
        for variant in dict.fromkeys(variant for here in rows.values() for variant in here)
    }
    kept = _largest(list(complete.values()))
    variants = [variant for variant, finished in complete.items() if finished >= kept]
    compared = [board for board in usable if board.dataset in kept]
    if len(compared) < 2 or len(variants) < 2:
        return None
    table = [[_mean(board, rows[board.dataset][variant]) for variant in variants] for board in compared]
    better = [board.ranking.better for board in compared if board.ranking]
    by_block = ranks(table, better)
    order = sorted(range(len(variants)), key=lambda place: (by_block[:, place].mean(), variants[place]))
    test = rank_test([[block[place] for place in order] for block in table], better)
    labels = _labels([variants[place] for place in order], compared)
    return Overall(
        title=f"{task} over {len(compared)} data sets",
        boards=tuple(compared),
        standings=tuple(
            Standing(variants[place][0], name, average, tuple(by_block[:, place].tolist()), _level(test, average))
            for place, name, average in zip(order, labels, test.average, strict=True)
        ),
        test=test,
        cliques=_cliques(test),
        left_out=(
            *(f"{label(every[variant].label)} (oracle)" for variant in sorted(oracles)),
            *_rows_left_out(complete, kept, rows, group),
            *_boards_left_out(group, compared),
        ),
        rule=_rule(test, [board.dataset for board in compared]),
    )


def _variant(row: Row) -> Variant:
    return row.method, canonical(dict(row.parameters)), row.stages


def _finished(row: Row) -> bool:
    """A result for every seed of its board: a mean over the seeds that went well would flatter."""
    return row.rank is not None and not (row.failed or row.skipped or row.not_run)


def _largest(finished: Sequence[frozenset[str]]) -> frozenset[str]:
    """The data sets of one method that, with all methods complete on them, give the most cells; of equals the wider."""

    def cells(names: frozenset[str]) -> tuple[int, int, list[str]]:
        methods = sum(names <= theirs for theirs in finished)
        # One method or one data set compares nothing, however many cells it has.
        return (len(names) * methods if len(names) > 1 and methods > 1 else 0), len(names), sorted(names)

    return max(set(finished), key=cells, default=frozenset())


def _mean(board: Board, row: Row) -> float:
    assert board.ranking
    mean = row.cells[board.ranking.key].mean
    assert mean is not None
    return mean


def _level(test: RankTest, average: float) -> bool:
    """The best itself always; others where a test was made and does not part them."""
    best = min(test.average)
    if test.critical is None:
        return average == best
    return not test.differ or average - best < test.critical


def _cliques(test: RankTest) -> tuple[tuple[int, ...], ...]:
    if test.critical is None:
        return ()
    return tuple(cliques(test.average, test.critical)) if test.differ else (tuple(range(len(test.average))),)


def _labels(variants: Sequence[Variant], boards: Sequence[Board]) -> list[str]:
    """As on the first board, or the method's name where that tells it from the others."""
    names = [variant[0] for variant in variants]
    known = {_variant(row): row.label for row in boards[0].rows}
    return [known[variant] if names.count(variant[0]) > 1 else variant[0] for variant in variants]


def _rows_left_out(
    complete: dict[Variant, frozenset[str]],
    kept: frozenset[str],
    rows: dict[str, dict[Variant, Row]],
    group: Sequence[Board],
) -> list[str]:
    told = []
    for variant, finished in complete.items():
        if missing := sorted(kept - finished):
            name = next(here[variant].label for here in rows.values() if variant in here)
            why = "; ".join(_gap(dataset, rows[dataset].get(variant), group) for dataset in missing[:3])
            told.append(f"{label(name)} ({why}{'; …' if len(missing) > 3 else ''})")
    return told


def _gap(dataset: str, row: Row | None, group: Sequence[Board]) -> str:
    board = next(board for board in group if board.dataset == dataset)
    if row is None:
        return f"no trial on {label(dataset)}"
    return f"{len(row.seeds)} of {len(board.seeds)} seeds on {label(dataset)}"


def _boards_left_out(group: Sequence[Board], compared: Sequence[Board]) -> list[str]:
    told = []
    for name in dict.fromkeys(board.dataset for board in group if board not in compared):
        count = sum(board.dataset == name for board in group)
        why = f"{count} protocols" if count > 1 else "not every method compared finished it"
        told.append(f"data set {label(name)} ({why})")
    return told


def _rule(test: RankTest, datasets: Sequence[str]) -> str:
    sentences = [
        f"Average ranks over {', '.join(label(name) for name in datasets)}, by each data set's ranking metric; equal "
        "means share the mean of their ranks."
    ]
    if test.p is None or test.critical is None:
        sentences.append("Two methods: no test over data sets; see the boards.")
    else:
        p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}"
        rough = f", rough below {ROUGH_BELOW} data sets" if test.blocks < ROUGH_BELOW else ""
        sentences.append(f"Friedman's test: {p} (chi-squared {significant(test.statistic or 0.0)}{rough}).")
        sentences.append(
            f"Nemenyi's critical difference at {ALPHA:.0%} is {significant(test.critical)} ranks; ".replace("%", " %")
            + (
                "≈ marks what is nearer than that to the best."
                if test.differ
                else "since Friedman's test finds no difference, no method is told from another."
            )
        )
    sentences.append(
        "Compared are the methods with a result for every seed on every data set named; of the data sets that some "
        "method finished, those are named that give the most such cells. Nothing is filled in."
    )
    return " ".join(sentences)
