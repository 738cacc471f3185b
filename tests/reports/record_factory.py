"""Records for tests: every field that a report reads can be set, the rest is plausible."""

import hashlib
from collections.abc import Mapping
from typing import Any

from bench.record import Curve, Failure, Measurement, MetricValue, Provenance, Record, Spec, not_measured
from bench.store import frame_of
from reports.board import Board
from reports.leaderboard import leaderboard

HARDWARE = "Xeon 6973P, 2 cores"


def record(
    method: str = "nnpu",
    seed: int = 0,
    *,
    error: float | None = 10.0,
    metrics: Mapping[str, MetricValue] | None = None,
    costs: Mapping[str, Measurement] | None = None,
    training: Mapping[str, Measurement] | None = None,
    curves: Mapping[str, Curve] | None = None,
    task: str = "pu",
    dataset: str = "mnist5k",
    settings: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    budget: str = "small",
    stages: tuple[str, ...] = ("fit", "evaluate", "profile"),
    status: str = "ok",
    failure: Failure | None = None,
    hardware: str = HARDWARE,
    suite: str = "pu-embedded",
    ended: str = "2026-11-23T06:00:00+00:00",
    source: str = "v1",
    task_source: str = "v1 aa",
    data: str = "v1",
    claim_level: str = "reproduced",
    iterations: int | None = None,
    oracle: bool = False,
    **provenance: Any,
) -> Record:
    """A trial with one metric, `error` in % (lower is better), unless `metrics` says otherwise."""
    spec = Spec(
        task=task,
        settings=dict(settings or {"positives": 100}),
        dataset=dataset,
        method=method,
        parameters=dict(parameters or {"lr": 0.001}),
        budget=budget,
        seed=seed,
        stages=stages,
    )
    if metrics is None and status == "ok":
        metrics = {"error": percent(error)}
    identity = f"{spec.model_dump_json()} {source} {task_source} {data} {claim_level} {hardware}"
    return Record(
        key=hashlib.sha256(identity.encode()).hexdigest(),
        parts={"task source": task_source, "method source": source, "data": f"{dataset} {data}"},
        spec=spec,
        status=status,
        failure=failure,
        metrics=dict(metrics or {}),
        costs=dict(costs or {}),
        training=dict(training or {}),
        curves=dict(curves or {}),
        workload="256 images of 1 x 28 x 28",
        iterations=iterations,
        oracle=oracle,
        seeds={"trial": seed},
        stage_s={"fit": 1.5, "evaluate": 0.1, "profile": 0.4} if status == "ok" else {},
        started="2026-11-23T05:59:00+00:00",
        ended=ended,
        claim_level=claim_level,
        provenance=Provenance(**_provenance(hardware, suite) | provenance),
    )


def failed(
    method: str = "broken", seed: int = 0, cause: str = "error", message: str = "it broke", **fields: Any
) -> Record:
    told = Failure(cause=cause, message=message, stage="fit", traceback=fields.pop("traceback", "Traceback: in fit"))
    return record(method, seed, status="failed", failure=told, **fields)


def skipped(method: str = "absent", seed: int = 0, message: str = "no such data", **fields: Any) -> Record:
    told = Failure(cause="missing-data", message=message, stage="load")
    return record(method, seed, status="skipped", failure=told, **fields)


def percent(value: float | None, better: str = "low") -> MetricValue:
    return MetricValue(value=value, unit="%", better=better, items=1000)


def cost(value: float | None, unit: str, reason: str = "", **detail: Any) -> Measurement:
    return Measurement(value=value, unit=unit, reason=reason, instrument="" if reason else "test", detail=detail)


def profile(
    latency_ms: float, macs: float, energy: str = "no RAPL zones here; run on bare metal"
) -> dict[str, Measurement]:
    """The costs of a solution, its energy not measured."""
    return {
        "parameters": cost(macs / 2, "parameter"),
        "macs": cost(macs, "MAC"),
        "latency_ms": cost(latency_ms, "ms", p5=latency_ms * 0.9),
        "throughput_per_s": cost(256e3 / latency_ms, "items/s"),
        "peak_memory_bytes": cost(64 * 2**20, "byte"),
        "energy_j": not_measured("J", energy),
    }


def curve(y: list[float | None], origin: str = "fit", x_name: str = "step", unit: str = "") -> Curve:
    return Curve(x=[float(x) for x in range(len(y))], y=y, x_name=x_name, unit=unit, origin=origin)


def boards_of(records: list[Record]) -> list[Board]:
    return leaderboard(frame_of(records), {record.key: record for record in records})


def board_of(records: list[Record]) -> Board:
    (board,) = boards_of(records)
    return board


def _provenance(hardware: str, suite: str) -> dict[str, Any]:
    return {
        "allwin": "0.1.0",
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "git_dirty": False,
        "python": "3.11.9",
        "packages": {"torch": "2.15.0", "numpy": "2.4.0"},
        "platform": "Linux",
        "cpu": "Xeon 6973P",
        "cores": 2,
        "memory_bytes": 8 * 2**30,
        "accelerator": None,
        "threads": 1,
        "flags": {"deterministic": True},
        "hardware": hardware,
        "engine": "ray",
        "driver_pid": 10,
        "worker_pid": 11,
        "command": "allwin run pu-embedded",
        "suite": suite,
        "data_fingerprint": "ab" * 32,
    }
