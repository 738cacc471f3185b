"""What a worker may use, watched from outside: a hung or swollen trial cannot watch itself."""

from dataclasses import dataclass

import psutil

from bench.contracts import Budget

GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """For each trial; both are enforced by killing its process and the children of that."""

    time_s: float
    memory_bytes: int

    def __post_init__(self) -> None:
        if self.time_s <= 0 or self.memory_bytes <= 0:
            raise ValueError("limits must be above 0")


DEFAULT_LIMITS: dict[Budget, Limits] = {
    "smoke": Limits(120, 8 * GIB),
    "small": Limits(900, 16 * GIB),
    "gpu": Limits(1_800, 64 * GIB),
    "paper": Limits(7 * 86_400, 256 * GIB),
}
"""By budget: about ten times what its trials are meant to need."""


def thread_environment(threads: int) -> dict[str, str]:
    """What a process must be started with: a pool made larger later, after torch was imported, oversubscribes."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def resident_bytes(pid: int) -> int:
    """Memory of a process and its children; 0 when it has gone."""
    total = 0
    for process in tree(pid):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


def tree(pid: int) -> list[psutil.Process]:
    """A process and its children, however deep; empty when it has gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def kill(processes: list[psutil.Process]) -> None:
    """Kills processes and returns when they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(processes, timeout=5)
