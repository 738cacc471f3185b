"""`allwin reproduce PAPER`: runs what measures a paper's figures, and prints them beside the published ones."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from allwin.options import device_option, json_option, methods_by_path_option, store_option
from allwin.published import (
    DEFAULT_BUDGET,
    chosen_tables,
    complete_table,
    judged,
)
from allwin.running import Engine, engine_options
from bench.contracts import BUDGETS, Budget

if TYPE_CHECKING:
    from bench.agreement import Agreement
    from bench.evidence import Evidence
    from bench.papers import Figure
    from bench.reproduction import Reproduction


@click.command()
@click.argument("target", metavar="PAPER[/TABLE]", shell_complete=complete_table)
@click.option("--budget", type=click.Choice(BUDGETS), default=DEFAULT_BUDGET, show_default=True)
@device_option
@click.option("--dry-run", is_flag=True, help="Run nothing: judge what the store holds.")
@methods_by_path_option
@store_option
@engine_options
@json_option
def command(
    target: str,
    budget: Budget,
    device: Literal["cpu", "cuda"],
    dry_run: bool,
    paths: tuple[Path, ...],
    store: Path,
    how: Engine,
    as_json: bool,
) -> int:
    """Run what measures a paper's figures, and print published, measured, difference and verdict.

    Below a table stands whether its rows come in the published order. PAPER is a paper's name, or all. Exit code 1 if a
    trial failed; a figure that is not reproduced is a result.
    """
    from allwin.output import print_json
    from bench.agreement import agreements
    from bench.reproduction import reproductions

    chosen = chosen_tables(target)

    def find(evidence: "Evidence") -> "list[Reproduction]":
        return [one for paper, tables in chosen for one in reproductions(paper, tables, budget, evidence)]

    name = None if dry_run else f"reproduce {target}"
    listed, code = judged(find, name, store, how, paths, device, quiet=as_json)
    if listed is None:
        return code
    if as_json:
        orders = [_order(one) for one in agreements(listed)]
        print_json({"figures": [_document(one) for one in listed], "orders": orders})
    else:
        _print(listed, budget)
    return code


def _document(one: "Reproduction") -> dict[str, Any]:
    return {
        "paper": one.paper,
        "table": one.table.id,
        "row": one.row.id,
        "column": one.column.id,
        "kind": one.kind,
        "published": one.figure.printed,
        "certainty": one.figure.certainty,
        "measured": one.measured.mean if one.measured else None,
        "verdict": one.verdict,
        "why": one.why,
    }


def _order(one: "Agreement") -> dict[str, Any]:
    return {
        "paper": one.paper,
        "table": one.table.id,
        "column": one.column.id,
        "budget": one.budget,
        "n": one.n,
        "rho": one.rho,
        "moved": [
            {"row": moved.row.id, "published": moved.published, "measured": moved.measured} for moved in one.moved
        ],
    }


def _print(listed: "list[Reproduction]", budget: Budget) -> None:
    from allwin.output import one_line, print_line, print_table
    from bench.agreement import agreements
    from bench.papers import CERTAINTY_MARKS, Kind
    from bench.reproduction import VERDICTS

    headings = ("row", "column", "kind", "published", "measured", "difference", "verdict", "why")
    tables: dict[tuple[str, str], list[Reproduction]] = {}
    for one in listed:
        tables.setdefault((one.paper, one.table.id), []).append(one)
    for (paper, name), rows in tables.items():
        table = rows[0].table
        print_table(
            headings,
            [_cells(one) for one in rows],
            title=f"{paper}/{name}: {table.title} ({table.place}), at {budget} budget",
            right=("published", "measured", "difference"),
        )
        for order in agreements(rows):
            print_line(one_line(order.told))
        print_line()
    counts = Counter((one.kind, one.verdict) for one in listed)
    kinds = [kind for kind in (*get_args(Kind), None) if any(kind == counted for counted, _ in counts)]
    print_table(
        ("kind", *VERDICTS),
        [(kind or "not said", *(counts[kind, verdict] for verdict in VERDICTS)) for kind in kinds],
        title=f"verdicts on {len(listed)} figures, by kind",
        right=VERDICTS,
    )
    for certainty, (mark, meaning) in CERTAINTY_MARKS.items():
        if number := sum(one.figure.certainty == certainty for one in listed):
            print_line(f"{mark} {meaning} ({number})")


def _cells(one: "Reproduction") -> tuple[str, ...]:
    measured = ""
    if one.measured:
        measured = number(one.measured.mean, one.figure.decimals)
        if one.measured.half_width is not None:
            measured += f" ± {number(one.measured.half_width, one.figure.decimals)} (n={one.measured.n})"
    column = f"{one.column.title} ({one.column.unit})" if one.column.unit else one.column.title
    difference = "" if one.difference is None else number(one.difference, one.figure.decimals, sign="+")
    return (
        one.row.title,
        column,
        one.kind or "",
        published(one.figure),
        measured,
        difference,
        one.verdict,
        one.why,
    )


def published(figure: "Figure") -> str:
    """As printed, with its spread and the mark of its certainty."""
    if figure.printed is None:
        return "—"
    from bench.papers import CERTAINTY_MARKS

    mark, _ = CERTAINTY_MARKS.get(figure.certainty, ("", ""))
    text = figure.printed + (f" ± {figure.spread}" if figure.spread else "")
    return f"{mark}{text}" if figure.certainty == "recalled" else f"{text}{mark}"


def number(value: float, decimals: int, sign: str = "") -> str:
    """With the decimals of the printed figure; with three digits where those would leave nothing but zeros."""
    text = f"{value:{sign},.{decimals}f}"
    return text if value == 0 or any(digit in text for digit in "123456789") else f"{value:{sign}.3g}"
