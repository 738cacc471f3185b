"""`allwin claims`: the sentences of the papers as tests over records."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from allwin.options import device_option, json_option, methods_by_path_option, store_option
from allwin.published import (
    ALL,
    DEFAULT_BUDGET,
    chosen_papers,
    complete_paper,
    judged,
)
from allwin.running import Engine, engine_options
from bench.contracts import BUDGETS, Budget

if TYPE_CHECKING:
    from bench.claims import Finding
    from bench.evidence import Evidence

LEGEND = (
    "effect: first minus second, positive speaks for the claim, in the unit of the quantity; of a correlation, the "
    "coefficient. Intervals are 95 % and verdicts are per claim: nothing is corrected for their number, so of 20 "
    "claims that lie on their bar one is expected to be decided by chance. Several data sets are averaged within each "
    "seed, with the same weight."
)


@click.command()
@click.argument("paper", default=ALL, shell_complete=complete_paper)
@click.option("--budget", type=click.Choice(BUDGETS), help="Else each one that a claim offers.")
@click.option("--run", "wanted", is_flag=True, help=f"Run first what is missing, at {DEFAULT_BUDGET} unless said else.")
@device_option
@methods_by_path_option
@store_option
@engine_options
@json_option
def command(
    paper: str,
    budget: Budget | None,
    wanted: bool,
    device: Literal["cpu", "cuda"],
    paths: tuple[Path, ...],
    store: Path,
    how: Engine,
    as_json: bool,
) -> int:
    """Hold the claims of PAPER, or of all, against the records of a store: verdict, effect and interval.

    Exit code 1 if a trial failed; a claim that is contradicted is a result.
    """
    from allwin.output import print_json
    from bench.claims import findings

    chosen = chosen_papers(paper)
    at: Budget | None = budget or (DEFAULT_BUDGET if wanted else None)

    def find(evidence: "Evidence") -> "list[Finding]":
        return [one for each in chosen for one in findings(each, at, evidence)]

    name = f"claims {paper}" if wanted else None
    listed, code = judged(find, name, store, how, paths, device, quiet=as_json)
    if listed is None:
        return code
    if as_json:
        print_json([_document(one) for one in listed])
    else:
        _print(listed)
    return code


def _document(one: "Finding") -> dict[str, Any]:
    return {
        "paper": one.paper,
        "claim": one.claim.id,
        "statement": one.claim.statement,
        "budget": one.budget,
        "verdict": one.verdict,
        "effect": one.effect,
        "low": one.low,
        "high": one.high,
        "n": one.n,
    }


def _print(listed: "list[Finding]") -> None:
    from allwin.output import print_line, print_table
    from bench.claims import VERDICTS

    print_table(
        ("paper", "claim", "budget", "verdict", "effect", "95 % interval", "n", "statement", "why"),
        [_cells(one) for one in listed],
        right=("effect", "n"),
    )
    print_line()
    budgets = [budget for budget in BUDGETS if any(one.budget == budget for one in listed)]
    counts = Counter((one.budget, one.verdict) for one in listed)
    print_table(
        ("budget", *VERDICTS),
        [(budget, *(counts[budget, verdict] for verdict in VERDICTS)) for budget in budgets],
        title=f"verdicts on {len({(one.paper, one.claim.id) for one in listed})} claims, by budget",
        right=VERDICTS,
    )
    print_line(LEGEND)


def _cells(one: "Finding") -> tuple[str, ...]:
    effect = "" if one.effect is None else f"{one.effect:+.4g}"
    interval = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
    statement = " ".join(one.claim.statement.split())
    return (one.paper, one.claim.id, one.budget, one.verdict, effect, interval, str(one.n), statement, one.why)
