"""What runs on the nodes: workers, which keep torch warm and do the trials, and on each node a warden.

The driver imports this module too, so torch and what needs it are imported inside.
"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import ray

from bench import provenance
from bench.admission import Capacity
from bench.fresh import FreshProcesses
from bench.limits import kill, resident_bytes, tree
from bench.parcel import Parcel
from bench.record import Record
from bench.trial import Trial

if TYPE_CHECKING:
    from bench.execution import Loaded


@dataclass(frozen=True)
class Birth:
    """Where a worker came to life."""

    pid: int
    node: str
    gpu: str
    """Which of the node's, empty without one."""


class Worker:
    """A process of its own, warm between trials."""

    def __init__(self, folder_of_code: str | None) -> None:
        self._code = Path(folder_of_code) if folder_of_code else None
        # Here, so that a worker that answers is one that can begin.
        from bench import execution

        self._execution = execution

    def birth(self) -> Birth:
        context = ray.get_runtime_context()
        return Birth(os.getpid(), context.get_node_id(), ",".join(context.get_accelerator_ids().get("GPU", [])))

    def load(self, trial: Trial) -> "Loaded":
        return self._execution.load_problem(self._here(trial))

    def work(self, trial: Trial, loaded: "Loaded | None") -> tuple[Record | None, Parcel | None]:
        """The record, or what is needed for the profile that is still to come. Without a problem it loads its own."""
        trial = self._here(trial)
        execution = self._execution.Execution(trial, loaded or self._execution.load_problem(trial))
        execution.work()
        parcel = execution.parcel() if execution.wants_profile else None
        return (None, parcel) if parcel else (execution.record(), None)

    def _here(self, trial: Trial) -> Trial:
        """A trial's paths as they are on this node."""
        paths = trial.method_paths
        if self._code:
            paths = tuple(self._code / "by_path" / path.name for path in paths)
        # A store that this node does not see keeps no checkpoints of its trials; the claim shows that it is the same.
        seen = trial.claim is not None and trial.claim.exists()
        return dataclasses.replace(trial, method_paths=paths, checkpoints=trial.checkpoints if seen else None)


class Warden:
    """On each node: watches processes, ends them, and has costs measured in fresh ones."""

    def __init__(self, threads: int) -> None:
        self._fresh = FreshProcesses(threads)

    def capacity(self) -> Capacity:
        return Capacity(psutil.virtual_memory().total, provenance.gpu_memory_bytes())

    def hardware(self, device: str) -> str:
        return provenance.hardware(device)

    def resident_bytes(self, pids: list[int]) -> list[int]:
        """Of each worker and its children; 0 where it has gone. The last is the profile's."""
        return [resident_bytes(pid) if pid else 0 for pid in (*pids, self._fresh.pid)]

    def kill(self, pid: int) -> None:
        """A worker with all that it started."""
        kill(tree(pid))

    def prepare_profiles(self) -> None:
        self._fresh.start()

    def profile(self, parcel: Parcel) -> Record | None:
        """None if the process that measured has died."""
        return self._fresh.profile(parcel)

    def end_profiles(self) -> None:
        """Ends the one that runs, too."""
        self._fresh.end()
