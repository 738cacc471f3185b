"""Hyper-parameter search as data: what is searched, who found what at which cost, and the result as a preset.

Every candidate is judged by the task's `validate` on the problem alone, so by no test data, and every method of a
search is given the same number of candidates, the same rungs and the same limits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import from_json, to_json

from bench.contracts import Budget
from bench.errors import Cause, UserError
from bench.grid import Cell
from bench.limits import Limits
from bench.provenance import Origin
from bench.record import Part, Provenance
from bench.record_file import checksum, write_new
from bench.space import Axis

SCHEMA = 1
"""Raised when a field of `Tuning` changes its meaning."""

Scheduler = Literal["asha", "none"]

NINTHS: dict[Scheduler, tuple[int, ...]] = {"asha": (1, 3, 9), "none": (9,)}
"""The rungs of a candidate, in ninths of its steps: ASHA lets a third of them climb, at three times the cost."""


@dataclass(frozen=True)
class Study:
    """The search of one method on one problem."""

    cell: Cell
    """With the method's present values: the first candidate."""
    space: Mapping[str, str]
    axes: Mapping[str, Axis]
    trials: int
    """Candidates, the first included."""
    scheduler: Scheduler
    limits: Limits
    """Of each candidate, all its rungs together."""
    origin: Origin
    method_paths: tuple[Path, ...] = ()
    threads: int = 1

    @property
    def title(self) -> str:
        return f"{self.cell.spec.task}/{self.cell.spec.method} on {self.cell.spec.dataset}"

    @property
    def present(self) -> dict[str, Any]:
        """The searched fields as they are without a search."""
        return {name: self.cell.spec.parameters[name] for name in self.axes}


class Rung(Part):
    """A candidate, fitted for a share of its steps and judged on validation data."""

    ninths: int
    validation: float
    """As the task's `validate` gives it: lower is better."""


class Candidate(Part):
    number: int
    """0 has the method's present values, and is never ended early."""
    parameters: dict[str, Any]
    """The searched fields; all others are as in `Tuning.parameters`."""
    status: Literal["full", "early", "failed"]
    rungs: list[Rung]
    seconds: float
    """Wall time of its fits and validations."""
    macs: float | None
    """Multiply-adds of its fits; null where they are not known."""
    cause: Cause | None = None
    message: str = ""


class Tuning(Part):
    """One method's search. `allwin run --preset` takes the file of it."""

    schema_version: int = SCHEMA
    task: str
    settings: dict[str, Any]
    dataset: str
    method: str
    parameters: dict[str, Any]
    """The method's fields as they are without a search."""
    budget: Budget
    seed: int
    scheduler: Scheduler
    trials: int
    ninths: tuple[int, ...]
    time_limit_s: float
    """Of each candidate."""
    space: dict[str, str]
    candidates: list[Candidate]
    chosen: dict[str, Any] | None
    """The searched fields of the best candidate that was fitted in full; null if there is none."""
    default_validation: float | None
    chosen_validation: float | None
    wall_s: float
    work_s: float
    """The candidates' seconds together."""
    work_macs: float | None
    started: str
    ended: str
    provenance: Provenance
    checksum: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    """SHA-256 of the canonical JSON of all else."""


def best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The first of those with the lowest score in full; one that was ended early or failed is not comparable."""
    return min((c for c in candidates if c.status == "full"), key=lambda c: c.rungs[-1].validation, default=None)


def conclude(study: Study, candidates: Sequence[Candidate], **measured: Any) -> Tuning:
    """A search's result. `measured` is `wall_s`, `started`, `ended` and `provenance`."""
    spec, chosen = study.cell.spec, best(candidates)
    default = candidates[0] if candidates and candidates[0].status == "full" else None
    macs = [candidate.macs for candidate in candidates]
    return Tuning(
        task=spec.task,
        settings=spec.settings,
        dataset=spec.dataset,
        method=spec.method,
        parameters=spec.parameters,
        budget=spec.budget,
        seed=spec.seed,
        scheduler=study.scheduler,
        trials=study.trials,
        ninths=NINTHS[study.scheduler],
        time_limit_s=study.limits.time_s,
        space=dict(study.space),
        candidates=list(candidates),
        chosen=chosen.parameters if chosen else None,
        default_validation=default.rungs[-1].validation if default else None,
        chosen_validation=chosen.rungs[-1].validation if chosen else None,
        work_s=sum(candidate.seconds for candidate in candidates),
        work_macs=None if None in macs else sum(macs),  # type: ignore[arg-type]
        **measured,
    )


# Files ----------------------------------------------------------------------------------------------------------------


def write(tuning: Tuning, store: Path) -> Path:
    """Writes a result below a store, whole or not at all; the file's name ends in the first digits of its checksum."""
    content = tuning.model_dump(mode="json")
    content["checksum"] = told = checksum(content)
    words = (tuning.task, tuning.dataset, tuning.budget, tuning.method, told[:8])
    path = store / "tunings" / f"{'-'.join(words)}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name that is taken is taken by the same content.
        write_new(path, to_json(content, indent=1))
    except OSError as error:
        raise UserError(f"--store {store}: the result cannot be written ({error.strerror}); name another") from error
    return path


def read(path: Path) -> Tuning:
    """A result from its file. Raises `UserError` if it is none, was changed, or is of a later schema."""
    try:
        content = from_json(path.read_bytes())
        if isinstance(content, dict) and content.get("schema_version", SCHEMA) > SCHEMA:
            raise UserError(f"--preset {path}: written by a newer allwin, schema {content['schema_version']}; update")
        tuning = Tuning.model_validate(content)
    except OSError as error:
        raise UserError(
            f"--preset {path}: cannot be read ({error.strerror}); `allwin tune` writes such files"
        ) from None
    except (ValidationError, ValueError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        first = str(error).splitlines()[0]
        raise UserError(f"--preset {path}: no result of a search ({first}); name one of `allwin tune`") from None
    if tuning.checksum != checksum(content):
        raise UserError(f"--preset {path}: changed after it was written; set values by hand with --set")
    return tuning


def with_presets(overrides: Mapping[str, Mapping[str, Any]], paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Overrides joined by what these results chose, where they do not set the same field themselves.

    Raises `UserError` for a file that is no result, that found nothing, or whose method another file has too.
    """
    joined = {owner: dict(values) for owner, values in overrides.items()}
    seen: dict[str, Path] = {}
    for path in paths:
        tuning = read(path)
        title = f"{tuning.task}/{tuning.method}"
        if tuning.chosen is None:
            raise UserError(f"--preset {path}: no candidate of {title} was fitted in full; run `allwin tune` again")
        if title in seen:
            raise UserError(f"--preset {path}: {seen[title]} is of {title} too; give one of them")
        seen[title] = path
        given = {field for owner in (tuning.method, title) for field in overrides.get(owner, {})}
        joined[title] = joined.get(title, {}) | {f: value for f, value in tuning.chosen.items() if f not in given}
    return joined
