"""All costs of a solution, whatever becomes of one of them."""

import subprocess
import sys
import time
from typing import Any

import pytest
import torch
from torch import nn

from bench.contracts import Workload
from bench.errors import TimeLimitExceeded
from bench.measure import UNITS, profile

CPU = torch.device("cpu")


def workload_of(call: Any) -> Workload:
    return Workload(call, (torch.ones(2, 4),), 2, "2 rows")


def test_a_network_has_all_costs() -> None:
    net = nn.Linear(4, 3)
    costs = profile(workload_of(net), net, CPU, "smoke")
    assert list(costs) == list(UNITS)
    assert {name: cost.unit for name, cost in costs.items()} == UNITS
    assert costs["parameters"].value == 4 * 3 + 3
    assert costs["macs"].value == 4 * 3
    assert costs["latency_ms"].value > 0
    assert costs["peak_memory_bytes"].value > 1e6
    assert all(cost.value is not None or cost.reason for cost in costs.values())


def test_a_workload_that_raises_leaves_the_reason_in_place_of_each_figure() -> None:
    def call(_: Any) -> None:
        raise ValueError("no such layer")

    net = nn.Linear(4, 3)
    costs = profile(workload_of(call), net, CPU, "smoke")
    assert list(costs) == list(UNITS)
    assert costs["parameters"].value == 15
    for name in ("macs", "latency_ms", "first_call_ms", "throughput_per_s", "peak_memory_bytes"):
        assert costs[name].reason == "ValueError: no such layer"


def test_a_pass_that_raises_takes_no_other_down() -> None:
    def call(rows: torch.Tensor) -> torch.Tensor:
        # Raises where operators are watched, as one without a rule for that does.
        if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            raise NotImplementedError("cannot be watched")
        return rows

    costs = profile(workload_of(call), call, CPU, "smoke")
    assert costs["macs"].reason == "NotImplementedError: cannot be watched"
    assert costs["latency_ms"].value > 0


def test_the_time_limit_of_a_trial_is_no_matter_of_one_pass() -> None:
    def call(_: Any) -> None:
        raise TimeLimitExceeded("profile used up its time")

    with pytest.raises(TimeLimitExceeded):
        profile(workload_of(call), call, CPU, "smoke")


def test_a_network_is_measured_in_eval_mode_and_gets_its_modes_back() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    net[2].eval()
    modes = []

    def call(rows: torch.Tensor) -> torch.Tensor:
        modes.append([part.training for part in net.modules()])
        return net(rows)

    before = net[2].running_mean.clone()
    profile(workload_of(call), net, CPU, "smoke")
    assert not any(map(any, modes))
    assert [part.training for part in net.modules()] == [True, True, True, False]
    assert torch.equal(net[2].running_mean, before)


def test_a_profile_at_smoke_budget_is_short() -> None:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        profile(workload_of(nn.Identity()), nn.Identity(), CPU, "smoke")
        seconds.append(time.perf_counter() - started)
    # 0.02 s of warm-up, 0.05 s of samples, and some room; the fastest, for a busy machine's sake.
    assert min(seconds) < 0.4


def test_importing_the_package_does_not_import_torch() -> None:
    subprocess.run([sys.executable, "-c", "import bench.measure, sys; assert 'torch' not in sys.modules"], check=True)
