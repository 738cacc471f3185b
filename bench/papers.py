"""Published tables and claims as data: `papers/<paper>.yaml`, strict, figures as they were printed.

What reproduces a cell is merged from four places, the later winning: the table's `run`, the column's, the row's, the
cell's; then what that says for the budget. A name of a method that is not here yet is no mistake: its cells say "not
attempted" until it is.
"""

import functools
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bench.contracts import BUDGETS, Budget, Stage
from bench.errors import UserError, first_problem
from bench.registry import unknown
from bench.source import package_folders
from bench.suite import read_yaml

Certainty = Literal["paper", "repository", "second-hand", "derived", "recalled"]
"""How a figure came to us: read in the paper itself, in its authors' repository, in somebody else's transcription;
followed from other published figures; or from memory alone, which is never a bar to pass."""

CERTAINTY_MARKS: dict[Certainty, tuple[str, str]] = {
    "recalled": ("~", "recalled: from memory alone, shown and never a bar to pass"),
    "second-hand": ("†", "second-hand: read in somebody else's transcription"),
    "derived": ("‡", "derived: follows from other published figures"),
}
"""How sure we are of a printed figure; those of the paper itself and of its repository have no mark."""

Kind = Literal["exact", "full", "scaled"]
"""`exact`: needs no data and must agree to the printed digit; `full`: the published data and schedule; `scaled`: the
same comparison on what one has, which can support a claim and never reproduces a figure."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+_-]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Recipe(_Strict):
    """How a figure is measured: part of a suite's block, and how what comes out is turned into what was printed."""

    task: str | None = None
    method: str | None = None
    """As in a suite: `nnpu`, or `outer(inner)`."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    dataset: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    seeds: Annotated[int, Field(gt=0)] | None = None
    stages: list[Stage] | None = None
    """`[profile]` for what needs no fit."""
    quantity: str | None = None
    """`metric.error`, `cost.macs`, `training.fit_s`: a column of the store's frame; or `curve.loss@8`, the value of a
    curve at x = 8."""
    scale: float | None = None
    offset: float | None = None
    """printed = scale x measured + offset: percent from a share, accuracy from an error, FLOPs from MACs."""
    kind: Kind | None = None
    tolerance: float | None = None
    """In the printed unit. Without one an `exact` figure must round to what was printed; with one the published figure
    is itself known no better: cut off, or of a convention that leaves something open.
    """
    impossible: str | None = None
    """Why it cannot be measured by anybody here: data that was never released, hardware that is no longer made."""
    at: dict[Budget, "Recipe"] = Field(default_factory=dict)
    """What is different at a budget. A budget that is not named here is not offered, unless `at` is empty."""

    def over(self, below: "Recipe") -> "Recipe":
        """Merged: what this one says wins, parameters and settings key by key."""
        values = below.model_dump(exclude_none=True, exclude={"at"}) | {
            name: value
            for name, value in self.model_dump(exclude_none=True, exclude={"at"}).items()
            if name not in ("parameters", "settings")
        }
        values["parameters"] = {**below.parameters, **self.parameters}
        values["settings"] = {**below.settings, **self.settings}
        budgets = [budget for budget in BUDGETS if budget in below.at or budget in self.at]
        at = {b: self.at.get(b, Recipe()).over(below.at.get(b, Recipe())) for b in budgets}
        return Recipe.model_validate(values | {"at": at})

    def at_budget(self, budget: Budget) -> "Recipe | None":
        """With the budget's differences; None if it is not offered there."""
        if self.at and budget not in self.at:
            return None
        return self.at.get(budget, Recipe()).over(self.model_copy(update={"at": {}}))


