"""What a store holds of the trials that published figures and claims ask for.

Such trials are cells of a grid like any other, so that reasons to skip, keys and sharing come with that. Only a record
with a cell's own key counts; one of the same spec that other code made is told as stale.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench import data
from bench.contracts import STAGES, Budget, Stage
from bench.grid import Cell, Choice, expand
from bench.keys import canonical
from bench.record import CURVE_POINTS, Curve, Record
from bench.registry import Registry
from bench.suite import Block, Suite
from bench.validate import split_reference


@dataclass(frozen=True)
class Ask:
    """A quantity of one method on one data set, over seeds 0 to `seeds` - 1."""

    task: str
    method: str
    """As in a suite: `nnpu`, or `outer(inner)`."""
    quantity: str
    """`metric.error`, `cost.macs`, `training.fit_s`, `curve.loss@8`."""
    seeds: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    """None: the task's first."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Stage, ...] = STAGES


@dataclass(frozen=True)
class Quantity:
    """What is read from a record: `metric.error`, or a point of a curve, `curve.loss@8`."""

    group: str
    name: str
    x: float | None = None
    """Where on the curve."""


def parse_quantity(text: str) -> Quantity | None:
    """The quantity of this name; None if it is none."""
    group, _, name = text.partition(".")
    if group in ("metric", "cost", "training") and name:
        return Quantity(group, name)
    curve, _, place = name.rpartition("@")
    try:
        x = float(place)
    except ValueError:
        return None
    return Quantity(group, curve, x) if group == "curve" and curve and math.isfinite(x) else None


@dataclass(frozen=True)
class Gap:
    """Why not every seed has a value. `not here`: no code of that name yet; `not run`: a run would fill it."""

    state: Literal["not here", "not run", "could not run"]
    why: str
    """One line."""


UNPROFILED: tuple[Stage, ...] = ("fit", "evaluate")
"""All that metrics, curves and the costs of training need."""

GRAVITY = ("could not run", "not here", "not run")
"""Where seeds have different gaps the first of these is told: a run would not mend it."""


@dataclass(frozen=True)
class Measured:
    """Values by seed, the cells that give them, and why a seed has none."""

    values: Mapping[int, float]
    cells: tuple[Cell, ...]
    gap: Gap | None = None


