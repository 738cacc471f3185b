"""Who else uses the machine while a cost is measured: a measurement beside strangers is flagged, not dropped.

The processor's time that went to others is what the system counts as busy, or as taken by the host of a virtual
machine, less what this process used. On a GPU the driver lists the processes that compute there.
"""

import os
import time
from types import TracebackType
from typing import Any, Self

import psutil
import torch

from bench import provenance
from bench.measure.nvml import other_processes

MOST_CORES = 0.25
"""Others may use this much of a core, or `MOST_SHARE` of all, before a measurement counts as contaminated."""
MOST_SHARE = 0.1
TICKS_S = 0.03
"""The system counts in hundredths of a second, and several counts are subtracted."""

LOOK_S = 0.1
PATIENCE_S = 10.0
"""How long a profile waits for a machine that is not quiet."""


class Neighbours:
    """What others used inside a `with`: `detail` for a measurement."""

    def __init__(self, device: torch.device) -> None:
        self.detail: dict[str, Any] = {}
        self._device = device
        self._foreign_before: int | None = None

    def __enter__(self) -> Self:
        self._foreign_before = other_processes(self._device)
        self._own, self._busy, self._started = own_s(), busy_s(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed_s = time.perf_counter() - self._started
        others_s = max(0.0, (busy_s() - self._busy) - (own_s() - self._own))
        processes = [self._foreign_before, other_processes(self._device)]
        self.detail = verdict(others_s, elapsed_s, provenance.cores())
        if self._device.type == "cuda":
            seen = [number for number in processes if number is not None]
            self.detail["other_gpu_processes"] = max(seen) if seen else None
            self.detail["contaminated"] |= any(seen)


def verdict(others_s: float, elapsed_s: float, cores: int) -> dict[str, Any]:
    """The cores that others kept busy, and whether that is too much beside a measurement."""
    allowed_s = max(MOST_CORES, MOST_SHARE * cores) * elapsed_s + TICKS_S
    return {"other_cores": round(others_s / elapsed_s, 3), "contaminated": others_s > allowed_s}


def wait_for_quiet(patience_s: float = PATIENCE_S) -> bool:
    """Returns when nobody else uses the processor, or when patience ends: then False."""
    deadline = time.monotonic() + patience_s
    while True:
        own, busy, started = own_s(), busy_s(), time.perf_counter()
        time.sleep(LOOK_S)
        others_s = (busy_s() - busy) - (own_s() - own)
        if not verdict(max(0.0, others_s), time.perf_counter() - started, provenance.cores())["contaminated"]:
            return True
        if time.monotonic() > deadline:
            return False


def busy_s() -> float:
    """Seconds of all cores that were spent on something, or taken away by a host, since the system started."""
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))


def own_s() -> float:
    """Seconds of processor that this process used."""
    times = os.times()
    return times.user + times.system
