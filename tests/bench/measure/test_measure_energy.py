"""Energy, from a fake of a board that uses power at a known rate."""

import os
import time
from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from bench.contracts import Workload
from bench.measure.counters import UnreadableError
from bench.measure.energy import RULES, EnergyMeter, EnergyWindow, measure_energy, metered, open_meter
from bench.measure.nvml import NvmlCounter

CPU = torch.device("cpu")
TICK_S = 0.01
POWER_W = 100.0


class FakeNvml:
    """One board of 100 W whose counter moves every 10 ms."""

    NVML_TEMPERATURE_GPU = NVML_CLOCK_SM = 0
    NVML_DEVICE_MIG_ENABLE = 1

    class NVMLError(Exception):
        pass

    class NotSupportedError(NVMLError):
        pass

    NVMLError_NotSupported = NotSupportedError

    def __init__(self, *, mig: int = 0, supported: bool = True, pids: tuple[int, ...] = (os.getpid(),)) -> None:
        self.mig = mig
        self.supported = supported
        self.pids = pids
        self.power_w = POWER_W
        self.script: list[int] = []
        self.readings: list[int] = []

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-1":
            raise self.NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetMigMode(self, board: str) -> tuple[int, int]:
        return self.mig, self.mig

    def nvmlDeviceGetTotalEnergyConsumption(self, board: str) -> int:
        if not self.supported:
            raise self.NVMLError_NotSupported("Not Supported")
        if self.script:
            return self.script.pop(0)
        self.readings.append(int(time.perf_counter() / TICK_S) * int(TICK_S * self.power_w * 1000))
        return self.readings[-1]

    def joules_of_last_window(self) -> float:
        return (self.readings[-1] - self.readings[-2]) / 1000

    def nvmlDeviceGetTemperature(self, board: str, sensor: int) -> int:
        return 41

    def nvmlDeviceGetClockInfo(self, board: str, clock: int) -> int:
        return 1980

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, board: str) -> int:
        raise self.NVMLError_NotSupported("Not Supported")

    def nvmlDeviceGetComputeRunningProcesses(self, board: str) -> list[Any]:
        return [SimpleNamespace(pid=pid) for pid in self.pids]


def meter_of(nvml: FakeNvml) -> EnergyMeter:
    return EnergyMeter(NvmlCounter(nvml, "GPU-1"), TICK_S)


def sleep_workload(items: int = 1) -> Workload:
    return Workload(lambda: time.sleep(5e-3), (), items, "a sleep of 5 ms")


def test_the_fake_speaks_the_language_of_the_driver_library() -> None:
    assert [name for name in vars(FakeNvml) if name.lower().startswith("nvml") and not hasattr(pynvml, name)] == []


