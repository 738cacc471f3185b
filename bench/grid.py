"""From a suite to its cells: filters, sweeps, overrides, and for each cell its spec and key, or why it is skipped."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench import data
from bench.contracts import Budget
from bench.errors import Cause, UserError
from bench.keys import hardware_part, key_of, source_parts, spec_parts
from bench.record import Spec
from bench.registry import Entry, Registry, unknown
from bench.source import WRAPPED
from bench.strict_yaml import Malformed, parse_yaml
from bench.suite import MOST_CELLS, Block, Suite, Values
from bench.validate import entries_of, resolve


@dataclass(frozen=True)
class Cell:
    """One trial to be: what is asked for, its key, and where a mismatch was seen before anything loaded, the reason."""

    spec: Spec
    parts: dict[str, str]
    key: str
    skip: tuple[Cause, str] | None = None
    memory_gib: float | None = None
    """Of the device, as its method declares for the budget."""
    oracle: bool = False
    """Whether its method, or one that it wraps, is an oracle."""

    @property
    def title(self) -> str:
        return f"{self.spec.task}/{self.spec.method} on {self.spec.dataset}, seed {self.spec.seed}"


@dataclass(frozen=True)
class Choice:
    """What the command line narrows and overrides in a suite."""

    tasks: Sequence[str] = ()
    methods: Sequence[str] = ()
    datasets: Sequence[str] = ()
    seeds: int | None = None
    budget: Budget | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    hardware: str | None = None
    """The group of a cluster's nodes; None: this machine's."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By entry: `nnpu`, `pu/nnpu` or, for a task's settings, `pu`."""


