"""Trials on Ray: warm workers, each problem loaded once, work side by side, profiles one at a time on a quiet machine.

The driver supervises: time and memory are watched from outside, and a trial that exceeds them is killed with its
children and replaced by a fresh worker. It waits blocked, and looks at the processes a few times a second.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from bench import provenance
from bench.failures import FailedStage
from bench.limits import kill_tree, resident_bytes
from bench.record import Failure, Record
from bench.runner import Progress
from bench.trial import Execution, Loaded, Trial, load_problem, make_record

LOOK_S = 0.25
"""Between two looks at the workers' memory and time; four times rarer while a profile wants quiet."""

PROFILES_WAITING = 4
"""Solutions that may wait for their profile, for each worker, before the work pauses: fewer pauses, more memory."""

OBJECT_STORE_BYTES = 512 * 2**20
"""For the problems of the trials in flight."""


class Worker:
    """A process of its own that keeps torch, the registries and the solutions that wait for their profile."""

    def __init__(self) -> None:
        self._waiting: dict[str, Execution] = {}

    def pid(self) -> int:
        return os.getpid()

    def load(self, trial: Trial) -> Loaded:
        return load_problem(trial)

    def work(self, trial: Trial, loaded: Loaded) -> Record | None:
        """The record, or None when the profile is still to come."""
        execution = Execution(trial, loaded)
        execution.work()
        if execution.wants_profile:
            self._waiting[trial.cell.key] = execution
            return None
        return execution.record()

    def profile(self, key: str) -> Record:
        execution = self._waiting.pop(key)
        execution.profile()
        return execution.record()


@dataclass
class Slot:
    """A worker, what it does now, and which of its solutions wait for their profile."""

    actor: Any
    pid: int
    trial: Trial | None = None
    reference: Any = None
    since: float = 0.0
    started: str = ""
    profiling: bool = False
    waiting: deque[Trial] = field(default_factory=deque)

    @property
    def stage(self) -> FailedStage:
        return "profile" if self.profiling else "fit"


