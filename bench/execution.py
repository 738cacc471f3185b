"""One trial: load, fit, evaluate, profile. Whatever happens, it ends in a record.

Quality needs no quiet machine, a cost does: so the work (load, fit, evaluate) and the profile are two calls, and the
runner decides when, and in which process, the second is made.
"""

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from bench import provenance
from bench.contracts import Evaluation, Workload
from bench.data import fingerprint
from bench.errors import Diverged, NotANumber
from bench.failures import failure_from
from bench.measure import profile
from bench.measure.device import placed
from bench.measure.energy import EnergyWindow
from bench.measure.memory import PeakMemory
from bench.measure.mode import evaluating
from bench.parcel import Parcel, pack, unpack
from bench.record import Curve, FailedStage, Failure, Measurement, MetricValue, Provenance, Record, finite_or_none
from bench.registry import Registry, load
from bench.run import Run
from bench.seeds import derive_seed
from bench.slate import clean_slate, flags
from bench.trial import Trial, make_record
from bench.validate import construct, entries_of, split_reference


@dataclass(frozen=True)
class Loaded:
    """A problem and its held-out part, or why they could not be loaded. Made once, for all trials of the problem."""

    problem: Any
    held_out: Any
    data_fingerprint: str
    load_s: float
    failure: Failure | None = None


@functools.cache
def _registry(method_paths: tuple[Path, ...]) -> Registry:
    return load(method_paths)


def load_problem(trial: Trial) -> Loaded:
    """Loads the problem of a trial; a failure is part of the result, since many trials may share it."""
    spec = trial.cell.spec
    started = time.perf_counter()
    try:
        with clean_slate(derive_seed("load", spec.task, spec.dataset, spec.seed), trial.threads):
            registry = _registry(trial.method_paths)
            task = construct(registry, registry.task(spec.task), spec.settings)
            problem, held_out = task.load(spec.dataset, spec.budget, spec.seed)
        return Loaded(problem, held_out, _fingerprint(problem, held_out), time.perf_counter() - started)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return Loaded(None, None, "", time.perf_counter() - started, failure_from(error, "load"))


