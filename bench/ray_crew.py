"""The workers of a run and the nodes that they are on: started, looked after, ended. What they do, the engine says."""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

import psutil
import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench import provenance
from bench.admission import Capacity, Memory
from bench.errors import UserError
from bench.limits import GIB, thread_environment
from bench.ray_start import connect, start
from bench.ray_worker import Birth, Warden, Worker
from bench.record import FailedStage, Failure
from bench.runner import TRIALS_PER_GPU, Placement
from bench.trial import Trial

ANSWER_S = 5.0
"""A warden that takes longer to answer has gone."""

ENDING_S = 10.0
"""So long an end is waited for."""

STARTING_S = 30.0
"""So long a worker may take to import all that it needs."""

NO_WORKER_S = 120.0
"""After so long without any worker that started, the run ends."""

SERVERS = ("gcs_server", "raylet")
"""What Ray starts on this machine, and cannot do without."""

Stage = Literal["birth", "work", "profile"]


@dataclass(frozen=True)
class Job:
    """Something that a worker or a warden does, and what is awaited of it."""

    stage: Stage
    reference: Any
    trial: Trial | None = None
    parcel: Any = None
    """The reference of a profile, for a job that works; that of what is measured, for one that profiles."""
    since: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=provenance.now)

    @property
    def failed_stage(self) -> FailedStage:
        return "profile" if self.stage == "profile" else "fit"


@dataclass(eq=False)
class Node:
    """A machine, its warden, and the solutions that wait there for their profile."""

    name: str
    warden: Any
    host: Memory
    gpus: dict[str, Memory]
    waiting: deque[tuple[Trial, Any]] = field(default_factory=deque)
    job: Job | None = None
    quiet: bool = False
    """Whether the work pauses until no profile waits."""
    lost: bool = False


@dataclass(eq=False)
class Slot:
    """A worker, and what it does now."""

    actor: Any
    job: Job | None
    born: Birth | None = None
    node: Node | None = None
    ahead: Job | None = None
    """The next trial, handed over while this one runs."""
    pace_s: float = math.inf
    """How long its last trial took."""

    @property
    def memory(self) -> Memory:
        assert self.born and self.node
        return self.node.gpus.get(self.born.gpu, self.node.host)