class Figure(_Strict):
    """A published figure as it was printed."""

    printed: str | None = None
    """Its digits; null for a blank of the table."""
    spread: str | None = None
    """What stood behind its ±."""
    certainty: Certainty
    note: str = ""
    """Whatever a reader must know of this one: `best over epochs on the test set`."""
    run: Recipe = Field(default_factory=Recipe)

    @field_validator("printed", "spread")
    @classmethod
    def _a_number(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                plain = Decimal(text.replace(",", "")).is_finite()
            except InvalidOperation:
                plain = False
            if not plain:
                raise ValueError(f"a printed figure is a number, got {text!r}; leave units and signs to the column")
        return text

    @property
    def value(self) -> float | None:
        return None if self.printed is None else float(self.printed.replace(",", ""))

    @property
    def decimals(self) -> int:
        """Printed places after the point."""
        return max(0, -int(Decimal(self.printed.replace(",", "")).as_tuple().exponent)) if self.printed else 0


class TableColumn(_Strict):
    id: Name
    title: str
    unit: str = ""
    better: Literal["high", "low"] | None = None
    convention: str = ""
    """What the paper means by it, where that is not obvious: `FLOPs are multiply-adds`, `best epoch on test`."""
    run: Recipe = Field(default_factory=Recipe)


class TableRow(_Strict):
    id: Name
    title: str
    own: bool = False
    """Whether it is the paper's own system, not a competitor."""
    run: Recipe = Field(default_factory=Recipe)
    cells: dict[str, Figure]


class PaperTable(_Strict):
    id: Name
    title: str
    place: str
    """Where it stands: `table 5`, `figure 3 (a)`, `README`."""
    note: str = ""
    discussion: str = ""
    """In our words: where what was measured here departs from what was published, and why."""
    run: Recipe = Field(default_factory=Recipe)
    columns: list[TableColumn] = Field(min_length=1)
    rows: list[TableRow] = Field(min_length=1)

    @model_validator(mode="after")
    def _cells_have_columns(self) -> "PaperTable":
        for what, names in (("column", [c.id for c in self.columns]), ("row", [r.id for r in self.rows])):
            if len(set(names)) < len(names):
                raise ValueError(f"table {self.id}: a {what} stands twice among {', '.join(names)}")
        for row in self.rows:
            for name in row.cells:
                if name not in [column.id for column in self.columns]:
                    raise ValueError(f"table {self.id}, row {row.id}: there is no column {name}")
        return self

    def recipe(self, row: TableRow, column: TableColumn) -> Recipe:
        """What reproduces a cell, for all budgets."""
        return row.cells[column.id].run.over(row.run).over(column.run).over(self.run)


class Side(_Strict):
    """One side of a comparison: a method with its parameters, and a data set where the sides differ in that."""

    method: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    dataset: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class Where(_Strict):
    """Where a claim is put to the test at a budget."""

    datasets: list[str] = Field(min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Of both sides."""
    seeds: Annotated[int, Field(gt=0)] = 5
    stages: list[Stage] | None = None
    """Of its trials; all, unless said."""


class Claim(_Strict):
    """A sentence of a paper as a statistical test over records."""

    id: Name
    statement: str
    """In our words, one sentence that can be false."""
    place: str
    certainty: Certainty
    task: str
    quantity: str
    """`metric.error`, `cost.latency_ms`, `training.fit_s`, `curve.loss@8`."""
    test: Literal["better", "not-worse", "correlation"]
    """`better`: first beats second by more than `minimum_effect`; `not-worse`: first is at most that much behind;
    `correlation`: Spearman's rank correlation of `quantity` and `other` over `methods` is above it."""
    better: Literal["high", "low"] | None = None
    """Which way is good; for a metric, and for a curve of a metric's name, the task says so."""
    first: Side | None = None
    second: Side | None = None
    methods: list[Side] = Field(default_factory=list)
    """For `correlation`."""
    other: str | None = None
    minimum_effect: float = 0.0
    """In the unit of the quantity; for a correlation, the coefficient."""
    at: dict[Budget, Where] = Field(min_length=1)

    @model_validator(mode="after")
    def _sides_fit_the_test(self) -> "Claim":
        if self.test == "correlation" and not (self.other and len(self.methods) >= 3):
            raise ValueError(f"claim {self.id}: a correlation needs `other` and at least three `methods`")
        if self.test != "correlation" and not (self.first and self.second):
            raise ValueError(f"claim {self.id}: {self.test} needs `first` and `second`")
        told = self.better is not None or self.quantity.startswith(("metric.", "curve."))
        if self.test != "correlation" and not told:
            raise ValueError(f"claim {self.id}: which way is {self.quantity} good? say so in `better`")
        return self


class Paper(_Strict):
    """All that a paper published and that is put to the test here."""

    name: Name
    """The file's own: `fasterseg`."""
    title: str
    authors: str
    venue: str
    reference: str
    """arXiv number or DOI."""
    note: str = ""
    """What a reader of all its tables must know: which figures could be read where."""
    discussion: str = ""
    """As of a table, of the paper as a whole."""
    tables: list[PaperTable]
    claims: list[Claim]

    @model_validator(mode="after")
    def _names_differ(self) -> "Paper":
        for what, names in (("table", [t.id for t in self.tables]), ("claim", [c.id for c in self.claims])):
            if len(set(names)) < len(names):
                raise ValueError(f"a {what} stands twice among {', '.join(names)}")
        return self

    def table(self, name: str) -> PaperTable:
        for table in self.tables:
            if table.id == name:
                return table
        raise unknown(f"table of {self.name}", name, [table.id for table in self.tables], "allwin show")


@functools.cache
def paper_files() -> dict[str, Path]:
    """The papers of the tree, by name."""
    return {path.stem: path for folder in package_folders("papers") for path in sorted(folder.glob("*.yaml"))}


def load_paper(name: str) -> Paper:
    """A paper by name; raises `UserError` in one line that names the mend."""
    files = paper_files()
    if name not in files:
        raise unknown("paper", name, files, "allwin list")
    return parse_paper(read_yaml(files[name]), name, files[name].name)


def parse_paper(content: Any, name: str, where: str) -> Paper:
    """A paper from what its YAML says."""
    if not isinstance(content, dict):
        raise UserError(f"{where}: a paper is a mapping with title, tables and claims; see docs/papers.md")
    try:
        return Paper(name=name, **{str(key): value for key, value in content.items() if key != "name"})
    except ValidationError as error:
        raise UserError(f"{where}: {first_problem(error)}; see docs/papers.md".replace("\n", " ")) from None