class Evidence:
    """Looks up what was asked for in the records of a store."""

    def __init__(self, registry: Registry, records: Iterable[Record], device: Literal["cpu", "cuda"] = "cpu") -> None:
        # A data root that does not exist is the user's to mend, not a gap of every figure.
        data.root()
        self._registry = registry
        self._device = device
        self._cells: dict[str, list[Cell] | Gap] = {}
        self._by_key: dict[str, Record] = {}
        self._by_spec: dict[str, Record] = {}
        for record in records:
            self._by_key[record.key] = record
            self._by_spec[canonical(record.spec.model_dump(mode="json"))] = record

    def measured(self, ask: Ask, budget: Budget) -> Measured:
        """What stands of it, seed by seed."""
        cells = self._cells_of(ask, budget)
        if isinstance(cells, Gap):
            return Measured({}, (), cells)
        quantity = self._quantity(ask, cells[0].spec.dataset)
        if isinstance(quantity, Gap):
            return Measured({}, (), quantity)
        cells = self._standing(ask, budget, cells, quantity)
        values: dict[int, float] = {}
        gaps: list[Gap] = []
        for cell in cells:
            found = self._value(cell, quantity)
            if isinstance(found, Gap):
                gaps.append(found)
            else:
                values[cell.spec.seed] = found
        return Measured(values, tuple(cells), _together(gaps, len(cells)))

    def better(self, task: str, quantity: str) -> Literal["high", "low"] | None:
        """Which way is good, where the task declares that; on a curve, as for the metric of its name."""
        entry = self._registry.tasks.get(task)
        asked = parse_quantity(quantity)
        if entry is None or asked is None or asked.group not in ("metric", "curve"):
            return None
        return next((metric.better for metric in entry.metrics if metric.name == asked.name), None)

    def failed(self, cells: Iterable[Cell]) -> bool:
        """Whether a trial of these was tried and left no result."""
        return any(cell.key in self._by_key and self._by_key[cell.key].status == "failed" for cell in cells)

    # From names to cells ----------------------------------------------------------------------------------------------

    def _cells_of(self, ask: Ask, budget: Budget) -> list[Cell] | Gap:
        name = canonical(
            [budget, ask.task, ask.method, ask.parameters, ask.dataset, ask.settings, ask.seeds, ask.stages]
        )
        if name not in self._cells:
            self._cells[name] = self._expanded(ask, budget)
        return self._cells[name]

    def _standing(self, ask: Ask, budget: Budget, cells: list[Cell], quantity: Quantity) -> list[Cell]:
        """The cells, each replaced by the one without a profile where that has a record and the quantity needs none."""
        whole = all(cell.key in self._by_key for cell in cells)
        if whole or quantity.group == "cost" or ask.stages != STAGES:
            return cells
        shorter = self._cells_of(replace(ask, stages=UNPROFILED), budget)
        assert not isinstance(shorter, Gap)
        return [
            short if cell.key not in self._by_key and short.key in self._by_key else cell
            for cell, short in zip(cells, shorter, strict=True)
        ]

    def _expanded(self, ask: Ask, budget: Budget) -> list[Cell] | Gap:
        try:
            if gap := self._no_name(ask):
                return gap
            block = Block(
                task=ask.task,
                datasets=[ask.dataset] if ask.dataset else [],
                settings=dict(ask.settings),
                methods=[{ask.method: dict(ask.parameters)}],
            )
            suite = Suite(name="asked", title="", budget=budget, seeds=ask.seeds, stages=list(ask.stages), grid=[block])
            cells = expand(suite, self._registry, Choice(device=self._device))
        except ValueError as error:
            # A value that its field does not take (yet), or a suite that cannot be.
            return Gap("not here", " ".join(str(error).split()))
        if len(cells) != ask.seeds:
            return Gap("not here", "a list of values is a sweep, and a figure has one value; write a list in a list")
        return cells

    def _no_name(self, ask: Ask) -> Gap | None:
        known = self._registry
        if ask.task not in known.tasks:
            return self._missing(ask.task, f"task {ask.task}")
        task = known.tasks[ask.task]
        if ask.dataset is not None and ask.dataset not in [card.name for card in task.cards]:
            return Gap("not here", f"no data set {ask.dataset} of task {task.name} here yet")
        methods = known.methods.get(task.name, {})
        outer, inner = split_reference(ask.method)
        outermost = outer
        while outer:
            if outer not in methods:
                return self._missing(outer, f"method {outer} of task {task.name}")
            outer, inner = split_reference(inner)
        for entry, names, what in ((task, ask.settings, "setting"), (methods[outermost], ask.parameters, "parameter")):
            for name in names:
                if name not in [setting.name for setting in entry.settings]:
                    return Gap("not here", f"no {what} {name} of {entry.kind} {entry.title} here yet")
        return None

    def _missing(self, name: str, what: str) -> Gap:
        for broken in self._registry.broken:
            if broken.name.split("/")[-1] == name:
                return Gap("could not run", f"{broken.name} cannot be used: {broken.message}; mend {broken.path}")
        return Gap("not here", f"no {what} here yet")

    def _quantity(self, ask: Ask, dataset: str) -> Quantity | Gap:
        asked = parse_quantity(ask.quantity)
        if asked is None:
            mend = "write metric.NAME, cost.NAME, training.NAME, or curve.NAME@X with a number X"
            return Gap("not here", f"{' '.join(ask.quantity.split())} is no quantity: {mend}")
        task = self._registry.task(ask.task)
        if asked.group == "metric" and asked.name not in [metric.name for metric in task.metrics_on(dataset)]:
            return Gap("not here", f"no metric {asked.name} of task {task.name} on {dataset} here yet")
        return asked

    # From cells to values ---------------------------------------------------------------------------------------------

    def _value(self, cell: Cell, quantity: Quantity) -> float | Gap:
        record = self._by_key.get(cell.key)
        if record and record.failure and record.failure.cause == "missing-data" and cell.skip is None:
            # What was missing then is here now.
            record = None
        if record is None:
            return self._no_record(cell)
        if record.failure:
            return Gap("could not run", f"{record.failure.cause}: {' '.join(record.failure.message.split())}")
        name = quantity.name
        missing = Gap("could not run", f"its record holds no {quantity.group}.{name}")
        if quantity.x is not None:
            curve = record.curves.get(name)
            return _point(curve, name, quantity.x) if curve else missing
        if quantity.group == "metric":
            metric = record.metrics.get(name)
            return metric.value if metric else missing
        cost = (record.costs if quantity.group == "cost" else record.training).get(name)
        if cost is None:
            return missing
        if cost.value is None:
            return Gap("could not run", f"{name} not measured: {' '.join(cost.reason.split())}")
        return cost.value

    def _no_record(self, cell: Cell) -> Gap:
        if cell.skip:
            return Gap("could not run", f"{cell.skip[0]}: {cell.skip[1]}")
        twin = self._by_spec.get(canonical(cell.spec.model_dump(mode="json")))
        if twin is None or twin.key == cell.key:
            return Gap("not run", "not run yet")
        changed = [part for part, text in cell.parts.items() if twin.parts.get(part) != text]
        return Gap("not run", f"stale: made by earlier code or elsewhere ({', '.join(changed)})")


def _point(curve: Curve, name: str, x: float) -> float | Gap:
    """The curve's value at x itself: nothing is read between its points."""
    if curve.origin == "fit" and len(curve.x) > CURVE_POINTS // 2:
        # A long one was averaged down when its record was written, and says so nowhere.
        return Gap("could not run", f"curve.{name} was logged by fit, whose points may be means over several steps")
    values = [y for place, y in zip(curve.x, curve.y, strict=True) if place == x]
    if not values:
        sides = (
            max((place for place in curve.x if place < x), default=None),
            min((place for place in curve.x if place > x), default=None),
        )
        nearest = " and ".join(f"{place:.15g}" for place in sides if place is not None)
        told = f"nearest: {nearest}" if nearest else "it has no points"
        return Gap("could not run", f"curve.{name} has no {curve.x_name} {x:.15g}; {told}")
    if len(values) > 1:
        return Gap("could not run", f"curve.{name} has {len(values)} values at {curve.x_name} {x:.15g}")
    if values[0] is None:
        return Gap("could not run", f"curve.{name} is not finite at {curve.x_name} {x:.15g}")
    return values[0]


def _together(gaps: list[Gap], seeds: int) -> Gap | None:
    """The gravest gap, and how many seeds have it."""
    if not gaps:
        return None
    worst = min(gaps, key=lambda gap: GRAVITY.index(gap.state))
    alike = sum(gap == worst for gap in gaps)
    return worst if alike == seeds else Gap(worst.state, f"{alike} of {seeds} seeds: {worst.why}")