class RayEngine:
    """Raises `UserError` from the runner where the machine cannot hold the workers."""

    def __init__(self, workers: int, threads: int, address: str | None) -> None:
        self._workers = workers
        self._threads = threads
        self._address = address
        self._problems: dict[str, Any] = {}
        self._users: dict[str, int] = {}
        self._again: deque[Trial] = deque()

    def run(self, trials: Iterator[Trial], progress: Progress, changed: Callable[[], None]) -> Iterator[Record]:
        """The records, in the order in which the trials end."""
        self._start()
        slots: list[Slot] = []
        try:
            slots = [self._fresh_slot() for _ in range(self._workers)]
            for slot in slots:
                slot.pid = ray.get(slot.actor.pid.remote())
            yield from self._schedule(slots, trials, progress, changed)
        finally:
            for slot in slots:
                kill_tree(slot.pid)
            ray.shutdown()

    def _start(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        words: dict[str, Any] = (
            {"address": self._address}
            if self._address
            else {
                "num_cpus": self._workers * self._threads,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
            }
        )
        ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **words)

    def _fresh_slot(self) -> Slot:
        # Threads are set before the worker imports torch: a pool made larger later would oversubscribe the cores.
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
        environment = dict.fromkeys(names, str(self._threads))
        options = {"num_cpus": self._threads, "max_restarts": 0, "runtime_env": {"env_vars": environment}}
        return Slot(ray.remote(Worker).options(**options).remote(), 0)

    # The schedule -----------------------------------------------------------------------------------------------------

    def _schedule(
        self, slots: list[Slot], trials: Iterator[Trial], progress: Progress, changed: Callable[[], None]
    ) -> Iterator[Record]:
        exhausted = False
        while True:
            profiles = sum(len(slot.waiting) for slot in slots)
            profiling = any(slot.profiling for slot in slots)
            pause = profiling or profiles >= PROFILES_WAITING * len(slots) or (exhausted and not self._again)
            for slot in slots:
                if slot.trial is None and not (pause and profiles) and not profiling:
                    trial = self._again.popleft() if self._again else next(trials, None)
                    if trial is None:
                        exhausted = True
                        break
                    self._dispatch(slot, trial, progress)
            busy = [slot for slot in slots if slot.trial is not None]
            if not busy:
                slot_to_profile = next((slot for slot in slots if slot.waiting), None)
                if slot_to_profile is None:
                    if exhausted and not self._again:
                        return
                    continue
                self._dispatch_profile(slot_to_profile, progress)
                busy = [slot_to_profile]
            changed()
            look = LOOK_S * (4 if busy[0].profiling else 1)
            ready, _ = ray.wait([slot.reference for slot in busy], num_returns=1, timeout=look)
            for slot in busy:
                if slot.reference in ready:
                    yield from self._collect(slots, slot, progress)
                elif cause := self._exceeded(slot):
                    yield from self._kill(slots, slot, cause, progress)

    def _dispatch(self, slot: Slot, trial: Trial, progress: Progress) -> None:
        problem = trial.problem
        if problem not in self._problems:
            self._problems[problem] = slot.actor.load.remote(trial)
        self._users[problem] = self._users.get(problem, 0) + 1
        self._forget_problems(keep=problem)
        slot.trial, slot.since, slot.profiling = trial, time.monotonic(), False
        slot.started = provenance.now()
        slot.reference = slot.actor.work.remote(trial, self._problems[problem])
        progress.running[trial.cell.key] = trial.cell.title

    def _dispatch_profile(self, slot: Slot, progress: Progress) -> None:
        trial = slot.waiting.popleft()
        slot.trial, slot.since, slot.profiling = trial, time.monotonic(), True
        slot.reference = slot.actor.profile.remote(trial.cell.key)
        progress.running[trial.cell.key] = f"{trial.cell.title} (profile)"

    def _forget_problems(self, keep: str) -> None:
        """Cells of one problem stand together, so a problem that nobody uses now will not be used again."""
        for problem in [name for name, users in self._users.items() if not users and name != keep]:
            del self._users[problem], self._problems[problem]

    def _collect(self, slots: list[Slot], slot: Slot, progress: Progress) -> Iterator[Record]:
        trial, reference, profiled = slot.trial, slot.reference, slot.profiling
        assert trial
        try:
            record = ray.get(reference)
        except RayError as error:
            yield from self._kill(slots, slot, self._obituary(slot, error), progress)
            return
        if not profiled:
            self._users[trial.problem] -= 1
        slot.trial, slot.reference, slot.profiling = None, None, False
        if record is None:
            slot.waiting.append(trial)
            progress.running[trial.cell.key] = f"{trial.cell.title} (waits for its profile)"
        else:
            yield record

    # Limits and losses ------------------------------------------------------------------------------------------------

    def _exceeded(self, slot: Slot) -> Failure | None:
        assert slot.trial
        limits, stage = slot.trial.limits, slot.stage
        if time.monotonic() - slot.since > limits.time_s:
            message = f"killed after {limits.time_s:g} s, its time limit; raise it with --time-limit"
            return Failure(cause="timeout", message=message, stage=stage)
        if resident_bytes(slot.pid) > limits.memory_bytes:
            gib = limits.memory_bytes / 2**30
            message = f"killed at {gib:g} GiB, its memory limit; raise it with --memory-limit"
            return Failure(cause="oom", message=message, stage=stage)
        return None

    def _obituary(self, slot: Slot, error: RayError) -> Failure:
        stage = slot.stage
        if isinstance(error, ray.exceptions.OutOfMemoryError):
            return Failure(cause="oom", message="Ray killed the worker: the machine ran out of memory", stage=stage)
        if isinstance(error, ray.exceptions.RayActorError):
            message = "the worker's process went away: it exited, crashed, or was killed from outside"
            return Failure(cause="crash", message=message, stage=stage)
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return Failure(cause="crash", message=provenance.without_paths(first)[:500], stage=stage)

    def _kill(self, slots: list[Slot], slot: Slot, failure: Failure, progress: Progress) -> Iterator[Record]:
        """Ends a worker and puts a fresh one in its place; trials that only waited there for a profile run again."""
        trial = slot.trial
        assert trial
        kill_tree(slot.pid)
        if not slot.profiling:
            self._users[trial.problem] -= 1
        if not self._users.get(trial.problem):
            self._users.pop(trial.problem, None)
            self._problems.pop(trial.problem, None)
        self._again.extend(slot.waiting)
        for waiting in slot.waiting:
            progress.running.pop(waiting.cell.key, None)
        position = slots.index(slot)
        slots[position] = self._fresh_slot()
        slots[position].pid = ray.get(slots[position].actor.pid.remote())
        where = provenance.collect(trial.origin, trial.cell.spec.device, trial.threads, {}, "")
        yield make_record(trial, failure, where.model_copy(update={"worker_pid": slot.pid}), started=slot.started)
