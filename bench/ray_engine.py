"""Trials on Ray: warm workers, each problem loaded once, work side by side, profiles one at a time on a quiet node.

The driver supervises: time and memory are watched from outside, by a warden on each node, and a trial that exceeds them
is killed with its children and replaced by a fresh worker. A trial whose worker is lost gets a second one.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayError

from bench import provenance
from bench.ray_crew import Crew, Job, Node, Slot, exceeded, obituary, other_actor
from bench.record import Failure, Record
from bench.runner import Placement, Progress
from bench.trial import Trial, make_record

SHORT_S = 0.25
"""Trials shorter than this are handed over one ahead: else a worker would wait for the driver as long as it works."""

CHEAP_S = 0.01
"""A problem that loads faster than this is loaded by each trial: to hand it over would take as long."""

LOOK_S = 0.25
"""Between two looks at the workers' memory and time; four times rarer while a profile wants quiet."""

PROFILES_WAITING = 4
"""Solutions that may wait for their profile, for each worker, before the work pauses: fewer pauses, more memory."""

PROFILES_WAITING_FOR_GPU = 32
"""More of them where a pause also costs the workers, which leave the device to the profiles."""


class RayEngine:
    """Raises `UserError` where Ray or its workers do not start."""

    def __init__(self, placement: Placement) -> None:
        self._crew = Crew(placement)
        self._problems: dict[str, Any] = {}
        self._users: Counter[str] = Counter()
        self._load_s: dict[Hashable, float] = {}
        """How long the last problem of a kind took to load."""
        self._again: deque[Trial] = deque()
        self._held: Trial | None = None
        """The next trial, while there is no room for it."""
        self._exhausted = False
        self._watched = 0.0

    def run(self, trials: Iterator[Trial], progress: Progress, changed: Callable[[], None]) -> Iterator[Record]:
        """The records, in the order in which the trials end."""
        self._crew.start()
        try:
            yield from self._schedule(trials, progress, changed)
        finally:
            self._crew.stop()

    # The schedule -----------------------------------------------------------------------------------------------------

    def _schedule(self, trials: Iterator[Trial], progress: Progress, changed: Callable[[], None]) -> Iterator[Record]:
        while True:
            for node in self._crew.nodes.values():
                self._decide_quiet(node)
            for slot in self._crew.slots:
                self._supply(slot, trials, progress)
            for node in self._crew.nodes.values():
                if node.quiet and node.waiting and node.job is None and self._crew.left_alone(node):
                    self._begin_profile(node, progress)
            changed()
            jobs = [
                job for job in (*(s.job for s in self._crew.slots), *(n.job for n in self._crew.nodes.values())) if job
            ]
            waiting = any(node.waiting for node in self._crew.nodes.values())
            if not (self._more_to_come or waiting or any(job.trial for job in jobs)):
                return
            yield from self._wait(jobs, progress)

    @property
    def _more_to_come(self) -> bool:
        """Whether there may be trials to begin."""
        return bool(self._again or self._held) or not self._exhausted

    def _decide_quiet(self, node: Node) -> None:
        """Once the work pauses it does so until no profile waits: each pause costs the wait for what still runs."""
        most = PROFILES_WAITING_FOR_GPU if self._crew.placement.cuda else PROFILES_WAITING
        workers = sum(slot.node is node for slot in self._crew.slots)
        ending = node.quiet or not self._more_to_come
        waiting = len(node.waiting)
        node.quiet = node.job is not None or waiting >= (1 if ending else most * max(1, workers))
        if self._crew.placement.cuda and node.quiet and self._crew.left_alone(node):
            self._crew.rest(node)
        elif not node.quiet and not ending:
            self._crew.rise(node)

    def _supply(self, slot: Slot, trials: Iterator[Trial], progress: Progress) -> None:
        """Hands a worker its next trial, if it wants one and there is room."""
        if slot.node is None or slot.actor is None or slot.node.quiet:
            return
        if slot.job and (slot.ahead or slot.pace_s >= SHORT_S or self._crew.placement.cuda):
            return
        trial = self._next(trials, progress)
        if trial is None:
            return
        if slot.job is None and not slot.memory.admits(trial.memory_bytes):
            self._held = trial
            return
        self._dispatch(slot, trial, progress)

    def _next(self, trials: Iterator[Trial], progress: Progress) -> Trial | None:
        if self._held:
            held, self._held = self._held, None
            return held
        if self._again:
            if not progress.draining:
                return self._again.popleft()
            self._again.clear()
        trial = next(trials, None)
        self._exhausted = trial is None
        return trial

    def _dispatch(self, slot: Slot, trial: Trial, progress: Progress) -> None:
        if trial.shared and self._load_s.get(_kind(trial), math.inf) < CHEAP_S:
            trial = replace(trial, shared=False)
        problem = trial.shared_problem
        if problem and problem not in self._problems:
            self._problems[problem] = slot.actor.load.remote(trial)
        self._users[problem] += 1
        self._forget_problems(keep=problem)
        outcome, parcel = slot.actor.work.options(num_returns=2).remote(trial, self._problems.get(problem))
        job = Job("work", outcome, trial, parcel)
        if slot.job is None:
            self._begin(slot, job, progress)
        else:
            slot.ahead = job

    def _begin(self, slot: Slot, job: Job, progress: Progress) -> None:
        assert job.trial
        slot.job = replace(job, since=time.monotonic(), started=provenance.now())
        slot.memory.enter(job.trial.cell.key, job.trial.memory_bytes)
        progress.running[job.trial.cell.key] = job.trial.cell.title

    def _begin_profile(self, node: Node, progress: Progress) -> None:
        trial, parcel = node.waiting.popleft()
        progress.waiting -= 1
        node.job = Job("profile", node.warden.profile.remote(parcel), trial, parcel)
        progress.running[trial.cell.key] = f"{trial.cell.title} (profile)"

    def _forget_problems(self, keep: str = "") -> None:
        """Cells of one problem stand together, so a problem that nobody uses now will not be used again."""
        for problem in [name for name, users in self._users.items() if not users and name != keep]:
            del self._users[problem]
            self._problems.pop(problem, None)

    def _wait(self, jobs: list[Job], progress: Progress) -> Iterator[Record]:
        """Blocks until something ends, or for a short while; then ends what uses too much."""
        profiling = any(job.stage == "profile" for job in jobs)
        look = LOOK_S * (4 if profiling else 1)
        if jobs:
            ready, _ = ray.wait([job.reference for job in jobs], num_returns=1, timeout=look, fetch_local=False)
        else:
            time.sleep(look)
            ready = []
        # Going through all processes takes milliseconds, and short trials end more often than that.
        watching = time.monotonic() - self._watched >= look
        for slot in list(self._crew.slots):
            if slot.job and slot.job.reference in ready:
                yield from self._collect(slot, slot.job, progress)
        for node in list(self._crew.nodes.values()):
            if node.job and node.job.reference in ready:
                yield from self._collect_profile(node, node.job, progress)
        if watching:
            self._watched = time.monotonic()
            yield from self._watch(progress)
            self._crew.check_alive()

    # What comes back --------------------------------------------------------------------------------------------------

    def _collect(self, slot: Slot, job: Job, progress: Progress) -> Iterator[Record]:
        trial = job.trial
        try:
            ended = ray.get(job.reference)
        except RayError as error:
            if slot.node:
                self._look_after(slot.node, progress)
            slot.job = None
            if trial is None:
                self._renew(slot)
                return
            self._leave(slot, trial)
            if isinstance(error, ObjectLostError) or other_actor(error, slot.actor):
                # The worker that had loaded the problem is gone; this one is none the worse.
                self._put_back(trial, progress)
                self._go_on(slot, progress)
            elif slot.node and slot.node.lost:
                self._put_back(trial, progress)
                self._renew(slot)
            else:
                yield self._replaced(slot, job, obituary(job, error), progress)
            return
        slot.job = None
        if trial is None:
            self._crew.settle(slot, ended)
            return
        assert slot.node
        slot.pace_s = time.monotonic() - job.since
        self._leave(slot, trial)
        if ended is None and slot.node.lost:
            self._put_back(trial, progress)
        elif ended is None:
            if not slot.node.waiting:
                slot.node.warden.prepare_profiles.remote()
            slot.node.waiting.append((trial, job.parcel))
            progress.running.pop(trial.cell.key)
            progress.waiting += 1
        self._go_on(slot, progress)
        if ended is not None:
            self._load_s[_kind(trial)] = ended.stage_s.get("load", math.inf)
            yield ended

    def _go_on(self, slot: Slot, progress: Progress) -> None:
        """With the trial that was handed over ahead; elsewhere, if the node has gone."""
        if slot.node and slot.node.lost:
            self._renew(slot)
        elif slot.ahead:
            self._begin(slot, slot.ahead, progress)
            slot.ahead = None

    def _collect_profile(self, node: Node, job: Job, progress: Progress) -> Iterator[Record]:
        assert job.trial
        try:
            record = ray.get(job.reference)
        except RayError as error:
            self._look_after(node, progress)
            # A node that was lost has put its trials back already.
            if not node.lost:
                node.job = None
                yield self._failed(job, obituary(job, error), 0, progress)
            return
        node.job = None
        yield record or self._failed(job, obituary(job, None), 0, progress)

    def _leave(self, slot: Slot, trial: Trial) -> None:
        slot.memory.leave(trial.cell.key)
        self._users[trial.shared_problem] -= 1

    def _put_back(self, trial: Trial, progress: Progress) -> None:
        """A trial that lost what it was to work on, through no fault of its own, runs again as if nothing had been."""
        self._problems.pop(trial.shared_problem, None)
        self._again.append(trial)
        progress.running.pop(trial.cell.key, None)

    # Limits and losses ------------------------------------------------------------------------------------------------

    def _watch(self, progress: Progress) -> Iterator[Record]:
        for node in list(self._crew.nodes.values()):
            slots = [slot for slot in self._crew.slots if slot.node is node and slot.job]
            if node.lost or not (slots or node.job):
                continue
            used = self._crew.used_bytes(node, slots)
            for slot, resident in zip(slots, used[:-1], strict=True):
                assert slot.job
                failure = exceeded(slot.job, resident)
                # It may have ended since.
                if failure and not ray.wait([slot.job.reference], timeout=0, fetch_local=False)[0]:
                    job, slot.job = slot.job, None
                    assert job.trial
                    self._leave(slot, job.trial)
                    yield self._replaced(slot, job, failure, progress)
            measured = node.job
            failure = exceeded(measured, used[-1]) if measured else None
            if measured and failure and not ray.wait([measured.reference], timeout=0)[0]:
                node.job = None
                node.warden.end_profiles.remote()
                yield self._failed(measured, failure, 0, progress)

    def _replaced(self, slot: Slot, job: Job, failure: Failure, progress: Progress) -> Record:
        """Ends a worker and puts a fresh one in its place."""
        assert job.trial and slot.born
        # What the worker that has gone had loaded may have gone with it.
        self._problems.pop(job.trial.shared_problem, None)
        pid = slot.born.pid
        self._renew(slot)
        return self._failed(job, failure, pid, progress)

    def _renew(self, slot: Slot) -> None:
        """A fresh worker in the place of this one; the trial that it was to do next is put back."""
        if slot.ahead and slot.ahead.trial:
            self._users[slot.ahead.trial.shared_problem] -= 1
            self._again.append(slot.ahead.trial)
        self._forget_problems()
        self._crew.renew(slot)

    def _look_after(self, node: Node, progress: Progress) -> None:
        """If it is the node that has gone, what was to be profiled there runs again, and its idle workers move."""
        if node.lost or not self._crew.has_gone(node):
            return
        self._again.extend(trial for trial, _ in node.waiting)
        progress.waiting -= len(node.waiting)
        node.waiting.clear()
        if node.job and node.job.trial:
            self._again.append(node.job.trial)
            progress.running.pop(node.job.trial.cell.key, None)
            node.job = None
        for slot in [slot for slot in self._crew.slots if slot.node is node and slot.job is None]:
            self._renew(slot)

    def _failed(self, job: Job, failure: Failure, pid: int, progress: Progress) -> Record:
        """The record of a trial that was ended; a worker that was lost for the first time is replaced by a second."""
        trial = job.trial
        assert trial
        if failure.cause == "crash" and trial.attempt == 1:
            self._again.append(replace(trial, attempt=2))
            progress.retrying.add(trial.cell.key)
        where = provenance.collect(trial.origin, trial.cell.spec.device, trial.threads, {}, "")
        return make_record(trial, failure, where.model_copy(update={"worker_pid": pid}), started=job.started)


def _kind(trial: Trial) -> Hashable:
    """Problems that differ in their seeds alone."""
    spec, parts = trial.cell.spec, trial.cell.parts
    return spec.task, spec.dataset, spec.budget, parts["settings"]
