"""Latency of a call and throughput in items, after warm-up, with the samples that they come from.

Each call is timed on its own: with `perf_counter_ns` on a CPU, with a pair of events on the current stream of a GPU.
Inputs are on the device before the clock starts. Caches are not flushed between calls.
"""

import statistics
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from bench.contracts import Budget, Workload
from bench.measure.device import synchronise
from bench.record import Measurement

SAMPLES_KEPT = 200
"""Of the samples, so many go into the record, picked evenly over the time of measuring."""

BLOCK = 10
"""Calls whose medians are compared to see whether a warm-up has settled."""

CALLS_PER_WAIT = 500
"""Calls handed to a GPU before one wait for it: each keeps two events alive."""

HOST_SAMPLES = 20
"""Calls timed by the host, each with a wait, to tell whether the GPU or the host sets the pace."""

LAUNCH_BOUND = 0.8
"""From this share of a call's time spent on handing it over, the figure says more about the host than about the GPU."""


@dataclass(frozen=True)
class LatencyRules:
    """How long to warm up, and how much to measure."""

    warmup_calls: int
    warmup_s: float
    """Both are minima."""
    warmup_limit_s: float
    """Warm-up ends by then, whatever it has reached."""
    settle: bool
    """Whether warm-up goes on until the medians of two successive blocks agree."""
    samples: int
    seconds: float
    """Both are minima, unless `enough_samples` were taken."""
    limit_s: float
    enough_samples: int = sys.maxsize
    settle_calls: int = 200
    """Calls beyond the minima after which waiting for agreement ends."""
    agreement: float = 0.02
    """Relative difference of two medians that counts as none."""


_FULL = LatencyRules(
    warmup_calls=10, warmup_s=1.0, warmup_limit_s=30.0, settle=True, samples=100, seconds=3.0, limit_s=60.0
)

RULES: dict[Budget, LatencyRules] = {
    "smoke": LatencyRules(
        warmup_calls=3, warmup_s=0.02, warmup_limit_s=0.5, settle=False, samples=20, seconds=0.05, limit_s=1.0
    ),
    "small": LatencyRules(
        warmup_calls=10,
        warmup_s=0.2,
        warmup_limit_s=3.0,
        settle=True,
        samples=30,
        seconds=2.0,
        limit_s=10.0,
        enough_samples=200,
    ),
    "gpu": _FULL,
    "paper": _FULL,
}

Call = Callable[[], Any]


class Clock(Protocol):
    """Times calls on one kind of device."""

    instrument: str

    def sample(self, call: Call, calls: int) -> list[float]:
        """Milliseconds of each of so many calls."""

    def host_detail(self, call: Call, /) -> dict[str, Any]:
        """What the host's clock adds."""


class HostClock:
    instrument = "perf_counter_ns"

    def sample(self, call: Call, calls: int) -> list[float]:
        samples = []
        for _ in range(calls):
            started = time.perf_counter_ns()
            call()
            samples.append((time.perf_counter_ns() - started) / 1e6)
        return samples

    def host_detail(self, _call: Call) -> dict[str, Any]:
        return {}


class CudaClock:
    instrument = "cuda-events"

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def sample(self, call: Call, calls: int) -> list[float]:
        samples: list[float] = []
        while len(samples) < calls:
            pairs = []
            for _ in range(min(CALLS_PER_WAIT, calls - len(samples))):
                pair = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                pair[0].record()
                call()
                pair[1].record()
                pairs.append(pair)
            synchronise(self._device)
            samples += [start.elapsed_time(end) for start, end in pairs]
        return samples

    def host_detail(self, call: Call) -> dict[str, Any]:
        """A GPU that idles between kernels shows in no pair of events; the time of handing a call over shows it."""
        issued, done = [], []
        for _ in range(HOST_SAMPLES):
            synchronise(self._device)
            started = time.perf_counter_ns()
            call()
            issued.append((time.perf_counter_ns() - started) / 1e6)
            synchronise(self._device)
            done.append((time.perf_counter_ns() - started) / 1e6)
        issue_ms, host_ms = statistics.median(issued), statistics.median(done)
        return {"host_ms": host_ms, "issue_ms": issue_ms, "launch_bound": issue_ms >= LAUNCH_BOUND * host_ms}


