"""Peak memory of an allocation of known size."""

from pathlib import Path

import pytest
import torch

from bench.contracts import Workload
from bench.measure.memory import PeakMemory, measure_memory

CPU = torch.device("cpu")
NUMBERS = 50_000_000
SIZE = 4 * NUMBERS
"""Bytes: 200 MB of 32-bit floats."""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak can be reset on Linux only"
)


@needs_proc
def test_a_tensor_of_200_mb_shows_as_200_mb_though_it_is_gone() -> None:
    with PeakMemory(CPU) as memory:
        torch.ones(NUMBERS).sum()
    detail = memory.measurement.detail
    assert detail["above_baseline_bytes"] == pytest.approx(SIZE, rel=0.02)
    assert memory.measurement.value == detail["baseline_bytes"] + detail["above_baseline_bytes"]
    assert memory.measurement.unit == "byte"


@needs_proc
def test_an_earlier_peak_does_not_show() -> None:
    torch.ones(NUMBERS).sum()
    with PeakMemory(CPU) as memory:
        torch.ones(10)
    assert memory.measurement.detail["above_baseline_bytes"] < SIZE / 10


@needs_proc
def test_the_peak_of_a_call_is_measured_after_a_first_one() -> None:
    sizes = iter([NUMBERS, 10])
    workload = Workload(lambda: torch.ones(next(sizes)).sum(), (), 1, "a large call, then a small one")
    assert measure_memory(workload, CPU).detail["above_baseline_bytes"] < SIZE / 10


@needs_proc
def test_the_work_may_raise() -> None:
    memory = PeakMemory(CPU)

    def work() -> None:
        with memory:
            torch.ones(NUMBERS).sum()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        work()
    assert memory.measurement.detail["above_baseline_bytes"] == pytest.approx(SIZE, rel=0.02)


def test_without_a_reset_the_peak_of_the_whole_process_is_told_as_such(tmp_path: Path) -> None:
    with PeakMemory(CPU, proc=tmp_path / "absent") as memory:
        pass
    measurement = memory.measurement
    assert measurement.instrument == "ru_maxrss since the process started"
    assert measurement.value is not None
    # An interpreter with torch in it; a factor of 1,024 in either direction would show.
    assert 50e6 < measurement.value < 20e9
    assert measurement.detail == {}


def test_a_device_of_another_kind_is_not_measured() -> None:
    with PeakMemory(torch.device("meta")) as memory:
        pass
    assert memory.measurement.value is None
    assert "meta" in memory.measurement.reason
