"""Trials on Ray: warm workers, each problem loaded once, work side by side, profiles one at a time on a quiet machine.

The driver supervises: time and memory are watched from outside, and a trial that exceeds them is killed with its
children and replaced by a fresh worker. It waits blocked, and looks at the processes a few times a second.
"""

import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench import provenance
from bench.errors import UserError
from bench.limits import kill, resident_bytes, tree
from bench.record import FailedStage, Failure, Record
from bench.runner import Progress
from bench.trial import Trial, make_record

# Ray reads these when it is imported. It prints what happens to workers on standard output, where a JSON document may
# stand; our records tell it.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# A trial that is measured is not to stand behind whatever else runs on the machine, as it would at Ray's 15.
os.environ.setdefault("RAY_worker_niceness", "0")

import ray
from ray.exceptions import RayError

if TYPE_CHECKING:
    from bench.execution import Loaded

SHORT_S = 0.25
"""Trials shorter than this are handed over one ahead: else a worker would wait for the driver as long as it works."""

LOOK_S = 0.25
"""Between two looks at the workers' memory and time; four times rarer while a profile wants quiet."""

PROFILES_WAITING = 4
"""Solutions that may wait for their profile, for each worker, before the work pauses: fewer pauses, more memory."""

OBJECT_STORE_BYTES = 512 * 2**20
"""For the problems of the trials in flight."""


class Worker:
    """A process of its own that keeps torch, the registries and the solutions that wait for their profile."""

    def __init__(self) -> None:
        # Here, so that the driver, which imports this file too, starts without torch.
        from bench import execution

        self._execution = execution
        self._waiting: dict[str, execution.Execution] = {}

    def pid(self) -> int:
        return os.getpid()

    def load(self, trial: Trial) -> "Loaded":
        return self._execution.load_problem(trial)

    def work(self, trial: Trial, loaded: "Loaded | None") -> Record | None:
        """The record, or None when the profile is still to come. Without a problem it loads its own."""
        execution = self._execution.Execution(trial, loaded or self._execution.load_problem(trial))
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
    reference: Any
    """What is awaited of it: at first, that it has started."""
    pid: int = 0
    """0 while it starts."""
    trial: Trial | None = None
    since: float = 0.0
    started: str = ""
    profiling: bool = False
    ahead: tuple[Trial, Any] | None = None
    """The next trial, handed over while this one runs, and what is awaited of it."""
    pace_s: float = math.inf
    """How long its last trial took."""
    waiting: deque[Trial] = field(default_factory=deque)

    @property
    def stage(self) -> FailedStage:
        return "profile" if self.profiling else "fit"