class Crew:
    """Raises `UserError` where Ray does not start."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.slots: list[Slot] = []
        self.nodes: dict[str, Node] = {}
        self._wardens: dict[str, tuple[Any, Any]] = {}
        """By node: the warden, and the reference of its capacity. They start while torch is imported elsewhere."""
        self._code: str | None = None
        self._servers: list[psutil.Process] = []
        """Of a Ray that this process has started."""
        self._alive_at = time.monotonic()

    def start(self) -> None:
        """Returns at once; the workers import meanwhile."""
        where = self.placement
        if where.address is not None:
            connect(where.address, where.method_paths)
            self._code = "."
        else:
            start(where.workers * where.threads)
            self._servers = [child for child in psutil.Process().children() if child.name() in SERVERS]
        self.slots = [self._fresh() for _ in range(self._count())]
        for node in ray.nodes():
            if node["Alive"]:
                self._warden(node["NodeID"])
        self._alive_at = time.monotonic()

    def stop(self) -> None:
        """Ends workers, what they started, and Ray."""
        self.end(*self.slots)
        _await([node.warden.end_profiles.remote() for node in self.nodes.values()])
        ray.shutdown()

    def _count(self) -> int:
        """As many workers as were asked for; on a cluster without a wish, as many as its cores and GPUs allow."""
        if self.placement.address is None or self.placement.workers:
            return self.placement.workers
        there = ray.cluster_resources()
        by_cores = int(there.get("CPU", 0)) // self.placement.threads
        by_gpus = TRIALS_PER_GPU * int(there.get("GPU", 0)) if self.placement.cuda else by_cores
        return max(1, min(by_cores, by_gpus))

    # Workers ----------------------------------------------------------------------------------------------------------

    def _fresh(self) -> Slot:
        where = self.placement
        options: dict[str, Any] = {
            "num_cpus": where.threads,
            "max_restarts": 0,
            "runtime_env": {"env_vars": {**thread_environment(where.threads), **where.environment}},
        }
        if where.cuda:
            options["num_gpus"] = 1 / TRIALS_PER_GPU
        if where.accelerator:
            options["accelerator_type"] = where.accelerator
        actor: Any = ray.remote(Worker).options(**options).remote(self._code)
        return Slot(actor, Job("birth", actor.birth.remote()))

    def settle(self, slot: Slot, born: Birth) -> None:
        """A worker has started. If its node has gone meanwhile, another takes its place."""
        slot.born = born
        try:
            slot.node = self._node(born.node)
        except RayError:
            self.renew(slot)

    def renew(self, slot: Slot) -> None:
        """A fresh worker in the place of this one."""
        self.end(slot)
        self.slots[self.slots.index(slot)] = self._fresh()

    def rest(self, node: Node) -> None:
        """Ends a node's workers until `rise`: a context on a GPU, even an idle one, is not alone on it."""
        self.end(*self._on(node))
        for slot in self._on(node):
            slot.actor = None

    def rise(self, node: Node) -> None:
        for slot in self._on(node):
            if slot.actor is None:
                self.slots[self.slots.index(slot)] = self._fresh()

    def end(self, *slots: Slot) -> None:
        """Kills workers and all that they started."""
        ended = [slot for slot in slots if slot.actor]
        _await([s.node.warden.kill.remote(s.born.pid) for s in ended if s.born and s.node and not s.node.lost])
        for slot in ended:
            ray.kill(slot.actor)

    def _on(self, node: Node) -> list[Slot]:
        return [slot for slot in self.slots if slot.node is node]

    # Nodes ------------------------------------------------------------------------------------------------------------

    def _warden(self, node: str) -> tuple[Any, Any]:
        if node not in self._wardens:
            affinity = NodeAffinitySchedulingStrategy(node, soft=False)
            options = {"num_cpus": 0, "max_restarts": -1, "max_concurrency": 4, "scheduling_strategy": affinity}
            warden: Any = ray.remote(Warden).options(**options).remote(self.placement.threads)
            self._wardens[node] = warden, warden.capacity.remote()
        return self._wardens[node]

    def _node(self, name: str) -> Node:
        if name not in self.nodes:
            warden, reference = self._warden(name)
            capacity: Capacity = ray.get(reference, timeout=NO_WORKER_S)
            gpus = {gpu: Memory(total, careful=True) for gpu, total in capacity.gpu_bytes.items()}
            self.nodes[name] = Node(name, warden, Memory(capacity.host_bytes, careful=False), gpus)
        return self.nodes[name]

    def has_gone(self, node: Node) -> bool:
        """Whether it is lost, found out only now or before. The cluster learns of a death late; a warden does not
        outlive its node.
        """
        if not node.lost:
            try:
                ray.get(node.warden.resident_bytes.remote([]), timeout=ANSWER_S)
            except RayError:
                node.lost = True
                del self.nodes[node.name], self._wardens[node.name]
        return node.lost

    def left_alone(self, node: Node) -> bool:
        """A worker that starts, wherever it will, disturbs too; one that finds no place does not for ever."""
        starting = time.monotonic() - STARTING_S

        def disturbs(slot: Slot, job: Job) -> bool:
            # By name: a node whose warden died is another to us, and the same machine.
            return slot.node.name == node.name if slot.node else job.since > starting

        return not any(disturbs(slot, slot.job) for slot in self.slots if slot.job)

    def used_bytes(self, node: Node, slots: list[Slot]) -> list[int]:
        """Memory of workers and, as the last, of what measures; zeros where the node does not answer, which shows in
        its jobs.
        """
        asked = node.warden.resident_bytes.remote([slot.born.pid for slot in slots if slot.born])
        try:
            return ray.get(asked, timeout=ENDING_S)
        except RayError:
            return [0] * (len(slots) + 1)

    def check_alive(self) -> None:
        """Raises `UserError` when Ray has gone, or when there has been no worker for long."""
        # Ray itself takes half a minute to notice, during which nothing that is lost is replaced.
        if any(_ended(server) for server in self._servers):
            raise UserError(
                "Ray has gone: a server of its on this machine ended or was killed; what ended is kept, run the same "
                "command again"
            )
        if any(slot.born for slot in self.slots):
            self._alive_at = time.monotonic()
        elif time.monotonic() - self._alive_at > NO_WORKER_S:
            where = self.placement
            wanted = f"{where.threads} cores" + (", a share of a GPU" if where.cuda else "")
            wanted += f", {where.accelerator}" if where.accelerator else ""
            raise UserError(
                f"no worker has started for {NO_WORKER_S:g} s: each needs {wanted}, and no node has that left; what "
                "ended is kept, free or add a node and run the same command again"
            )


def _ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _await(references: list[Any]) -> None:
    """Returns when all have ended, or cannot; what is ended this way is past mending."""
    if references:
        ray.wait(references, num_returns=len(references), timeout=ENDING_S)


def other_actor(error: RayError, actor: Any) -> bool:
    """Whether somebody else's death is told: that of the worker which loaded the problem."""
    dead = getattr(error, "actor_id", None)
    return isinstance(error, RayActorError) and dead is not None and dead != actor._actor_id.hex()


def exceeded(job: Job, resident_bytes: int) -> Failure | None:
    assert job.trial
    limits = job.trial.limits
    if time.monotonic() - job.since > limits.time_s:
        message = f"killed after {limits.time_s:g} s, its time limit; raise it with --time-limit"
        return Failure(cause="timeout", message=message, stage=job.failed_stage)
    if resident_bytes > limits.memory_bytes:
        message = f"killed at {limits.memory_bytes / GIB:g} GiB, its memory limit; raise it with --memory-limit"
        return Failure(cause="oom", message=message, stage=job.failed_stage)
    return None


def obituary(job: Job, error: RayError | None) -> Failure:
    stage = job.failed_stage
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Failure(cause="oom", message="Ray killed the worker: the machine ran out of memory", stage=stage)
    if error is None or isinstance(error, RayActorError):
        message = "the worker's process went away: it exited, crashed, or was killed from outside"
        return Failure(cause="crash", message=message, stage=stage)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return Failure(cause="crash", message=provenance.without_paths(first)[:500], stage=stage)
