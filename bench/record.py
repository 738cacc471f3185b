"""The outcome of a trial as it is written to disk: one JSON document, units in its names, a reason for every blank."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bench.contracts import Budget, Stage
from bench.errors import Cause

SCHEMA = 1
"""Raised when a field changes its meaning. Older records stay readable."""

LARGEST = 2**63 - 1
"""The largest whole number of a column in a table."""

OVERFLOW = 1e150
"""What is larger has squares, and so an interval over seeds, that no number can hold: it counts as not finite."""

Figure = Annotated[float, Field(ge=-OVERFLOW, le=OVERFLOW)]


class Part(BaseModel):
    """Every part of a record: unknown fields and values that are no numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measurement(Part):
    """A measured cost, or the reason why there is none. Never a guess."""

    value: Figure | None
    unit: str
    instrument: str = ""
    """What read it, such as `perf_counter_ns`, `cuda-events` or `VmHWM of the process`."""
    reason: str = ""
    """Why it was not measured."""
    detail: dict[str, Any] = Field(default_factory=dict)
    """Percentiles, samples, window, what was not counted, flags such as `unstable`."""

    @model_validator(mode="after")
    def _blank_has_a_reason(self) -> "Measurement":
        if (self.value is None) != bool(self.reason):
            raise ValueError("a measurement has either a value or the reason why it has none")
        return self


def not_measured(unit: str, reason: str) -> Measurement:
    """A blank that says why it is one."""
    return Measurement(value=None, unit=unit, reason=reason)


class MetricValue(Part):
    """A metric's value with all that is needed to read it."""

    value: Figure
    unit: str
    better: Literal["high", "low"]
    split: str = "test"
    items: int


CURVE_POINTS = 200
"""A curve of `fit` that has more is averaged down when the record is written: to at least half as many."""


class Curve(Part):
    """A quantity along an axis; a point that is not finite is null."""

    x: list[Figure]
    y: list[Figure | None]
    x_name: str
    unit: str = ""
    origin: Literal["fit", "evaluate"]

    @model_validator(mode="after")
    def _as_long_as_its_axis(self) -> "Curve":
        if len(self.x) != len(self.y):
            raise ValueError(f"a curve has one value for each point, got {len(self.y)} for {len(self.x)}")
        return self


def finite_or_none(value: float) -> float | None:
    """JSON has no NaN: what is not finite, or beyond `OVERFLOW`, becomes null."""
    return value if abs(value) <= OVERFLOW else None


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            raise ValueError(f"JSON has no {value}")
        case list() | tuple():
            for item in value:
                _finite(item)
        case dict():
            _finite(list(value.values()))
    return value


Fields = Annotated[dict[str, Any], AfterValidator(_finite)]
"""Settings by name: JSON that can be written and hashed."""


class Spec(Part):
    """One cell of the grid: everything that was asked for. Immutable; its JSON is canonical."""

    task: str
    settings: Fields
    """The task's fields, resolved: defaults, then the budget's preset, then the suite, then the command line."""
    dataset: str
    method: str
    """`nnpu`, or `outer(inner)` for a method that wraps another."""
    parameters: Fields
    """The method's fields, resolved likewise; the wrapped method's under `base`."""
    budget: Budget
    seed: int = Field(ge=0, le=LARGEST)
    stages: tuple[Stage, ...] = ("fit", "evaluate", "profile")
    device: Literal["cpu", "cuda"] = "cpu"


class Accelerator(Part):
    name: str
    memory_bytes: int
    driver: str


class Provenance(Part):
    """Where, when, with what and by which command a record was made."""

    allwin: str
    git_commit: str
    """Empty outside a checkout."""
    git_dirty: bool | None
    python: str
    packages: dict[str, str]
    platform: str
    cpu: str
    cores: int
    memory_bytes: int
    accelerator: Accelerator | None
    threads: int
    """Threads of the worker's share of the cores, set before torch was imported."""
    flags: dict[str, str | bool | int]
    """cudnn, TF32 and determinism switches during the trial."""
    hardware: str
    """The group inside which costs may be compared: processor or accelerator, and cores."""
    engine: Literal["inline", "ray"]
    driver_pid: int
    worker_pid: int
    profile_pid: int | None = None
    """Of the fresh process in which the costs were measured; null if that was the worker's own, or there was none."""
    command: str
    suite: str
    data_fingerprint: str
    """SHA-256 of the data as loaded; empty where loading failed."""


FailedStage = Literal["load", "fit", "evaluate", "profile", "worker"]


class Failure(Part):
    """Why a trial left no metrics. `skipped` trials have one too: the reason."""

    cause: Cause
    message: str
    stage: FailedStage
    traceback: str = ""


class Record(Part):
    """One trial's outcome."""

    schema_version: int = Field(default=SCHEMA, ge=1, le=SCHEMA)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 over `parts`; equal keys promise equal metrics. It names files: nothing else may stand in it."""
    parts: dict[str, str]
    """Named hashes: spec, task, method, data, harness, libraries. `allwin explain` compares them."""
    spec: Spec
    status: Literal["ok", "failed", "skipped"]
    failure: Failure | None = None
    attempt: int = Field(default=1, ge=1, le=LARGEST)
    metrics: dict[str, MetricValue] = Field(default_factory=dict)
    """In the task's order: the first ranks."""
    costs: dict[str, Measurement] = Field(default_factory=dict)
    """Of one solution: latency_ms, throughput_per_s, macs, parameters, peak_memory_bytes, energy_j."""
    training: dict[str, Measurement] = Field(default_factory=dict)
    """Of `fit`: fit_s, fit_macs, fit_energy_j, fit_peak_memory_bytes."""
    curves: dict[str, Curve] = Field(default_factory=dict)
    artefacts: dict[str, Any] = Field(default_factory=dict)
    """Small things a method leaves behind: a genotype, a latency table. JSON."""
    workload: str = ""
    iterations: int | None = Field(default=None, ge=1, le=LARGEST)
    """That one call of the workload makes, where its task counts them: what `iteration` of a curve is a share of."""
    oracle: bool = False
    """Of a method that uses what no method may use: a reference, and no competitor."""
    seeds: dict[str, int] = Field(default_factory=dict)
    """Every seed used, by name."""
    stage_s: dict[str, float] = Field(default_factory=dict)
    """Wall time of load, fit, evaluate and profile."""
    started: str
    """UTC, ISO 8601."""
    ended: str
    claim_level: Literal["paper", "self-reported", "reproduced", "verified"] = "reproduced"
    """How the figures came about; `reproduced`: by this harness, here."""
    provenance: Provenance
    checksum: str = ""
    """SHA-256 of the canonical JSON of all else; the store writes it."""

    @model_validator(mode="after")
    def _failure_is_told(self) -> "Record":
        if (self.status == "ok") != (self.failure is None):
            raise ValueError("a record that is not ok tells its failure, and an ok one has none")
        return self
