"""Latency of calls whose length is known."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, repeat
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import Workload
from bench.measure.latency import (
    RULES,
    SAMPLES_KEPT,
    LatencyRules,
    measure_latency,
    publishable,
    settled,
    summary,
    take_samples,
    warm_up,
)

CPU = torch.device("cpu")
BRIEF = LatencyRules(
    warmup_calls=1, warmup_s=0.0, warmup_limit_s=0.2, settle=False, samples=5, seconds=0.0, limit_s=0.5
)


def sleeping(seconds: float, items: int = 1) -> Workload:
    return Workload(lambda: time.sleep(seconds), (), items, "a sleep")


class ScriptedClock:
    """Reads the durations that it is told to."""

    instrument = "script"

    def __init__(self, durations_ms: Iterator[float]) -> None:
        self._durations_ms = durations_ms

    def sample(self, call: Any, calls: int) -> list[float]:
        return [next(self._durations_ms) for _ in range(calls)]

    def host_detail(self, call: Any, /) -> dict[str, Any]:
        return {}


def idle() -> None:
    """A call for clocks that do not look at it."""


def test_a_sleep_of_two_milliseconds_takes_two_milliseconds() -> None:
    costs = measure_latency(sleeping(2e-3), CPU, RULES["smoke"])
    latency = costs["latency_ms"]
    assert latency.value is not None
    assert 2 <= latency.value < 4
    assert (latency.unit, latency.instrument) == ("ms", "perf_counter_ns")
    assert latency.detail["n"] >= 20
    assert latency.detail["threads"] == torch.get_num_threads()
    assert latency.detail["warmup_calls"] >= 3


def test_throughput_counts_the_items_of_a_call() -> None:
    throughput = measure_latency(sleeping(2e-3, items=10), CPU, BRIEF)["throughput_per_s"]
    assert throughput.value is not None
    assert 10 / 8e-3 < throughput.value <= 10 / 2e-3


def test_the_first_call_stands_alone() -> None:
    durations_s = iter([0.04])
    workload = Workload(lambda: time.sleep(next(durations_s, 0.0)), (), 1, "a slow start")
    costs = measure_latency(workload, CPU, BRIEF)
    assert costs["first_call_ms"].value >= 40
    assert costs["latency_ms"].value < 10


def test_a_call_is_made_without_a_graph_and_with_the_inputs() -> None:
    seen = []
    weight = torch.ones(1, requires_grad=True)
    workload = Workload(lambda number: seen.append(weight * number), (torch.tensor(3.0),), 1, "a product")
    measure_latency(workload, CPU, BRIEF)
    assert seen[0].item() == 3
    assert not any(product.requires_grad for product in seen)


@pytest.mark.parametrize(("percent", "fewest"), [(50, 20), (90, 100), (95, 200), (99, 1000), (5, 200)])
def test_a_percentile_needs_ten_samples_beyond_it(percent: int, fewest: int) -> None:
    assert publishable(percent, fewest)
    assert not publishable(percent, fewest - 1)


def test_percentiles_are_told_from_200_samples_on() -> None:
    # Of 0 .. 200, in any order, the share p lies below 200 p.
    enough = summary(np.arange(200.0, -1.0, -1.0))
    assert (enough["p5_ms"], enough["p95_ms"], enough["iqr_ms"]) == (10, 190, 100)
    too_few = summary(np.arange(199.0))
    assert {"p5_ms", "p95_ms"}.isdisjoint(too_few)
    assert too_few["iqr_ms"] == 99


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=500))
def test_samples_are_kept_in_order_rounded_and_at_most_200(samples: list[float]) -> None:
    detail = summary(np.array(samples))
    kept = detail["samples_ms"]
    assert detail["n"] == len(samples)
    assert len(kept) == min(len(samples), SAMPLES_KEPT)
    assert kept[0] == pytest.approx(samples[0], rel=5e-4)
    assert kept[-1] == pytest.approx(samples[-1], rel=5e-4)
    if len(samples) <= SAMPLES_KEPT:
        assert kept == pytest.approx(samples, rel=5e-4)


def test_samples_have_four_significant_digits() -> None:
    assert summary(np.array([0.123456, 1234.56]))["samples_ms"] == [0.1235, 1235]


SETTLING = replace(BRIEF, warmup_calls=10, warmup_limit_s=60.0, settle=True, settle_calls=40)


def test_steady_calls_end_the_warm_up_after_two_blocks() -> None:
    assert warm_up(ScriptedClock(repeat(1.0)), idle, SETTLING) == (20, True)


def test_calls_that_slow_down_for_ever_are_unstable() -> None:
    # 5 % more with each call: the medians of two blocks of ten differ by 63 %.
    assert warm_up(ScriptedClock(1.05**number for number in count()), idle, SETTLING) == (10 + 40, False)


def test_calls_that_settle_late_are_waited_for() -> None:
    # Medians of the blocks of ten: 5.5, 15.5, 1, 1.
    late = iter([float(number) for number in range(1, 21)] + [1.0] * 20)
    assert warm_up(ScriptedClock(late), idle, SETTLING) == (40, True)


@pytest.mark.parametrize(("later", "expected"), [(1.0199, True), (1.0201, False), (0.981, True), (0.980, False)])
def test_two_per_cent_is_where_agreement_ends(later: float, expected: bool) -> None:
    assert settled([1.0] * 10 + [later] * 10, 0.02) is expected


def test_a_warm_up_that_reaches_its_limit_is_flagged() -> None:
    rules = replace(BRIEF, warmup_calls=1000, warmup_limit_s=0.02)
    latency = measure_latency(sleeping(5e-3), CPU, rules)["latency_ms"]
    assert latency.detail["unstable"]
    assert latency.detail["warmup_calls"] <= 4


def test_a_warm_up_that_is_met_is_not_flagged() -> None:
    detail = measure_latency(sleeping(1e-3), CPU, BRIEF)["latency_ms"].detail
    assert (detail["unstable"], detail["few_samples"]) == (False, False)


def test_a_slow_call_ends_at_the_limit_with_few_samples() -> None:
    rules = replace(BRIEF, samples=100, limit_s=0.1)
    latency = measure_latency(sleeping(0.03), CPU, rules)["latency_ms"]
    assert 2 <= latency.detail["n"] <= 5
    assert latency.detail["few_samples"]


def test_measuring_lasts_until_both_minima_are_reached() -> None:
    samples, elapsed_s = take_samples(ScriptedClock(repeat(1.0)), idle, replace(BRIEF, seconds=0.05))
    assert elapsed_s >= 0.05
    assert len(samples) >= 5
    samples, elapsed_s = take_samples(ScriptedClock(repeat(1.0)), idle, replace(BRIEF, samples=2000))
    assert len(samples) >= 2000


def test_enough_samples_end_measuring_before_its_time() -> None:
    rules = replace(BRIEF, seconds=0.4, enough_samples=200)
    samples, elapsed_s = take_samples(ScriptedClock(repeat(1.0)), idle, rules)
    assert len(samples) == 200
    assert elapsed_s < 0.4
