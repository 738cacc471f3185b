"""A task or a method under check, and its fits, which several rules look at."""

import functools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from bench import data
from bench.conformance.watch import Observation, copied, equal, observed, tensors
from bench.contracts import Evaluation
from bench.errors import Unsupported, UserError
from bench.registry import WRAPPED, Entry, Registry
from bench.run import Run
from bench.seeds import derive_seed
from bench.trial import clean_slate, evaluation_mode
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
    """Stands for a `kill -9` after a step. No `Exception`, so that a method cannot swallow it."""


class Subject:
    """A task or a method under check, with its fits, each made once and only when a rule asks."""

    def __init__(self, registry: Registry, entry: Entry, *, dataset: str = "", inner: str = "") -> None:
        self.registry = registry
        self.entry = entry
        self.inner = inner
        self.task_entry = registry.task(entry.task)
        named = [self.task_entry.card(dataset)] if dataset else self.task_entry.cards
        self.datasets = [card.name for card in named if data.here(card)]
        if not self.datasets:
            raise UserError(f"{entry.title}: no data set of {entry.task} is here; `allwin data` shows what is missing")

    def build(self, budget: str) -> Any:
        """An instance with the parameters of a budget."""
        parameters: dict[str, Any] = {}
        chain = (
            entries_of(self.registry, self.entry.task, self.reference) if self.entry.kind == "method" else [self.entry]
        )
        for entry in reversed(chain):
            parameters = resolve(entry, budget, {}) | ({WRAPPED: parameters} if entry.wraps else {})
        return construct(self.registry, self.entry, parameters, self.inner)

    @property
    def reference(self) -> str:
        return f"{self.entry.name}({self.inner})" if self.inner else self.entry.name

    @functools.cached_property
    def task(self) -> Any:
        return construct(self.registry, self.task_entry, resolve(self.task_entry, BUDGET, {}))

    def load(self, seed: int) -> tuple[Any, Any]:
        """The problem and its held-out part, drawn anew."""
        with clean_slate(derive_seed("load", seed), 1):
            return self.task.load(self.dataset, BUDGET, seed)

    @functools.cached_property
    def loaded(self) -> dict[int, tuple[Any, Any]]:
        return {seed: self.load(seed) for seed in SEEDS}

    @functools.cached_property
    def dataset(self) -> str:
        """The task's default data set; where the method does not support it, the next one that it does."""
        return self._first[0]

    @property
    def first(self) -> Attempt:
        return self._first[1]

    @functools.cached_property
    def _first(self) -> tuple[str, Attempt]:
        for dataset in self.datasets:
            self.__dict__["dataset"] = dataset
            self.__dict__.pop("loaded", None)
            attempt = self.fit(SEEDS[0])
            if not isinstance(attempt.error, Unsupported):
                break
        return dataset, attempt

    def fit(self, seed: int, checkpoints: Path | None = None, kill_at: tuple[str, int] | None = None) -> Attempt:
        """One fit at smoke budget; killed after the step `kill_at`, if it gets there."""
        attempt = Attempt()

        def on_step(phase: str, done: int) -> None:
            attempt.steps.append((phase, done))
            if (phase, done) == kill_at:
                raise Killed

        problem, _ = self.loaded[seed]
        before = [(name, value, copied(value)) for name, value in tensors(problem)]
        # The seed is this module's own: a method that seeds torch with a number that it knows is found out by it.
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
                    run.curves()  # what was logged last is looked at only here
                except (Exception, Killed) as error:
                    attempt.error = error
            attempt.seconds = time.perf_counter() - started
        attempt.touched = [name for name, value, copy in before if not equal(value, copy)]
        return attempt

    def evaluate(self, solution: Any, seed: int) -> Evaluation:
        with clean_slate(derive_seed("evaluate", seed), 1), torch.no_grad(), evaluation_mode(solution):
            return self.task.evaluate(solution, self.loaded[seed][1])

    @functools.cached_property
    def metrics(self) -> dict[str, float]:
        return self.measured(self.first.solution, SEEDS[0])

    def measured(self, solution: Any, seed: int) -> dict[str, float]:
        return {name: float(value) for name, value in self.evaluate(solution, seed).metrics.items()}
