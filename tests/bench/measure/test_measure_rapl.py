"""Energy of sockets, from a tree of files that looks like Linux's."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import Workload
from bench.measure.energy import EnergyMeter, EnergyWindow, measure_energy, open_meter
from bench.measure.rapl import RaplCounter

CPU = torch.device("cpu")


def zone(root: Path, folder: str, name: str, microjoules: int = 0, wraps_at: int = 1_000_000) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return path / "energy_uj"


@pytest.fixture
def sockets(tmp_path: Path) -> dict[str, Path]:
    """Two sockets, one with memory apart; parts and sums of them beside, which must not be counted again."""
    zone(tmp_path, "intel-rapl:0:1", "core", 111)
    zone(tmp_path, "intel-rapl:2", "psys", 222)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 333)
    (tmp_path / "intel-rapl").mkdir()
    return {
        "root": tmp_path,
        "package-0": zone(tmp_path, "intel-rapl:0", "package-0", 900_000),
        "package-1": zone(tmp_path, "intel-rapl:1", "package-1", 100),
        "dram-0": zone(tmp_path, "intel-rapl:0:0", "dram", 50),
    }


def test_packages_and_their_memory_are_read_and_nothing_twice(sockets: dict[str, Path]) -> None:
    assert RaplCounter(sockets["root"]).read() == {"package-0": 900_000, "package-1": 100, "dram-0": 50}


@given(before=st.integers(0, 999_999), spent=st.integers(0, 999_999))
def test_a_counter_that_wraps_once_tells_what_was_spent(
    tmp_path_factory: pytest.TempPathFactory, before: int, spent: int
) -> None:
    root = tmp_path_factory.mktemp("powercap")
    counter_file = zone(root, "intel-rapl:0", "package-0", before)
    counter = RaplCounter(root)
    reading = counter.read()
    counter_file.write_text(str((before + spent) % 1_000_000))
    assert counter.joules(reading, counter.read()) == {"package-0": pytest.approx(spent / 1e6)}


@contextmanager
def ticking(counter_file: Path, wraps_at: int) -> Iterator[list[int]]:
    """Adds 10 mJ every 5 ms, which is 2 W; yields a list that holds the sum."""
    total = [int(counter_file.read_text())]
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(5e-3):
            total[0] += 10_000
            fresh = counter_file.with_suffix(".new")
            fresh.write_text(str(total[0] % wraps_at))
            fresh.replace(counter_file)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield total
    finally:
        ended.set()
        thread.join()


def test_sockets_are_measured_and_memory_stands_apart(sockets: dict[str, Path]) -> None:
    with ticking(sockets["package-0"], 1_000_000):
        workload = Workload(lambda: time.sleep(5e-3), (), 1, "a sleep of 5 ms")
        measurement = measure_energy(
            workload, CPU, "smoke", lambda device: open_meter(device, powercap=sockets["root"])
        )
    assert measurement.value is not None
    assert measurement.instrument == "rapl"
    spent = measurement.detail["joules_by_domain"]
    assert spent["package-0"] > 0
    assert (spent["package-1"], spent["dram-0"], measurement.detail["dram_j"]) == (0, 0, 0)
    assert measurement.value * measurement.detail["items"] == pytest.approx(spent["package-0"])
    assert measurement.detail["scope"] == "whole sockets, the work of others included"


def test_memory_is_no_part_of_the_headline(sockets: dict[str, Path]) -> None:
    meter = EnergyMeter(RaplCounter(sockets["root"]), 1e-3)
    with EnergyWindow(CPU, lambda _: meter) as energy:
        sockets["package-1"].write_text("700100")
        sockets["dram-0"].write_text("90050")
        time.sleep(0.01)
    assert energy.measurement.value == pytest.approx(0.7)
    assert energy.measurement.detail["joules_by_domain"] == pytest.approx(
        {"package-0": 0, "package-1": 0.7, "dram-0": 0.09}
    )


def test_a_counter_that_wraps_many_times_in_a_long_window_is_read_in_between(tmp_path: Path) -> None:
    # Every tenth tick wraps: about every 50 ms.
    counter_file = zone(tmp_path, "intel-rapl:0", "package-0", 0, wraps_at=100_000)
    counter = RaplCounter(tmp_path)
    counter.poll_s = 0.01
    with ticking(counter_file, 100_000) as total:
        first = total[0]
        with EnergyWindow(CPU, lambda _: EnergyMeter(counter, 5e-3)) as energy:
            time.sleep(0.4)
        last = total[0]
    assert last - first > 3 * 100_000
    assert energy.measurement.value == pytest.approx((last - first) / 1e6, abs=0.02 + 1e-9)


def test_a_counter_that_fails_in_between_is_not_measured(tmp_path: Path) -> None:
    counter_file = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    counter = RaplCounter(tmp_path)
    counter.poll_s = 0.01
    with EnergyWindow(CPU, lambda _: EnergyMeter(counter, 1e-3)) as energy:
        away = counter_file.rename(tmp_path / "away")
        time.sleep(0.1)
        away.write_text("700000")
        away.rename(counter_file)
    assert "cannot be read: No such file" in energy.measurement.reason


def test_a_socket_of_one_kilowatt_is_read_before_the_smallest_range_is_used_up() -> None:
    # 65,532 J: 32 bits in units of 2^-16 J, which is as small as ranges come.
    assert RaplCounter.poll_s * 1000 < 2**32 / 2**16


def test_no_zones_name_the_likely_cause_and_the_remedy(tmp_path: Path) -> None:
    reason = open_meter(CPU, powercap=tmp_path / "absent")
    assert isinstance(reason, str)
    assert "virtual machines and most containers hide them; measure on the bare machine" in reason


@pytest.mark.parametrize(("folder", "name"), [("intel-rapl:0", "psys"), ("intel-rapl-mmio:0", "package-0")])
def test_a_sum_or_a_second_view_of_sockets_is_no_meter(tmp_path: Path, folder: str, name: str) -> None:
    zone(tmp_path, folder, name)
    assert "no RAPL package zone" in str(open_meter(CPU, powercap=tmp_path))


def test_a_zone_that_may_not_be_read_names_the_command_that_mends_it(
    sockets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root, whom tests may run as, can read everything: so the system's answer is put in its mouth.
    read_text = Path.read_text

    def denied(path: Path, *args: Any, **options: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", denied)
    reason = open_meter(CPU, powercap=sockets["root"])
    assert f"sudo chmod a+r {sockets['package-0']}" in str(reason)
