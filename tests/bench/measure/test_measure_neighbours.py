"""A measurement beside strangers is told from a quiet one."""

import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from bench.contracts import Workload
from bench.measure import neighbours, profile
from bench.measure.neighbours import Neighbours, verdict, wait_for_quiet

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("others_s", "elapsed_s", "cores", "contaminated"),
    [
        (0.0, 1.0, 2, False),
        (0.2, 1.0, 2, False),  # a fifth of a core
        (0.5, 1.0, 2, True),  # half a core
        (0.5, 1.0, 64, False),  # half a core of 64
        (7.0, 1.0, 64, True),  # more than a tenth of them
        (0.03, 0.01, 2, False),  # three ticks of the clock are no evidence
    ],
)
def test_what_others_may_use(others_s: float, elapsed_s: float, cores: int, contaminated: bool) -> None:
    assert verdict(others_s, elapsed_s, cores)["contaminated"] is contaminated


def test_a_stranger_that_computes_is_seen_and_flagged() -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        with Neighbours(CPU) as beside:
            time.sleep(0.5)
    finally:
        stranger.kill()
        stranger.wait()
    assert beside.detail["other_cores"] > 0.5
    assert beside.detail["contaminated"]


def test_what_this_process_uses_is_not_taken_for_a_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"busy": 100.0, "own": 10.0, "now": 0.0}
    monkeypatch.setattr(neighbours, "busy_s", lambda: clock["busy"])
    monkeypatch.setattr(neighbours, "own_s", lambda: clock["own"])
    monkeypatch.setattr(neighbours.time, "perf_counter", lambda: clock["now"])
    with Neighbours(CPU) as beside:
        clock.update(busy=103.0, own=13.0, now=3.0)
    assert beside.detail == {"other_cores": 0.0, "contaminated": False}
    with Neighbours(CPU) as beside:
        clock.update(busy=109.0, own=16.0, now=6.0)
    assert beside.detail == {"other_cores": 1.0, "contaminated": True}


def test_waiting_for_quiet_ends_with_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter(range(0, 10_000, 10))
    monkeypatch.setattr(neighbours, "busy_s", lambda: float(next(busy)))
    assert wait_for_quiet(0.3) is False
    monkeypatch.setattr(neighbours, "busy_s", lambda: 0.0)
    assert wait_for_quiet(0.3) is True


def test_times_tell_their_neighbours_and_counts_do_not() -> None:
    net = nn.Linear(4, 2)
    costs = profile(Workload(net, (torch.zeros(1, 4),), 1, "one row"), net, CPU, "smoke")
    for name in ("latency_ms", "first_call_ms", "throughput_per_s"):
        assert {"other_cores", "contaminated"} <= costs[name].detail.keys()
    for name in ("macs", "parameters"):
        assert "contaminated" not in costs[name].detail
