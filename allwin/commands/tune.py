"""`allwin tune`: searches the settings of methods on validation data, and writes what it found as a preset."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allwin.grid_options import DEFAULT_TASK_BUDGET
from allwin.live import Display
from allwin.options import (
    comma_words,
    complete,
    dataset_names,
    json_option,
    method_names,
    methods_by_path_option,
    store_option,
    task_names,
)
from allwin.running import INTERRUPTED, tell_outside
from bench.contracts import BUDGETS, Budget
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.tune_engine import Standing
    from bench.tuning import Scheduler, Study, Tuning

SEED = 1000
"""Of the problem that is tuned on. Suites count theirs from 0: what is tuned on is not what is reported."""

LINE_EVERY_S = 5.0
"""Away from a terminal a line is printed at most this often."""


@click.command()
@click.argument("target", shell_complete=complete(task_names, method_names))
@click.option(
    "--methods", default="", callback=comma_words, metavar="A,B", help="Else all that have something to search."
)
@click.option(
    "--datasets",
    default="",
    callback=comma_words,
    metavar="A,B",
    shell_complete=complete(dataset_names),
    help="A search for each; else the task's first.",
)
@click.option("--budget", type=click.Choice(BUDGETS), default=DEFAULT_TASK_BUDGET, show_default=True)
@click.option(
    "--trials",
    type=click.IntRange(min=2),
    default=20,
    show_default=True,
    help="Candidates of each method; the first is the method as it is.",
)
@click.option(
    "--scheduler",
    type=click.Choice(["asha", "none"]),
    default="asha",
    show_default=True,
    help="asha ends most candidates after a ninth or a third of their steps; none fits all in full.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=SEED,
    show_default=True,
    help="Of the problem and of the search. No suite uses the default, so tuning never sees a problem of a report.",
)
@click.option(
    "--space",
    "assignments",
    multiple=True,
    metavar="METHOD.FIELD=SPEC",
    help="Where to search, instead of what the method declares: log(a,b), uniform(a,b), int(a,b) or a JSON list. "
    "May be given more than once.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Candidates at a time; else one a core.")
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Of each candidate, in seconds; else the budget's.",
)
@methods_by_path_option
@store_option
@json_option
def command(store: Path, workers: int | None, as_json: bool, **asked: Any) -> int:
    """Search the settings of TARGET, a task or TASK/METHOD, on validation data, with the same budget for each method.

    What is found is written below the store, for `allwin run --preset FILE`. Exit code 1 if a method has no candidate
    that was fitted in full.
    """
    from bench import registry
    from bench.outside import outside_code
    from bench.provenance import cores

    workers = workers or cores()
    if workers > cores():
        raise UserError(f"{workers} workers need as many cores, and there are {cores()}; lower --workers")
    studies = list(_studies(**asked))
    tell_outside(outside_code([study.cell for study in studies], registry.load(asked["paths"])))
    from bench.tune_engine import cluster, search
    from bench.tuning import write

    found = []
    with Line(quiet=as_json) as line:
        try:
            with cluster(workers, threads=1) as folder:
                for study in studies:
                    tuning = search(study, folder, line)
                    found.append((tuning, write(tuning, store)))
        except KeyboardInterrupt:
            click.echo(f"interrupted; {len(found)} of {len(studies)} searches had ended and been written", err=True)
            return INTERRUPTED
    _print(found, as_json)
    return 0 if all(tuning.chosen is not None for tuning, _ in found) else 1


def _studies(
    target: str,
    methods: tuple[str, ...],
    datasets: tuple[str, ...],
    budget: Budget,
    trials: int,
    scheduler: "Scheduler",
    seed: int,
    assignments: tuple[str, ...],
    time_limit: float | None,
    paths: tuple[Path, ...],
) -> "Iterator[Study]":
    """One search a data set and method. Raises `UserError` before anything starts."""
    from dataclasses import replace

    from bench import grid, provenance, registry
    from bench.limits import DEFAULT_LIMITS
    from bench.space import SPEC, axes_of, parse_space
    from bench.tuning import Study
    from bench.validate import entries_of

    known = registry.load(paths)
    name, _, alone = target.partition("/")
    task = known.task(name)
    if "validate" not in task.members:
        raise UserError(f"{name}: it has no `validate`, by which candidates are judged; docs/tuning.md says what it is")
    if alone and methods:
        raise UserError(f"{target} and --methods both name methods; leave one out")
    space = parse_space(assignments)
    entries = {entry.name: entry for entry in known.methods.get(name, {}).values()}
    chosen = [alone] if alone else [method.removeprefix(f"{name}/") for method in methods]
    if not chosen:
        chosen = [n for n, entry in entries.items() if {n, entry.title} & set(space) or (entry.search and not space)]
    if stray := [owner for owner in space if owner.removeprefix(f"{name}/") not in chosen]:
        raise registry.unknown("method in --space", stray[0], chosen or entries, "allwin list")
    if not chosen:
        raise UserError(f"{name}: no method says where to search; add --space METHOD.FIELD=SPEC; SPEC is {SPEC}")
    spaces = {}
    for reference in chosen:
        entry, *inner = entries_of(known, name, reference)
        if inner:
            raise UserError(f"{entry.title} wraps another method; tune that one, {inner[0].title}, by itself")
        texts = space.get(entry.name, {}) | space.get(entry.title, {}) or dict(entry.search)
        if not texts:
            raise UserError(f"{entry.title} does not say where to search; add --space {entry.name}.FIELD=SPEC")
        spaces[reference] = texts, axes_of(entry, texts, budget)
    limits = DEFAULT_LIMITS[budget]
    origin = provenance.origin("tune", "ray", tuple(click.get_current_context().find_root().obj or ()))
    choice = grid.Choice(methods=chosen, datasets=datasets, seeds=1, budget=budget)
    for cell in grid.expand(grid.suite_of_task(task, budget), known, choice):
        if cell.skip:
            raise UserError(f"{cell.spec.task}/{cell.spec.method} on {cell.spec.dataset}: {cell.skip[1]}")
        yield Study(
            cell=grid.cell_of(cell.spec.model_copy(update={"seed": seed}), known),
            space=spaces[cell.spec.method][0],
            axes=spaces[cell.spec.method][1],
            trials=trials,
            scheduler=scheduler,
            limits=replace(limits, time_s=time_limit) if time_limit else limits,
            origin=origin,
            method_paths=tuple(path.resolve() for path in paths),
        )


class Line(Display):
    """How far a search is, in one line on standard error."""

    def __call__(self, study: "Study", standing: "Standing") -> None:
        running = f"{standing.running} running" if standing.running or standing.ended else "the workers start"
        lowest = "" if standing.best is None else f", best in full {standing.best:.4g}"
        text = f"{study.title}: {standing.ended} of {standing.total} ended, {standing.failed} failed, {running}{lowest}"
        if self._display:
            from rich.text import Text

            self._display.update(Text(text))
        elif not self._quiet and (standing.ended == standing.total or time.monotonic() - self._printed > LINE_EVERY_S):
            self._printed = time.monotonic()
            click.echo(text, err=True)


def _print(found: "list[tuple[Tuning, Path]]", as_json: bool) -> None:
    from allwin.output import print_json, print_line, print_table

    if as_json:
        print_json(
            {
                "tunings": [
                    tuning.model_dump(mode="json", exclude={"checksum"}) | {"file": str(path)} for tuning, path in found
                ]
            }
        )
        return
    rows = []
    for tuning, _ in found:
        statuses = [candidate.status for candidate in tuning.candidates]
        rows.append(
            (
                f"{tuning.task}/{tuning.method} on {tuning.dataset}",
                _score(tuning.default_validation),
                _score(tuning.chosen_validation),
                " ".join(f"{name}={_short(value)}" for name, value in (tuning.chosen or {}).items()),
                "/".join(str(statuses.count(status)) for status in ("full", "early", "failed")),
                f"{tuning.work_s:.3g} s" + ("" if tuning.work_macs is None else f", {tuning.work_macs:.3g} MAC"),
            )
        )
    headings = ("method", "default score", "chosen score", "chosen values", "full/early/failed", "cost")
    print_table(headings, rows, right=("default score", "chosen score"))
    first = found[0][0]
    rungs = ", ".join("all" if ninths == 9 else f"{ninths}/9" for ninths in first.ninths)
    print_line(
        f"the same for each: {first.trials} candidates, judged after {rungs} of their steps, {first.time_limit_s:g} s; "
        f"scores are of validation data of seed {first.seed}, lower is better"
    )
    for tuning, path in found:
        for candidate in tuning.candidates:
            if candidate.status == "failed":
                print_line(f"{tuning.method}: candidate {candidate.number}: {candidate.cause}: {candidate.message}")
        use = f"`--preset {path}`" if tuning.chosen is not None else f"no candidate was fitted in full; see {path}"
        print_line(f"{tuning.task}/{tuning.method} on {tuning.dataset}: {use}")


def _score(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
