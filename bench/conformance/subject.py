"""A task or a method under check, and its fits, which several rules look at."""

import functools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench import data
from bench.conformance.watch import Observation, copied, equal, observed, tensors
from bench.errors import Unsupported, UserError
from bench.measure.mode import evaluating
from bench.registry import Entry, Registry
from bench.run import Run
from bench.seeds import derive_seed
from bench.slate import clean_slate
from bench.source import WRAPPED
from bench.validate import construct, entries_of, resolve

BUDGET: Literal["smoke"] = "smoke"

SEEDS = (0, 1)
"""Of two problems; all fits but one solve the first."""

FIT_LIMIT_S = 300.0
"""A smoke fit takes seconds. This stops one that does not end; it is no bar to pass."""


@dataclass
class Attempt:
    """One call of `fit`, and what was seen of it."""

    error: BaseException | None = None
    solution: Any = None
    seconds: float = 0.0
    steps: list[tuple[str, int]] = field(default_factory=list)
    """Phase and number of each step, as they were done."""
    touched: list[str] = field(default_factory=list)
    """Tensors of the problem that the fit changed."""
    seen: Observation | None = None


class Killed(BaseException):
    """Stands for a `kill -9` after a step. No `Exception`, so that no method takes it for its own."""


class Subject:
    """A task or a method under check, with its first fit, which is made once and only when a rule asks."""

    def __init__(self, registry: Registry, entry: Entry, *, dataset: str = "", inner: str = "") -> None:
        self.registry = registry
        self.entry = entry
        self.inner = inner
        self.task_entry = registry.task(entry.task)
        named = [self.task_entry.card(dataset)] if dataset else self.task_entry.cards
        self._datasets = [card.name for card in named if data.here(card)]
        if not self._datasets:
            raise UserError(f"{entry.title}: no data set of {entry.task} is here; `allwin data` shows what is missing")
        self.dataset = self._datasets[0]
        """The task's default; where the method does not support it, the next one that it does."""
        self._loaded: dict[tuple[str, int], tuple[Any, Any]] = {}

    def build(self, budget: str) -> Any:
        """An instance with the parameters of a budget."""
        parameters: dict[str, Any] = {}
        for entry in reversed(self._chain()):
            parameters = resolve(entry, budget, {}) | ({WRAPPED: parameters} if entry.wraps else {})
        return construct(self.registry, self.entry, parameters, self.inner)

    def _chain(self) -> list[Entry]:
        """The entry, and what it wraps."""
        if self.entry.kind == "task":
            return [self.entry]
        reference = f"{self.entry.name}({self.inner})" if self.inner else self.entry.name
        return entries_of(self.registry, self.entry.task, reference)

    @functools.cached_property
    def task(self) -> Any:
        return construct(self.registry, self.task_entry, resolve(self.task_entry, BUDGET, {}))

    def load(self, seed: int) -> tuple[Any, Any]:
        """The problem and its held-out part, drawn anew."""
        with clean_slate(derive_seed("load", seed), 1):
            return self.task.load(self.dataset, BUDGET, seed)

    def loaded(self, seed: int) -> tuple[Any, Any]:
        """The problem and its held-out part, drawn once."""
        if (self.dataset, seed) not in self._loaded:
            self._loaded[self.dataset, seed] = self.load(seed)
        return self._loaded[self.dataset, seed]

    @functools.cached_property
    def first(self) -> Attempt:
        """The fit that most rules look at."""
        for dataset in self._datasets:
            self.dataset = dataset
            attempt = self.fit(SEEDS[0])
            if not isinstance(attempt.error, Unsupported):
                break
        return attempt

    def fit(self, seed: int, checkpoints: Path | None = None, kill_at: tuple[str, int] | None = None) -> Attempt:
        """One fit at smoke budget; killed after the step `kill_at`, if it gets there."""
        attempt = Attempt()

        def on_step(phase: str, done: int) -> None:
            attempt.steps.append((phase, done))
            if (phase, done) == kill_at:
                raise Killed

        problem, _ = self.loaded(seed)
        before = [(name, value, copied(value)) for name, value in tensors(problem)]
        # A seed of this module's own: a method that seeds torch with a number it knows is found out by it.
        with clean_slate(derive_seed("conformance", seed), 1):
            method = self.build(BUDGET)
            run = Run(
                seed=seed,
                budget=BUDGET,
                checkpoints=checkpoints,
                save_every_s=0.0,
                time_limit_s=FIT_LIMIT_S,
                on_step=on_step,
            )
            started = time.perf_counter()
            with observed(*([checkpoints] if checkpoints else [])) as attempt.seen:
                try:
                    attempt.solution = method.fit(problem, run)
                    # What was logged last is looked at only here.
                    run.curves()
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    attempt.error = error
            attempt.seconds = time.perf_counter() - started
        attempt.touched = [name for name, value, copy in before if not equal(value, copy)]
        return attempt

    def measured(self, solution: Any, seed: int) -> dict[str, float]:
        """The metrics of a solution on the held-out part of its problem."""
        with clean_slate(derive_seed("evaluate", seed), 1), evaluating(solution):
            evaluation = self.task.evaluate(solution, self.loaded(seed)[1])
        return {name: float(value) for name, value in evaluation.metrics.items()}

    @functools.cached_property
    def metrics(self) -> dict[str, float]:
        """Those of the first fit."""
        return self.measured(self.first.solution, SEEDS[0])
