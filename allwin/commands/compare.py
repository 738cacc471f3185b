"""`allwin compare A B`: two methods, paired by seed, on every board that has both."""

from pathlib import Path
from typing import Any, Literal

import click

from allwin.options import complete, json_option, method_names, store_option

Test = Literal["t", "wilcoxon"]


@click.command()
@click.argument("first", shell_complete=complete(method_names))
@click.argument("second", shell_complete=complete(method_names))
@click.option("--metric", default="", help="Only this metric or cost; else the one that ranks, and all costs.")
@click.option(
    "--test",
    type=click.Choice(["t", "wilcoxon"]),
    default="t",
    show_default=True,
    help="Paired t test, or Wilcoxon's signed-rank test.",
)
@store_option
@json_option
def command(first: str, second: str, metric: str, test: Test, store: Path, as_json: bool) -> None:
    """FIRST minus SECOND on every data set: mean difference over the seeds that both have, its 95 % interval, and p.

    Below five pairs there is no p. Costs are of one hardware group, and are no quality: their p is not corrected for
    their number. A method is named as on its board: `nnpu`, `pu/nnpu`, or with the parameters that tell variants apart.
    """
    from allwin.boards import boards_of, records_of
    from allwin.output import print_json, print_table
    from bench.store import Store

    records = records_of(Store.open(store), None)
    by_key = {record.key: record for record in records}
    boards = boards_of(records)
    found = [
        pair
        for board in boards
        for a in _rows(board, first)
        for b in _rows(board, second)
        if a is not b
        for quantity in _quantities(board, metric)
        if (pair := _compared(board, a, b, quantity, by_key, test))
    ]
    if not found:
        raise _nothing(boards, first, second, metric, store)
    if as_json:
        print_json(found)
        return
    about = ("task", "dataset", "budget", "hardware", "quantity", "first", "second")
    headings = (*about, "n", "difference", "95 % interval", "ratio", "p", "better")
    print_table(headings, [_cells(pair) for pair in found], right=("n", "difference", "ratio", "p"))


def _quantities(board: Any, name: str) -> list[Any]:
    """Those of one name; without a name what ranks, and all costs."""
    if name:
        return [quantity for quantity in board.quantities if quantity.name == name]
    return [quantity for quantity in board.quantities if quantity == board.ranking or quantity.group == "cost"]


def _rows(board: Any, name: str) -> list[Any]:
    task, slash, short = name.partition("/")
    if slash and task != board.task:
        return []
    return [row for row in board.rows if (short if slash else name) in (row.method, row.label)]


def _compared(board: Any, a: Any, b: Any, quantity: Any, records: dict[str, Any], test: Test) -> dict[str, Any] | None:
    from bench.stats import ALPHA, paired_difference

    seeds = sorted(set(a.seeds) & set(b.seeds))
    values = [[_value(records[row.keys[seed]], quantity) for seed in seeds] for row in (a, b)]
    pairs = [pair for pair in zip(*values, strict=True) if None not in pair]
    if not pairs:
        return None
    ours, theirs = [x for x, _ in pairs], [y for _, y in pairs]
    difference = paired_difference(ours, theirs, test)
    gain = difference.mean if quantity.better == "high" else -difference.mean
    if test == "wilcoxon":
        decided = difference.p is not None and difference.p < ALPHA
    else:
        decided = difference.low is not None and difference.high is not None and difference.low * difference.high > 0
    return {
        "task": board.task,
        "dataset": board.dataset,
        "budget": board.budget,
        "hardware": board.hardware,
        "kind": quantity.group,
        "metric": quantity.name,
        "unit": quantity.unit,
        "first": a.label,
        "second": b.label,
        "n": difference.n,
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        # A difference in milliseconds says little without the size of what it is a part of.
        "ratio": sum(ours) / sum(theirs) if quantity.group != "metric" and sum(theirs) else None,
        "test": test,
        "p": difference.p,
        "better": (a.label if gain > 0 else b.label) if decided else "undecided",
    }


def _value(record: Any, quantity: Any) -> float | None:
    group = {"metric": record.metrics, "cost": record.costs, "training": record.training}[quantity.group]
    return group[quantity.name].value if quantity.name in group else None


def _cells(pair: dict[str, Any]) -> list[str]:
    interval = "one pair has none" if pair["low"] is None else f"{pair['low']:.4g} to {pair['high']:.4g}"
    return [
        *(pair[name] for name in ("task", "dataset", "budget", "hardware")),
        f"{pair['metric']} ({pair['unit']})" if pair["unit"] else pair["metric"],
        pair["first"],
        pair["second"],
        str(pair["n"]),
        f"{pair['difference']:.4g}",
        interval,
        "" if pair["ratio"] is None else f"{pair['ratio']:.3g}",
        "n < 5" if pair["p"] is None else f"{pair['p']:.2g}",
        pair["better"],
    ]


def _nothing(boards: Any, first: str, second: str, metric: str, store: Path) -> Exception:
    from bench.errors import UserError
    from bench.registry import unknown

    labels = sorted({name for board in boards for row in board.rows for name in (row.method, row.label)})
    for name in (first, second):
        if not any(_rows(board, name) for board in boards):
            return unknown("method in this store", name, labels, f"allwin status --store {store}")
    if metric:
        names = sorted({quantity.name for board in boards for quantity in board.quantities})
        if metric not in names:
            return unknown("metric in this store", metric, names, "allwin list")
    return UserError(f"{first} and {second} share no board and seed in {store}; run them in one suite first")
