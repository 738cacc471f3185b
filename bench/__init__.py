"""The harness: registries, grid, trials, runner, store, measuring. It knows no task, method or paper by name.

What a task's or a method's file needs is here; importing it imports neither torch nor Ray.
"""

from typing import TYPE_CHECKING, Any

from bench.contracts import (
    Budget,
    DataFile,
    DatasetCard,
    Evaluation,
    EvaluationCurve,
    Method,
    Metric,
    Task,
    Workload,
    method,
    task,
)
from bench.errors import Diverged, MissingData, Unsupported, UserError
from bench.settings import Count, Fraction, Natural, NonNegative, Positive, Presets, Search, UnitInterval

if TYPE_CHECKING:
    from bench.run import Run

__all__ = [
    "Budget",
    "Count",
    "DataFile",
    "DatasetCard",
    "Diverged",
    "Evaluation",
    "EvaluationCurve",
    "Fraction",
    "Method",
    "Metric",
    "MissingData",
    "Natural",
    "NonNegative",
    "Positive",
    "Presets",
    "Run",
    "Search",
    "Task",
    "UnitInterval",
    "Unsupported",
    "UserError",
    "Workload",
    "method",
    "task",
]


def __getattr__(name: str) -> Any:
    # `Run` needs torch, which a listing of the registries must not import.
    if name == "Run":
        from bench.run import Run

        return Run
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
