"""Suites: named grids in YAML, strict. An unknown key is an error that names the nearest."""

import reprlib
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.contracts import BUDGETS, STAGES, Budget, Stage
from bench.errors import UserError
from bench.record import LARGEST
from bench.registry import suite_names, unknown
from bench.strict_yaml import Malformed, parse_yaml

MOST_CELLS = 100_000
"""Of a grid: one more is a slip of a sweep sooner than a wish."""

Values = dict[str, Any]
"""Settings by name; a list of values is a sweep."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Block(_Strict):
    """One rectangle of the grid: a task on data sets, with methods."""

    task: str
    datasets: list[str] = Field(default_factory=list)
    """Empty: the task's first, which needs no download."""
    settings: Values = Field(default_factory=dict)
    methods: list[str | dict[str, Values | None]] = Field(default_factory=list)
    """A name, or a name with its parameters; empty: every method of the task."""

    @field_validator("methods")
    @classmethod
    def _one_name_each(cls, methods: list[Any]) -> list[Any]:
        for method in methods:
            if isinstance(method, dict) and len(method) != 1:
                raise ValueError(f"a method is one name with its parameters, got {sorted(method)}")
        return methods


class Suite(_Strict):
    """A named grid: tasks x data sets x methods x seeds at a budget."""

    name: str
    title: str
    budget: Budget
    seeds: int | list[int] = 3
    """How many, counted from 0, or which."""
    stages: list[Stage] = Field(default_factory=lambda: list(STAGES), min_length=1)
    grid: list[Block] = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _an_order_that_exists(cls, stages: list[Stage]) -> list[Stage]:
        if "evaluate" in stages and "fit" not in stages:
            raise ValueError("evaluate needs fit; leave both out for a suite that only profiles")
        return [stage for stage in get_args(Stage) if stage in stages]

    @field_validator("seeds")
    @classmethod
    def _at_least_one(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, int):
            fine = 0 < seeds <= MOST_CELLS
        else:
            fine = bool(seeds) and 0 <= min(seeds) <= max(seeds) <= LARGEST and len(set(seeds)) == len(seeds)
        if not fine:
            raise ValueError(
                f"seeds must be a number above 0 and at most {MOST_CELLS:,}, or a list of different numbers from 0 up"
            )
        return seeds

    @property
    def seed_numbers(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


def read_yaml(path: Path) -> Any:
    """A YAML file's content; `UserError` with line and column if it cannot be read."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except Malformed as error:
        raise UserError(f"{path}: {error}; mend the YAML there") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); name a readable YAML file") from error


def load_suite(name: str | Path) -> Suite:
    """A suite by name or by path; raises `UserError` in one line that names the mend."""
    known = suite_names()
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UserError(f"suite {path}: there is no such file; `allwin list` shows the suites by name")
    elif str(name) in known:
        path = known[str(name)]
    else:
        raise unknown("suite", str(name), known, "allwin list")
    return parse_suite(read_yaml(path), path.stem, str(path.name))


def parse_suite(content: Any, name: str, where: str) -> Suite:
    """A suite from what its YAML says."""
    if not isinstance(content, dict):
        raise UserError(f"{where}: a suite is a mapping with title, budget and grid; see docs/suites.md")
    try:
        return Suite(name=name, **{str(key): value for key, value in content.items() if key != "name"})
    except ValidationError as error:
        raise UserError(f"{where}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "extra_forbidden":
            known = Block.model_fields if "grid" in first["loc"] else Suite.model_fields
            return (
                f"{place}: {unknown('key', str(first['loc'][-1]), [k for k in known if k != 'name'], 'docs/suites.md')}"
            )
        case "missing":
            return f"{place} is missing; add it"
        case "literal_error":
            allowed = STAGES if "stages" in first["loc"] else BUDGETS
            return f"{place}: {unknown('word', str(first['input']), allowed, 'docs/suites.md')}"
    return f"{place}: {first['msg']}, got {reprlib.repr(first['input'])}; see docs/suites.md".replace("\n", " ")