class Execution:
    """A trial between its work and its profile, with the solution at hand."""

    def __init__(self, trial: Trial, loaded: Loaded) -> None:
        self.trial = trial
        self.loaded = loaded
        self.record_fields: dict[str, Any] = {"started": provenance.now(), "stage_s": {"load": loaded.load_s}}
        self.failure = loaded.failure
        self._solution: Any = None
        self._task: Any = None

    @property
    def wants_profile(self) -> bool:
        return self.failure is None and "profile" in self.trial.cell.spec.stages

    def work(self) -> None:
        """Fit and evaluate, or build for a suite that only profiles."""
        if self.failure:
            return
        spec = self.trial.cell.spec
        seed = derive_seed("fit", spec.task, spec.dataset, spec.seed)
        self.record_fields["seeds"] = {"replicate": spec.seed, "fit": seed}
        with clean_slate(seed, self.trial.threads):
            try:
                registry = _registry(self.trial.method_paths)
                task_entry = registry.task(spec.task)
                self._task = construct(registry, task_entry, spec.settings)
                outer, inner = split_reference(spec.method)
                method = construct(registry, registry.method(spec.task, outer), spec.parameters, inner)
            except BaseException as error:
                self._fail(error, "fit")
                return
            if "fit" in spec.stages:
                self._fit(method, seed)
            else:
                self._stage("fit", lambda: self._build(method))
            if "evaluate" in spec.stages and self.failure is None:
                self._stage("evaluate", self._evaluate)

    def profile(self) -> None:
        """Measures the solution's costs in this process. The caller sees to it that nothing else of allwin's runs."""
        spec = self.trial.cell.spec
        with clean_slate(derive_seed("profile", spec.seed), self.trial.threads):
            self._stage("profile", self._profile)

    def parcel(self) -> Parcel | None:
        """What a fresh process needs to measure the costs; None, and a failure, if the solution cannot be sent."""
        packed = b""

        def prepare() -> None:
            nonlocal packed
            workload = self._workload()
            packed = pack((workload, self._solution))

        self._stage("profile", prepare)
        if self.failure:
            return None
        return Parcel(self.trial, self.record_fields, self._where(), os.environ.get("CUDA_VISIBLE_DEVICES"), packed)

    def record(self) -> Record:
        """The trial's outcome; to be called last."""
        return make_record(self.trial, self.failure, self._where(), **self.record_fields)

    def _where(self) -> Provenance:
        device, threads = self.trial.cell.spec.device, self.trial.threads
        return provenance.collect(self.trial.origin, device, threads, flags(), self.loaded.data_fingerprint)

    # The stages -------------------------------------------------------------------------------------------------------

    def _fit(self, method: Any, seed: int) -> None:
        spec, device = self.trial.cell.spec, torch.device(self.trial.cell.spec.device)
        run = Run(
            seed=seed,
            budget=spec.budget,
            device=spec.device,
            checkpoints=self.trial.checkpoints,
            time_limit_s=self.trial.limits.time_s,
        )

        def fit() -> None:
            with EnergyWindow(device) as energy, PeakMemory(device) as memory:
                self._solution = method.fit(self.loaded.problem, run)
            self.record_fields["training"] = {
                "fit_macs": run.fit_macs(),
                "fit_energy_j": energy.measurement,
                "fit_peak_memory_bytes": memory.measurement,
            }
            self._task.check(self._solution, self.loaded.problem)
            self.record_fields["artefacts"] = run.artefacts

        self._stage("fit", fit)
        seconds = Measurement(
            value=self.record_fields["stage_s"]["fit"],
            unit="s",
            instrument="perf_counter",
            detail={"resumed": run.resumed},
        )
        self.record_fields["training"] = {"fit_s": seconds} | self.record_fields.get("training", {})
        # Curves are kept of a failed fit too: they show how it failed.
        with contextlib.suppress(Diverged):
            self.record_fields["curves"] = run.curves()

    def _build(self, method: Any) -> None:
        solution = method.build(self.loaded.problem)
        on_device = isinstance(solution, torch.nn.Module)
        self._solution = solution.to(self.trial.cell.spec.device) if on_device else solution

    def _evaluate(self) -> None:
        spec = self.trial.cell.spec
        entry = _registry(self.trial.method_paths).task(spec.task)
        with evaluating(self._solution):
            evaluation: Evaluation = self._task.evaluate(self._solution, self.loaded.held_out)
        values = {}
        for metric in entry.metrics_on(spec.dataset):
            if metric.name not in evaluation.metrics:
                if metric.partial:
                    continue
                raise ValueError(f"evaluate gave no {metric.name}, which {spec.dataset} asks for")
            value = float(evaluation.metrics[metric.name])
            if finite_or_none(value) is None:
                raise NotANumber(f"{metric.name} is {value}")
            low = -float("inf") if metric.low is None else metric.low
            high = float("inf") if metric.high is None else metric.high
            if not low <= value <= high:
                raise ValueError(f"{metric.name} is {value} {metric.unit}, outside {low} to {high}")
            values[metric.name] = MetricValue(
                value=value, unit=metric.unit, better=metric.better, items=evaluation.items
            )
        self.record_fields["metrics"] = values
        curves = self.record_fields.setdefault("curves", {})
        for name, curve in evaluation.curves.items():
            curves[name] = Curve(
                x=[float(x) for x in curve.x],
                y=[finite_or_none(y) for y in curve.y],
                x_name=curve.x_name,
                unit=curve.unit,
                origin="evaluate",
            )

    def _profile(self) -> None:
        self.record_fields["costs"] = profile(
            self._workload(), self._solution, torch.device(self.trial.cell.spec.device), self.trial.cell.spec.budget
        )

    def _workload(self) -> Workload:
        """What costs are measured on, told in the record."""
        asked: Workload = self._task.workload(self._solution, self.loaded.problem)
        workload = placed(asked, self._solution, torch.device(self.trial.cell.spec.device))
        self.record_fields |= {"workload": workload.label, "iterations": workload.iterations}
        return workload

    def _stage(self, name: Literal["fit", "evaluate", "profile"], action: Any) -> None:
        started = time.perf_counter()
        try:
            action()
        except BaseException as error:
            self._fail(error, name)
        self.record_fields["stage_s"][name] = time.perf_counter() - started

    def _fail(self, error: BaseException, stage: FailedStage) -> None:
        if self.trial.debug or isinstance(error, KeyboardInterrupt):
            raise error
        self.failure = failure_from(error, stage)


def execute(trial: Trial, loaded: Loaded) -> Record:
    """A whole trial in one go."""
    execution = Execution(trial, loaded)
    execution.work()
    if execution.wants_profile:
        execution.profile()
    return execution.record()


def measure_parcel(parcel: Parcel) -> Record:
    """The record of a trial whose costs are measured in this process, which has done nothing before."""
    trial, spec = parcel.trial, parcel.trial.cell.spec
    if parcel.visible_gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = parcel.visible_gpus
    fields, failure = dict(parcel.record_fields), None
    started = time.perf_counter()
    with clean_slate(derive_seed("profile", spec.seed), trial.threads):
        try:
            registry = _registry(trial.method_paths)
            for entry in (registry.task(spec.task), *entries_of(registry, spec.task, spec.method)):
                entry.import_class()
            workload, solution = unpack(parcel.packed)
            fields["costs"] = profile(workload, solution, torch.device(spec.device), spec.budget)
        except BaseException as error:
            failure = failure_from(error, "profile")
    fields["stage_s"] = fields["stage_s"] | {"profile": time.perf_counter() - started}
    where = parcel.where.model_copy(update={"profile_pid": os.getpid()})
    return make_record(trial, failure, where, **fields)


# The data's fingerprint -----------------------------------------------------------------------------------------------


def _fingerprint(*parts: Any) -> str:
    """SHA-256 over all tensors and arrays of a problem, in the order of its fields."""
    return fingerprint(_bytes(parts))


def _bytes(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield value.detach().cpu().contiguous().numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield np.ascontiguousarray(value).tobytes()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from _bytes(getattr(value, item.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _bytes(item)
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from _bytes(value[key])
    elif isinstance(value, (str, int, float, bool, type(None))):
        yield repr(value).encode()
