"""What tasks, methods and data sets say of themselves. Nothing here imports torch.

A task is a frozen dataclass under `@task`; a method is one under `@method`. What they declare (fields, presets,
metrics, cards) is written as literals, so that the registry can read it from the source without running it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from bench.settings import Presets

if TYPE_CHECKING:
    from bench.run import Run

Budget = Literal["smoke", "small", "gpu", "paper"]
BUDGETS: tuple[Budget, ...] = ("smoke", "small", "gpu", "paper")

Stage = Literal["fit", "evaluate", "profile"]
STAGES: tuple[Stage, ...] = ("fit", "evaluate", "profile")


@dataclass(frozen=True)
class Metric:
    """How success is measured. `low` and `high` bound the valid values; one outside them fails the trial."""

    name: str
    unit: str
    better: Literal["high", "low"]
    low: float | None = None
    high: float | None = None
    meaning: str = ""
    partial: bool = False
    """Whether some solutions have none, such as the quality of scores where a method gives no scores: `evaluate` then
    leaves it out, and so does the record. Such a metric never ranks."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set in its official layout. `path` is relative to the data set's folder."""

    path: str
    size_bytes: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a data set before it is opened."""

    name: str
    title: str
    licence: str
    origin: str
    """Where it comes from: a package, a generator, or a page, as text."""
    items: str
    """How many of what, in words."""
    kind: Literal["embedded", "generated", "files"]
    """`embedded`: a dependency ships it; `generated`: code makes it from a seed; `files`: the user brings it."""
    folder: str = ""
    """Its folder below the data root, for `files`."""
    files: tuple[DataFile, ...] = ()
    system: str = ""
    """Where a package of the operating system puts that folder, looked at after the data root."""
    version: str = "1"
    """Raised when the loader gives other data for the same seed; part of every key."""
    metrics: tuple[str, ...] = ()
    """The task's metrics that are measured on it, the first of which ranks; empty for all."""


@dataclass(frozen=True)
class Workload:
    """The call on which latency, MACs, memory and energy are measured, under `no_grad` in eval mode."""

    call: Callable[..., Any]
    inputs: tuple[Any, ...]
    items: int
    """How many items one call handles: latency is a call's, throughput and energy are an item's."""
    label: str
    """For the reader, such as `256 images of 1 x 28 x 28`."""
    iterations: int | None = None
    """How many iterations one call makes, where evaluation curves run along `iteration`; costs of a call are shared
    out evenly among them."""

    def __post_init__(self) -> None:
        if self.iterations is not None and not (isinstance(self.iterations, int) and self.iterations >= 1):
            raise ValueError(f"iterations of a workload must be a whole number of at least 1, got {self.iterations!r}")


class Task(Protocol):
    """What is to be solved, and how success is measured.

    A task that also has `validate(solution, problem) -> float` can be tuned on: lower is better, and it is computed
    from the problem alone, which holds no test data.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    cards: ClassVar[tuple[DatasetCard, ...]]
    presets: ClassVar[Presets]

    def load(self, dataset: str, budget: Budget, seed: int) -> tuple[Any, Any]:
        """The problem handed to `fit`, which holds no test data, and the held-out part, which only `evaluate` sees."""

    def check(self, solution: Any, problem: Any) -> None:
        """Raises `ValueError` if the solution is not what the task's protocol asks for."""

    def evaluate(self, solution: Any, held_out: Any) -> "Evaluation":
        """All metrics of the data set, with curves where the task has them."""

    def workload(self, solution: Any, problem: Any) -> Workload:
        """What latency, MACs, memory and energy are measured on."""


class Method(Protocol):
    """A recipe that turns a problem into a solution.

    A method that also has `build(problem)`, an untrained solution whose cost is that of the trained one, can stand in
    suites that only profile. A method that wraps another has a field `base: Method`, written `outer(inner)`.
    A method with something to tune says where to look in `search: ClassVar[Search]`.
    """

    presets: ClassVar[Presets]

    def fit(self, problem: Any, run: "Run") -> Any:
        """The solution."""


@dataclass(frozen=True)
class Evaluation:
    """What `Task.evaluate` returns: values by metric name, the number of items scored, and curves by name."""

    metrics: Mapping[str, float]
    items: int
    curves: Mapping[str, "EvaluationCurve"] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationCurve:
    """A quantity measured at evaluation along an axis: NMSE by layer, recall by threshold."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    x_name: str
    unit: str


Class = TypeVar("Class", bound=type)


def task(*, version: int) -> Callable[[Class], Class]:  # noqa: ARG001 -- the registry reads it from the source
    """Registers a task under its folder's name. Raise `version` when the protocol changes: old records go stale."""

    def register(cls: Class) -> Class:
        for member in ("load", "check", "evaluate", "workload", "metrics", "cards", "presets"):
            if not hasattr(cls, member):
                raise TypeError(f"task {cls.__name__}: it has no `{member}`; see docs/contracts.md")
        return cls

    return register


def method(task: str, *, paper: str = "", oracle: bool = False) -> Callable[[Class], Class]:  # noqa: ARG001 -- likewise
    """Registers a method of `task` under its file's name. `paper` joins the parts of one published system.

    An `oracle` uses what no method may use: boards show it as a reference, outside every rank and test.
    """

    def register(cls: Class) -> Class:
        for member in ("fit", "presets"):
            if not hasattr(cls, member):
                raise TypeError(f"method {cls.__name__}: it has no `{member}`; see docs/contracts.md")
        # `allwin check` alone looks at it; the harness has it from the source.
        cls.declared_oracle = oracle  # type: ignore[attr-defined]
        return cls

    return register
