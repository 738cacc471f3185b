"""Peak memory: the allocator's on a GPU, the resident set of this process on a CPU."""

import re
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from bench.contracts import Workload
from bench.measure.device import synchronise
from bench.record import Measurement, not_measured

UNIT = "byte"
PROC = Path("/proc/self")
RESET_PEAK = "5"
"""Written to `clear_refs`, it sets the peak of the resident set to its present size (man 5 proc)."""


class PeakMemory:
    """The peak inside a `with`, as `measurement` after the exit.

    On a CPU it is of the whole process, interpreter and libraries included. `above_baseline_bytes` is a lower bound of
    what the work needed: memory that was freed before and kept for later use is taken again without a trace. Garbage is
    not collected first: with torch loaded that takes longer than many a fit.
    """

    def __init__(self, device: torch.device, proc: Path = PROC) -> None:
        self.measurement = not_measured(UNIT, "the work did not end")
        self._device = device
        self._proc = proc
        self._baseline_bytes: int | None = None

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            synchronise(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._baseline_bytes = torch.cuda.memory_allocated(self._device)
        else:
            self._baseline_bytes = reset_peak(self._proc)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.type == "cuda":
            self.measurement = self._allocator_peak()
        elif self._device.type != "cpu":
            self.measurement = not_measured(UNIT, f"no counter of peak memory is known for {self._device.type}")
        elif self._baseline_bytes is None:
            self.measurement = process_peak()
        else:
            peak = status_bytes(self._proc, "VmHWM")
            detail = {"baseline_bytes": self._baseline_bytes, "above_baseline_bytes": peak - self._baseline_bytes}
            self.measurement = Measurement(value=peak, unit=UNIT, instrument="VmHWM of the process", detail=detail)

    def _allocator_peak(self) -> Measurement:
        synchronise(self._device)
        assert self._baseline_bytes is not None
        peak = torch.cuda.max_memory_allocated(self._device)
        free, total = torch.cuda.mem_get_info(self._device)
        detail = {
            "baseline_bytes": self._baseline_bytes,
            "above_baseline_bytes": peak - self._baseline_bytes,
            "reserved_bytes": torch.cuda.max_memory_reserved(self._device),
            # Of the whole board, other processes included.
            "board_used_after_bytes": total - free,
        }
        return Measurement(value=peak, unit=UNIT, instrument="torch.cuda allocator", detail=detail)


def measure_memory(workload: Workload, device: torch.device) -> Measurement:
    """Peak memory of one call, after one that is not measured."""
    with torch.no_grad():
        workload.call(*workload.inputs)
        with PeakMemory(device) as memory:
            workload.call(*workload.inputs)
    return memory.measurement


def reset_peak(proc: Path) -> int | None:
    """Sets the peak of the resident set to its present size and returns it; None where the system cannot."""
    try:
        (proc / "clear_refs").write_text(RESET_PEAK, encoding="ascii")
        return status_bytes(proc, "VmHWM")
    except OSError:
        return None


def status_bytes(proc: Path, name: str) -> int:
    """A line of /proc/self/status, which is in kibibytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", (proc / "status").read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise OSError(f"{proc / 'status'} has no line {name}")
    return int(found[1]) * 1024


def process_peak() -> Measurement:
    """The peak since the process started: what is left where it cannot be reset."""
    try:
        import resource
    except ImportError:
        return not_measured(UNIT, "this system tells no peak of the resident set")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kibibytes on Linux, bytes on macOS.
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    return Measurement(value=peak_bytes, unit=UNIT, instrument="ru_maxrss since the process started")
