"""A leaderboard as data: what every table, plot and page of one comparison is printed from.

A board holds what may be compared: one task, data set, settings, protocol, budget, device and hardware group. A cell
has a mean, or a mark that says why it has none; a blank would leave the reader to guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from bench.record import Record
from bench.stats import Difference, Noise

Mark = Literal["failed", "skipped", "not measured", "not run"]

MARKS: dict[Mark, str] = {"failed": "✗", "skipped": "⊘", "not measured": "∅", "not run": "·"}
"""Four blanks that must not be mistaken for one another, nor for zero."""

MEANINGS: dict[Mark, str] = {
    "failed": "the trial was tried and left no result",
    "skipped": "the trial was not tried, for the reason given",
    "not measured": "the trial ran, but the instrument could not read this, for the reason given",
    "not run": "no trial, or the stage that gives this was not asked for",
}

ORACLE = "oracle"
"""In place of the rank of a row that uses what no method may use."""

LEVEL_MARK = "≈"
"""Beside the rank of a row that the test cannot tell from the best."""

CLAIM_LEVELS: tuple[str, ...] = get_args(Record.model_fields["claim_level"].annotation)
"""From the weakest: a row is no better than the weakest of its records."""

Standing = Literal["best", "not distinguishable", "ahead", "behind", "untested"]
"""How a row stands to the best one, which is the first of those with the most seeds; `ahead`: one with fewer seeds."""


@dataclass(frozen=True)
class Quantity:
    """A column: a metric, a cost of the solution, or a cost of training it."""

    key: str
    """Its column in the store's frame: `metric.error`, `cost.latency_ms`, `training.fit_s`."""
    unit: str
    better: Literal["high", "low"]

    @property
    def group(self) -> str:
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        return self.key.partition(".")[2]


@dataclass(frozen=True)
class Cell:
    """A mean over the `n` seeds that have a value, with its half width if there are two; or a mark with its reasons."""

    mean: float | None = None
    half_width: float | None = None
    n: int = 0
    mark: Mark | None = None
    reasons: tuple[str, ...] = ()
    """Why there is no value; also of single seeds that have none beside others that do."""


@dataclass(frozen=True)
class Row:
    """A method with its parameters, over the seeds of its board."""

    method: str
    label: str
    """The method's name, with the parameters that tell it from its variants on this board."""
    parameters: Mapping[str, Any]
    stages: tuple[str, ...]
    """That were asked for."""
    cells: Mapping[str, Cell]
    """By `Quantity.key`; one for each quantity of the board."""
    seeds: tuple[int, ...]
    """That gave a result."""
    failed: tuple[int, ...]
    skipped: tuple[int, ...]
    not_run: tuple[int, ...]
    """Seeds that other rows of the board have."""
    causes: Mapping[str, int]
    """How often each cause of failing or skipping was met."""
    keys: Mapping[int, str]
    """Seed -> key of its record, whatever its status."""
    claim_level: str
    """How its figures came about, of the weakest of its records: one of `CLAIM_LEVELS`."""
    oracle: bool = False
    """It uses what no method may use: shown as a reference, outside every rank, test and front."""
    rank: int | None = None
    """By the mean of the first metric; equal means share a rank. None: no result, or an oracle."""
    standing: Standing | None = None
    difference: Difference | None = None
    """This row minus the best one, over the seeds that both have."""
    p: float | None = None
    """Of that difference, Holm-corrected over the board."""
    fronts: Mapping[str, bool] = field(default_factory=dict)
    """Cost -> whether no other row is both better and cheaper; only for rows that have both, and are no oracles."""

    @property
    def drawn_label(self) -> str:
        """The label for a figure, which has no column of ranks to say what is an oracle."""
        return f"{ORACLE}: {self.label}" if self.oracle else self.label


@dataclass(frozen=True)
class Board:
    """One comparison. Rows are in the order of their ranks, then oracles by value, then those without a result."""

    task: str
    dataset: str
    settings: Mapping[str, Any]
    protocol: str
    """Versions of the task and of its data, such as `v1, mnist5k v1`; other versions stand on boards of their own."""
    budget: str
    device: str
    hardware: str
    title: str
    """Task and data set, with what tells this board from others of the same two."""
    quantities: tuple[Quantity, ...]
    """Metrics first, of which the first ranks; then costs; then training."""
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    rule: str
    """How the ranks came about, in sentences: printed under the table."""
    noise: Noise | None
    """How far a row is from itself under other seeds, in the unit of the ranking metric; None: too few seeds."""
    notes: tuple[str, ...]
    """What a reader must know before trusting a row."""

    @property
    def ranking(self) -> Quantity | None:
        """The metric that ranks; None where no trial gave a result."""
        return next((quantity for quantity in self.quantities if quantity.group == "metric"), None)