class RayEngine:
    """Raises `UserError` where Ray or its workers do not start."""

    def __init__(self, workers: int, threads: int, address: str | None) -> None:
        self._workers = workers
        self._threads = threads
        self._address = address
        self._slots: list[Slot] = []
        self._problems: dict[str, Any] = {}
        self._users: dict[str, int] = {}
        self._again: deque[Trial] = deque()
        self._watched = 0.0

    def run(self, trials: Iterator[Trial], progress: Progress, changed: Callable[[], None]) -> Iterator[Record]:
        """The records, in the order in which the trials end."""
        self._start()
        try:
            self._slots = [self._fresh_slot() for _ in range(self._workers)]
            yield from self._schedule(trials, progress, changed)
        finally:
            for slot in self._slots:
                self._end(slot)
            ray.shutdown()

    def _start(self) -> None:
        words: dict[str, Any] = (
            {"address": self._address}
            if self._address
            else {
                "num_cpus": self._workers * self._threads,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
            }
        )
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **words)
        except (ConnectionError, RayError, TimeoutError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"Ray does not start: {first}; --engine inline does without") from error

    def _fresh_slot(self) -> Slot:
        # Threads are set before the worker imports torch: a pool made larger later would oversubscribe the cores.
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
        environment = dict.fromkeys(names, str(self._threads))
        options = {"num_cpus": self._threads, "max_restarts": 0, "runtime_env": {"env_vars": environment}}
        actor: Any = ray.remote(Worker).options(**options).remote()
        return Slot(actor, actor.pid.remote())

    # The schedule -----------------------------------------------------------------------------------------------------

    def _schedule(self, trials: Iterator[Trial], progress: Progress, changed: Callable[[], None]) -> Iterator[Record]:
        exhausted = quiet = False
        while True:
            profiles = sum(len(slot.waiting) for slot in self._slots)
            profiling = any(slot.profiling for slot in self._slots)
            # Once the work pauses it does so until no profile waits: each pause costs the wait for what still runs.
            ending = quiet or (exhausted and not self._again)
            quiet = profiling or profiles >= (1 if ending else PROFILES_WAITING * len(self._slots))
            for slot in self._slots:
                wanting = slot.reference is None or (slot.trial and not slot.ahead and slot.pace_s < SHORT_S)
                if wanting and not quiet:
                    trial = self._again.popleft() if self._again else next(trials, None)
                    if trial is None:
                        exhausted = True
                        break
                    self._dispatch(slot, trial, progress)
            busy = [slot for slot in self._slots if slot.reference is not None]
            if not any(slot.trial for slot in busy) and exhausted and not self._again and not profiles:
                return
            if not busy and profiles:
                busy = [next(slot for slot in self._slots if slot.waiting)]
                self._dispatch_profile(busy[0], progress)
            changed()
            if busy:
                yield from self._wait(busy, progress)

    def _wait(self, busy: list[Slot], progress: Progress) -> Iterator[Record]:
        """Blocks until something ends, or for a short while; then ends what uses too much."""
        look = LOOK_S * (4 if busy[0].profiling else 1)
        ready, _ = ray.wait([slot.reference for slot in busy], num_returns=1, timeout=look)
        # Going through all processes takes milliseconds, and short trials end more often than that.
        watching = time.monotonic() - self._watched >= look
        if watching:
            self._watched = time.monotonic()
        for slot in busy:
            if slot.reference in ready:
                yield from self._collect(slot, progress)
                continue
            failure = self._exceeded(slot) if slot.trial and watching else None
            # It may have ended since the wait did.
            if failure and not ray.wait([slot.reference], timeout=0)[0]:
                yield self._replace(slot, failure, progress)

    def _dispatch(self, slot: Slot, trial: Trial, progress: Progress) -> None:
        problem = trial.problem if trial.shared else ""
        if problem and problem not in self._problems:
            self._problems[problem] = slot.actor.load.remote(trial)
        self._users[problem] = self._users.get(problem, 0) + 1
        self._forget_problems(keep=problem)
        reference = slot.actor.work.remote(trial, self._problems.get(problem))
        if slot.reference is None:
            self._begin(slot, trial, reference, progress)
        else:
            slot.ahead = (trial, reference)

    def _begin(self, slot: Slot, trial: Trial, reference: Any, progress: Progress) -> None:
        slot.trial, slot.reference, slot.profiling = trial, reference, False
        slot.since, slot.started = time.monotonic(), provenance.now()
        progress.running[trial.cell.key] = trial.cell.title

    def _release_problem(self, trial: Trial) -> None:
        self._users[trial.problem if trial.shared else ""] -= 1

    def _dispatch_profile(self, slot: Slot, progress: Progress) -> None:
        trial = slot.waiting.popleft()
        progress.waiting -= 1
        slot.trial, slot.since, slot.profiling = trial, time.monotonic(), True
        slot.reference = slot.actor.profile.remote(trial.cell.key)
        progress.running[trial.cell.key] = f"{trial.cell.title} (profile)"

    def _forget_problems(self, keep: str) -> None:
        """Cells of one problem stand together, so a problem that nobody uses now will not be used again."""
        for problem in [name for name, users in self._users.items() if not users and name != keep]:
            del self._users[problem]
            self._problems.pop(problem, None)

    def _collect(self, slot: Slot, progress: Progress) -> Iterator[Record]:
        trial, profiled = slot.trial, slot.profiling
        try:
            ended = ray.get(slot.reference)
        except RayError as error:
            if trial is None:
                raise UserError("a Ray worker does not start; `allwin doctor` shows what this machine lacks") from error
            yield self._replace(slot, self._obituary(slot, error), progress)
            return
        slot.trial, slot.reference, slot.profiling = None, None, False
        if trial is None:
            slot.pid = ended
            return
        if not profiled:
            slot.pace_s = time.monotonic() - slot.since
            self._release_problem(trial)
        if slot.ahead:
            self._begin(slot, *slot.ahead, progress)
            slot.ahead = None
        if ended is None:
            slot.waiting.append(trial)
            progress.running.pop(trial.cell.key)
            progress.waiting += 1
        else:
            yield ended

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

    def _replace(self, slot: Slot, failure: Failure, progress: Progress) -> Record:
        """Ends a worker and puts a fresh one in its place; trials that only waited there for a profile run again."""
        trial = slot.trial
        assert trial
        self._end(slot)
        if not slot.profiling:
            self._release_problem(trial)
        self._again.extend(slot.waiting)
        progress.waiting -= len(slot.waiting)
        if slot.ahead:
            self._release_problem(slot.ahead[0])
            self._again.append(slot.ahead[0])
        # What the worker that has gone had loaded may have gone with it.
        self._forget_problems(keep="")
        self._slots[self._slots.index(slot)] = self._fresh_slot()
        where = provenance.collect(trial.origin, trial.cell.spec.device, trial.threads, {}, "")
        return make_record(trial, failure, where.model_copy(update={"worker_pid": slot.pid}), started=slot.started)

    def _end(self, slot: Slot) -> None:
        """Kills a worker and all that it started."""
        processes = tree(slot.pid) if slot.pid else []
        # By Ray first, which then takes the death for what it is: asked for.
        ray.kill(slot.actor)
        kill(processes)
