"""The options that choose cells, shared by the verbs that take a grid: plan, run, explain, status, report."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from allwin.options import (
    comma_words,
    complete,
    dataset_names,
    device_option,
    method_names,
    methods_by_path_option,
    store_option,
    suite_names,
    task_names,
)
from bench.contracts import BUDGETS, Budget
from bench.errors import UserError

LEADERS = "@leaders"
"""In `--methods`: those of the store that the paired test does not tell from the best."""

DEFAULT_TASK_BUDGET: Budget = "small"
"""Of a task that is run by its name, without a suite."""


@dataclass(frozen=True)
class Grid:
    """A grid as the command line names it, expanded when asked for."""

    name: str
    choice: Any
    paths: tuple[Path, ...]
    store: Path

    def expand(self, cluster: Callable[[str], str] | None = None) -> tuple[Any, list[Any]]:
        """The suite and its cells; `cluster` tells the hardware for a device where it is not this machine's.

        Raises `UserError` naming the mend.
        """
        from bench import grid, registry, suite

        known = registry.load(self.paths)
        names = registry.suite_names()
        if self.name in known.tasks and self.name not in names:
            chosen = grid.suite_of_task(known.task(self.name), self.choice.budget or DEFAULT_TASK_BUDGET)
        elif self.name in names or self.name.endswith((".yaml", ".yml")):
            chosen = suite.load_suite(self.name)
        else:
            raise registry.unknown("suite or task", self.name, [*names, *known.tasks], "allwin list")
        choice = self.choice
        if cluster and chosen.stages == ["profile"]:
            choice = replace(choice, hardware=cluster(choice.device))
        return chosen, grid.expand(chosen, known, choice)


def grid_options(required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options and hands the verb one `Grid` in their place (None where no name was given)."""

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def wrapped(**words: Any) -> Any:
            return verb(grid=_grid(words), **words)

        for option in reversed(_options(required)):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def _options(required: bool) -> list[Callable[..., Any]]:
    return [
        click.argument("suite", required=required, shell_complete=complete(suite_names, task_names)),
        click.option("--tasks", default="", callback=comma_words, metavar="A,B", help="Only these tasks."),
        click.option(
            "--methods",
            default="",
            callback=comma_words,
            metavar="A,B",
            help=f"Only these methods, also one that the suite does not name; {LEADERS} stands for the store's best.",
            shell_complete=complete(method_names),
        ),
        click.option(
            "--datasets",
            default="",
            callback=comma_words,
            metavar="A,B",
            help="Only these data sets, also one that the suite does not name.",
            shell_complete=complete(dataset_names),
        ),
        click.option(
            "--seeds", type=click.IntRange(min=1), metavar="N", help="Seeds 0 to N-1, instead of the suite's."
        ),
        click.option("--budget", type=click.Choice(BUDGETS), help="Instead of the suite's."),
        device_option,
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="METHOD.FIELD=VALUE",
            help="Overrides a setting of a method or a task; a list is a sweep. May be given more than once.",
        ),
        click.option(
            "--preset",
            "presets",
            multiple=True,
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Settings that `allwin tune` chose; --set goes before them. May be given more than once.",
        ),
        methods_by_path_option,
        store_option,
    ]


def _grid(words: dict[str, Any]) -> Grid | None:
    """Takes the grid's words out of a verb's."""
    from bench.grid import Choice, parse_overrides

    name = words.pop("suite")
    store = words["store"]
    paths = words.pop("paths")
    methods = words.pop("methods")
    overrides = parse_overrides(words.pop("assignments"))
    if presets := words.pop("presets"):
        from bench.tuning import with_presets

        overrides = with_presets(overrides, presets)
    choice = Choice(
        tasks=words.pop("tasks"),
        methods=(),
        datasets=words.pop("datasets"),
        seeds=words.pop("seeds"),
        budget=words.pop("budget"),
        device=words.pop("device"),
        overrides=overrides,
    )
    if name is None:
        if methods or choice != Choice():
            raise UserError("a filter needs a suite or a task to choose from; name one first")
        return None
    chosen = tuple(_with_leaders(methods, name, store)) + tuple(_by_path(paths, methods))
    return Grid(name, replace(choice, methods=chosen), paths, store)


def _by_path(paths: tuple[Path, ...], methods: tuple[str, ...]) -> list[str]:
    """A method given by path joins a choice of methods by itself; without a choice every method runs."""
    names = [path.stem.replace("_", "-") for path in paths]
    return [name for name in names if methods and name not in methods]


def _with_leaders(methods: tuple[str, ...], task: str, store: Path) -> list[str]:
    if LEADERS not in methods:
        return list(methods)
    from allwin.boards import leaders
    from bench.registry import load
    from bench.store import Store

    found = leaders(list(Store.open(store).records()), task if task in load().tasks else None)
    if not found:
        raise UserError(f"{LEADERS}: {store} has no leaderboard of {task} yet; `allwin run {task}` makes one")
    return [name for name in methods if name != LEADERS] + [name for name in found if name not in methods]