def measure_latency(workload: Workload, device: torch.device, rules: LatencyRules) -> dict[str, Measurement]:
    """`latency_ms` and `first_call_ms` of a call, and `throughput_per_s` in items.

    `first_call_ms` is the first call in this function, so a first one in the process only if none came before.
    """
    clock: Clock = CudaClock(device) if device.type == "cuda" else HostClock()

    def call() -> None:
        workload.call(*workload.inputs)

    with torch.no_grad():
        synchronise(device)
        started = time.perf_counter_ns()
        call()
        synchronise(device)
        first_ms = (time.perf_counter_ns() - started) / 1e6
        warmup_calls, settled = warm_up(clock, call, rules)
        samples, elapsed_s = take_samples(clock, call, rules)
        host_detail = clock.host_detail(call)

    flags = {"unstable": not settled, "few_samples": len(samples) < rules.samples}
    detail = summary(samples) | host_detail | flags
    detail |= {"warmup_calls": warmup_calls, "threads": torch.get_num_threads()}
    throughput = len(samples) * workload.items / elapsed_s
    return {
        "latency_ms": Measurement(
            value=float(np.median(samples)), unit="ms", instrument=clock.instrument, detail=detail
        ),
        "first_call_ms": Measurement(value=first_ms, unit="ms", instrument="perf_counter_ns"),
        "throughput_per_s": Measurement(
            value=throughput,
            unit="item/s",
            instrument="perf_counter_ns",
            detail={"calls": len(samples), "items": workload.items, "window_s": elapsed_s} | flags,
        ),
    }


def warm_up(clock: Clock, call: Call, rules: LatencyRules) -> tuple[int, bool]:
    """Calls until the rules are met. Returns the number of calls, and whether they were met before the limits."""
    started = time.perf_counter()
    recent: deque[float] = deque(maxlen=2 * BLOCK)
    calls = calls_beyond = 0
    while (elapsed_s := time.perf_counter() - started) < rules.warmup_limit_s and calls_beyond < rules.settle_calls:
        if calls >= rules.warmup_calls and elapsed_s >= rules.warmup_s:
            if not rules.settle or (calls_beyond % BLOCK == 0 and settled(list(recent), rules.agreement)):
                return calls, True
            calls_beyond += 1
        recent += clock.sample(call, 1)
        calls += 1
    return calls, False


def settled(recent: Sequence[float], tolerance: float) -> bool:
    """Whether the medians of the last two blocks differ by at most `tolerance` of the smaller one."""
    if len(recent) < 2 * BLOCK:
        return False
    earlier, later = statistics.median(recent[:BLOCK]), statistics.median(recent[BLOCK:])
    return abs(earlier - later) <= tolerance * min(earlier, later)


def take_samples(clock: Clock, call: Call, rules: LatencyRules) -> tuple[np.ndarray, float]:
    """Milliseconds of each call, and the seconds that they took together."""
    samples = array("d")
    started = time.perf_counter()
    elapsed_s, block = 0.0, 1
    while elapsed_s < rules.limit_s and len(samples) < rules.enough_samples:
        if len(samples) >= rules.samples and elapsed_s >= rules.seconds:
            break
        samples.extend(clock.sample(call, block))
        elapsed_s = time.perf_counter() - started
        # About 20 ms of calls at a time: few waits, and the limits are kept.
        block = max(1, min(int(0.02 * len(samples) / elapsed_s), rules.enough_samples - len(samples)))
    return np.asarray(samples), elapsed_s


def publishable(percent: int, samples: int) -> bool:
    """Whether a percentile may be told: ten samples have to lie beyond it."""
    return samples * min(percent, 100 - percent) >= 10 * 100


def summary(samples: np.ndarray) -> dict[str, Any]:
    """Spread of the samples in milliseconds: percentiles that have enough samples, and the samples themselves."""
    detail: dict[str, Any] = {"n": len(samples)}
    if len(samples) > 1:
        low, high = np.percentile(samples, [25, 75])
        detail["iqr_ms"] = float(high - low)
    for percent in (5, 95):
        if publishable(percent, len(samples)):
            detail[f"p{percent}_ms"] = float(np.percentile(samples, percent))
    picked = np.linspace(0, len(samples) - 1, min(len(samples), SAMPLES_KEPT)).round().astype(int)
    detail["samples_ms"] = [float(f"{samples[index]:.4g}") for index in picked]
    return detail