@pytest.fixture
def millisecond_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that moves by one millisecond each time it is read."""
    readings = count()
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: next(readings) / 1000)
        yield


@pytest.mark.usefixtures("millisecond_clock")
def test_the_tick_of_a_counter_is_found() -> None:
    assert metered(NvmlCounter(FakeNvml(), "GPU-1")).tick_s == pytest.approx(TICK_S)


@pytest.mark.usefixtures("millisecond_clock")
def test_a_counter_that_stands_still_is_no_meter() -> None:
    nvml = FakeNvml()
    nvml.power_w = 0.0
    with pytest.raises(UnreadableError, match=r"moved 0 times in 1\.5 s"):
        metered(NvmlCounter(nvml, "GPU-1"))


def test_the_energy_of_an_item_is_power_times_time_over_items() -> None:
    calls = []

    def call() -> None:
        calls.append(True)
        time.sleep(5e-3)

    workload = Workload(call, (), 4, "a sleep of 5 ms")
    nvml = FakeNvml()
    measurement = measure_energy(workload, CPU, "smoke", lambda _: meter_of(nvml))
    detail = measurement.detail
    assert measurement.value is not None
    assert (measurement.unit, measurement.instrument) == ("J", "nvml-total-energy")
    assert measurement.value * detail["items"] == pytest.approx(nvml.joules_of_last_window())
    # Wide, since a busy machine may pause between the counter and the clock.
    assert detail["mean_power_w"] == pytest.approx(POWER_W, rel=0.4)
    # Two calls come before the window: one to warm up, one to see how long it takes.
    assert detail["items"] == 4 * (len(calls) - 2) > 0


def test_the_resolution_of_a_short_window_is_stated() -> None:
    detail = measure_energy(sleep_workload(), CPU, "smoke", lambda _: meter_of(FakeNvml())).detail
    assert 0.3 <= detail["window_s"] < 1
    assert detail["resolution"] == pytest.approx(TICK_S / detail["window_s"])
    assert detail["ticks"] == int(detail["window_s"] / TICK_S)
    assert detail["short_window"]
    assert detail["scope"] == "the whole board"


def test_a_window_lasts_as_many_ticks_as_the_rules_want() -> None:
    slow = EnergyMeter(NvmlCounter(FakeNvml(), "GPU-1"), tick_s=0.2)
    detail = measure_energy(sleep_workload(), CPU, "smoke", lambda _: slow).detail
    assert detail["window_s"] >= RULES["smoke"].ticks * 0.2 > RULES["smoke"].window_s


def test_the_state_of_the_board_is_told_before_and_after() -> None:
    detail = measure_energy(sleep_workload(), CPU, "smoke", lambda _: meter_of(FakeNvml())).detail
    assert detail["state_before"] == {"temperature_c": 41, "sm_clock_mhz": 1980, "throttle_reasons": None}
    assert detail["state_after"] == detail["state_before"]


def test_idle_power_and_three_trials_belong_to_the_long_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    for budget in ("gpu", "paper"):
        assert (RULES[budget].trials, RULES[budget].idle_s, RULES[budget].window_s) == (3, 5.0, 3.0)
    short = RULES["gpu"].__class__(window_s=0.1, ticks=5, trials=3, idle_s=0.2, cooldown_s=0.01)
    monkeypatch.setitem(RULES, "gpu", short)
    nvml = FakeNvml()
    measurement = measure_energy(sleep_workload(), CPU, "gpu", lambda _: meter_of(nvml))
    detail = measurement.detail
    assert len(detail["trials_j"]) == 3
    assert measurement.value == sorted(detail["trials_j"])[1]
    # Idle, this board uses as much as at work.
    assert detail["idle_power_w"] == pytest.approx(POWER_W, rel=0.4)
    idle_j = detail["idle_power_w"] * detail["window_s"] / detail["items"]
    assert detail["above_idle_j"] == pytest.approx(measurement.value - idle_j)


def test_a_window_around_work_counts_its_energy() -> None:
    nvml = FakeNvml()
    with EnergyWindow(CPU, lambda _: meter_of(nvml)) as energy:
        time.sleep(0.2)
    assert energy.measurement.detail["window_s"] >= 0.2
    assert energy.measurement.value == nvml.joules_of_last_window() > 0.9 * POWER_W * 0.2
    assert energy.measurement.detail["short_window"]


def test_work_shorter_than_three_ticks_is_not_measured() -> None:
    with EnergyWindow(CPU, lambda _: meter_of(FakeNvml())) as energy:
        time.sleep(TICK_S / 2)
    assert energy.measurement.value is None
    assert "too short for a counter that moves every 0.01 s" in energy.measurement.reason


def test_work_that_raises_is_not_measured_and_raises_on() -> None:
    energy = EnergyWindow(CPU, lambda _: meter_of(FakeNvml()))
    with pytest.raises(ZeroDivisionError), energy:
        _ = 1 / 0
    assert energy.measurement.reason == "the work did not end"


def test_without_a_meter_the_work_runs_and_the_reason_is_kept() -> None:
    done = []
    with EnergyWindow(CPU, lambda _: "no counter here") as energy:
        done.append(True)
    assert (done, energy.measurement.value, energy.measurement.reason) == ([True], None, "no counter here")
    calls = []
    workload = Workload(lambda: calls.append(True), (), 1, "nothing")
    assert measure_energy(workload, CPU, "gpu", lambda _: "no counter here").reason == "no counter here"
    assert calls == []


def test_a_device_of_another_kind_has_no_meter() -> None:
    assert open_meter(torch.device("meta")) == "no energy counter is known for meta"


# NVML -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nvml", "uuid", "reason"),
    [
        (FakeNvml(mig=1), "GPU-1", "cut into MIG slices"),
        (FakeNvml(supported=False), "GPU-1", "no total-energy counter"),
        (FakeNvml(), "GPU-2", "NVML does not find GPU-2: Not Found"),
    ],
)
def test_a_board_that_cannot_tell_says_why(nvml: FakeNvml, uuid: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        NvmlCounter(nvml, uuid)


def test_a_counter_that_went_backwards_is_not_measured() -> None:
    nvml = FakeNvml()
    meter = meter_of(nvml)
    nvml.script = [5_000, 4_000]
    with EnergyWindow(CPU, lambda _: meter) as energy:
        time.sleep(5 * TICK_S)
    assert "went backwards by 1000 mJ" in energy.measurement.reason


def test_a_counter_that_did_not_advance_is_not_measured() -> None:
    nvml = FakeNvml()
    meter = meter_of(nvml)
    nvml.script = [5_000, 5_000]
    with EnergyWindow(CPU, lambda _: meter) as energy:
        time.sleep(5 * TICK_S)
    assert energy.measurement.value is None
    assert "did not advance" in energy.measurement.reason


@pytest.mark.parametrize(
    ("pids", "others"),
    [
        ((), 0),
        ((os.getpid(),), 0),
        # One process that is not known by our number: ourselves, seen from outside a container.
        ((7,), 0),
        ((os.getpid(), 7), 1),
        ((7, 8, 9), 2),
    ],
)
def test_a_board_that_others_use_is_not_measured(pids: tuple[int, ...], others: int) -> None:
    measurement = measure_energy(sleep_workload(), CPU, "smoke", lambda _: meter_of(FakeNvml(pids=pids)))
    if others:
        assert measurement.reason.startswith(f"{others} other process(es) use the board")
    else:
        assert measurement.value is not None


def test_a_process_that_comes_while_the_work_runs_is_noticed() -> None:
    nvml = FakeNvml()
    with EnergyWindow(CPU, lambda _: meter_of(nvml)) as energy:
        time.sleep(5 * TICK_S)
        nvml.pids = (os.getpid(), 7)
    assert "1 other process(es)" in energy.measurement.reason


def test_millijoules_become_joules() -> None:
    assert NvmlCounter(FakeNvml(), "GPU-1").joules({"gpu": 1_500}, {"gpu": 4_000}) == {"gpu": 2.5}