def parse_overrides(assignments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`nnpu.beta=0.1` and its like, values read as YAML; a list is a sweep."""
    overrides: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        owner, dot, name = target.strip().rpartition(".")
        if not (equals and dot and owner and name):
            raise UserError(f"--set {assignment}: write it as --set METHOD.FIELD=VALUE, such as --set nnpu.beta=0.1")
        try:
            overrides.setdefault(owner, {})[name] = parse_yaml(text)
        except Malformed as error:
            raise UserError(
                f"--set {assignment}: {text} is no YAML value ({error}); quote a text that holds : or #"
            ) from None
    return overrides


def suite_of_task(task: Entry, budget: Budget = "smoke") -> Suite:
    """A task's own grid: every method on its first data set."""
    return Suite(name=task.name, title=task.summary, budget=budget, grid=[Block(task=task.name)])


def expand(suite: Suite, registry: Registry, choice: Choice | None = None) -> list[Cell]:
    """All cells of a suite, ordered so that those of one problem stand together.

    Raises `UserError` for names that do not exist, and for a choice that leaves nothing.
    """
    choice = choice or Choice()
    _check_choice(suite, registry, choice)
    used: set[str] = set()
    cells: dict[str, Cell] = {}
    made = 0
    for block in suite.grid:
        if choice.tasks and block.task not in choice.tasks:
            continue
        for cell in _block_cells(block, suite, registry, choice, used):
            made += 1
            _check_size(made, suite)
            cells.setdefault(cell.key, cell)
    if unused := set(choice.overrides) - used:
        owner = sorted(unused)[0]
        raise UserError(
            f"--set or --preset {owner}.…: no cell of {suite.name} uses {owner}; it has {', '.join(sorted(used))}"
        )
    if not cells:
        raise UserError(
            f"nothing is left of {suite.name} after --tasks, --methods and --datasets; `allwin plan` shows it"
        )
    return list(cells.values())


def _check_size(cells: int, suite: Suite) -> None:
    if cells > MOST_CELLS:
        raise UserError(f"{suite.name} has more than {MOST_CELLS:,} cells; sweep over fewer values, or split the suite")


def cell_of(spec: Spec, registry: Registry) -> Cell:
    """The cell of a spec, with the key that it has as the code is now."""
    task = registry.task(spec.task)
    entries = entries_of(registry, task.name, spec.method)
    parts = spec_parts(spec) | source_parts(task, entries, spec.dataset) | hardware_part(spec.stages, spec.device)
    memory = entries[0].memory_gib.get(spec.budget)
    return Cell(spec, parts, key_of(parts), _absent(task, spec.dataset), memory, _oracle(entries))


def _check_choice(suite: Suite, registry: Registry, choice: Choice) -> None:
    tasks = [registry.task(block.task) for block in suite.grid]
    for name in choice.tasks:
        if name not in [task.name for task in tasks]:
            raise unknown(f"task of {suite.name}", name, [task.name for task in tasks], f"allwin show {suite.name}")
    for name in choice.methods:
        errors = []
        for task in tasks:
            try:
                entries_of(registry, task.name, name)
            except UserError as error:
                errors.append(error)
        if len(errors) == len(tasks):
            raise errors[0]
    for name in choice.datasets:
        cards = [card.name for task in tasks for card in task.cards]
        if name not in cards:
            raise unknown("data set", name, cards, "allwin data")


def _block_cells(block: Block, suite: Suite, registry: Registry, choice: Choice, used: set[str]) -> Iterator[Cell]:
    task = registry.task(block.task)
    budget = choice.budget or suite.budget
    used.add(task.name)
    seeds = suite.seed_numbers if choice.seeds is None else range(choice.seeds)
    datasets = block.datasets or [task.cards[0].name]
    if choice.datasets:
        # A choice may also name a data set that the suite does not: that is how one tries another.
        datasets = [name for name in choice.datasets if name in {card.name for card in task.cards}]
    hardware = hardware_part(suite.stages, choice.device, choice.hardware)
    recipes = [
        (reference, entries, parameters, _mismatch(entries, suite))
        for reference, entries, parameters in _recipes(block, task, suite, registry, choice, used)
    ]
    points = list(_sweep(task, dict(block.settings) | dict(choice.overrides.get(task.name, {})), suite))
    # Before the first is made: each takes some time.
    _check_size(len(datasets) * len(points) * len(seeds) * len(recipes), suite)
    for dataset in datasets:
        absent = _absent(task, dataset)
        sources = {reference: source_parts(task, entries, dataset) for reference, entries, _, _ in recipes}
        for settings in points:
            resolved = resolve(task, budget, settings)
            for seed in seeds:
                for reference, entries, parameters, mismatch in recipes:
                    memory = entries[0].memory_gib.get(budget)
                    spec = Spec(
                        task=task.name,
                        settings=resolved,
                        dataset=dataset,
                        method=reference,
                        parameters=parameters,
                        budget=budget,
                        seed=seed,
                        stages=tuple(suite.stages),
                        device=choice.device,
                    )
                    parts = spec_parts(spec) | sources[reference] | hardware
                    yield Cell(spec, parts, key_of(parts), absent or mismatch, memory, _oracle(entries))


def _recipes(
    block: Block, task: Entry, suite: Suite, registry: Registry, choice: Choice, used: set[str]
) -> Iterator[tuple[str, list[Entry], dict[str, Any]]]:
    """Each method of a block with its resolved parameters: the suite's, narrowed and overridden by the choice."""
    listed: list[tuple[str, Values]] = [
        (item, {}) if isinstance(item, str) else next((name, values or {}) for name, values in item.items())
        for item in block.methods
        or [name for name, entry in registry.methods.get(task.name, {}).items() if not entry.wraps]
    ]
    listed = [(reference.removeprefix(f"{task.name}/"), values) for reference, values in listed]
    if choice.methods:
        wanted = [name.removeprefix(f"{task.name}/") for name in choice.methods]
        chosen = [(reference, values) for reference, values in listed if reference in wanted]
        # A choice may also name a method that the suite does not: that is how a baseline joins a suite.
        known = registry.methods.get(task.name, {})
        added = [n for n in wanted if n not in [r for r, _ in listed] and n.partition("(")[0] in known]
        listed = chosen + [(name, {}) for name in added]
    budget = choice.budget or suite.budget
    made = 0
    for reference, values in listed:
        entries = entries_of(registry, task.name, reference)
        sweeps = []
        for position, entry in enumerate(entries):
            given = dict(values) if position == 0 else {}
            for owner in (entry.name, entry.title):
                used.add(owner)
                given |= choice.overrides.get(owner, {})
            sweeps.append([resolve(entry, budget, point) for point in _sweep(entry, given, suite)])
        made += math.prod(map(len, sweeps))
        _check_size(made, suite)
        for combination in itertools.product(*sweeps):
            # The wrapped method's parameters stand inside its wrapper's.
            *outer, parameters = combination
            for wrapper in reversed(outer):
                parameters = wrapper | {WRAPPED: parameters}
            yield reference, entries, parameters


def _sweep(entry: Entry, values: Mapping[str, Any], suite: Suite) -> Iterator[dict[str, Any]]:
    """The product of all lists; a field that is a list itself is swept by a list of lists."""
    lists = {setting.name for setting in entry.settings if isinstance(setting.default, tuple)}

    def axis(name: str, given: Any) -> list[Any]:
        swept = isinstance(given, list) and (name not in lists or any(isinstance(item, list) for item in given))
        return given if swept else [given]

    axes = [[(name, value) for value in axis(name, given)] for name, given in values.items()]
    _check_size(math.prod(map(len, axes)), suite)
    for point in itertools.product(*axes):
        yield dict(point)


def _oracle(entries: Iterable[Entry]) -> bool:
    return any(entry.oracle for entry in entries)


def _absent(task: Entry, dataset: str) -> tuple[Cause, str] | None:
    card = task.card(dataset)
    if data.here(card):
        return None
    return "missing-data", f"{dataset} is not under {data.ENVIRONMENT}; `allwin data check {dataset}` lists its layout"


def _mismatch(entries: list[Entry], suite: Suite) -> tuple[Cause, str] | None:
    if "fit" not in suite.stages and "build" not in entries[0].members:
        return "unsupported", f"{entries[0].title} has no `build`, which a suite that only profiles needs"
    return None
