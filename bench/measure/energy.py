"""Energy, from the counters that the hardware has. Where there is none: not measured, with the reason and the remedy.

A counter moves in ticks (100 ms on an H100, about 1 ms on a socket), so a window has to be many ticks long; tick over
window bounds the resolution and is told with every figure. All figures are gross: what the hardware used while the work
ran, idle power included. Nothing is modelled.
"""

import math
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from bench.contracts import Budget, Workload
from bench.measure.counters import Counter, UnreadableError
from bench.measure.device import synchronise
from bench.measure.nvml import NvmlCounter, uuid_of
from bench.measure.rapl import DRAM, POWERCAP, RaplCounter
from bench.record import Measurement, not_measured

UNIT = "J"
TICKS_SEEN = 4
"""Ticks over which the time between two is measured."""
TICK_LIMIT_S = 1.5
FEWEST_TICKS = 3
"""Under so many ticks a reading says nothing: a window of a tenth of one read zero, or seven times too much."""
LONG_S, LONG_TICKS = 3.0, 30
"""A window from which on the reading was within 0.2 % on an H100."""
CALLS_S = 0.2
"""About so many seconds of calls are handed to a GPU before one wait for it."""


@dataclass(frozen=True)
class EnergyRules:
    """Minima of a window, and what is done around it."""

    window_s: float
    ticks: int
    trials: int = 1
    idle_s: float = 0.0
    """Rest before the first trial, in which idle power is read."""
    cooldown_s: float = 0.0
    """Rest between trials: hot silicon leaks more."""


_FULL = EnergyRules(window_s=LONG_S, ticks=LONG_TICKS, trials=3, idle_s=5.0, cooldown_s=5.0)

RULES: dict[Budget, EnergyRules] = {
    "smoke": EnergyRules(window_s=0.3, ticks=FEWEST_TICKS),
    "small": EnergyRules(window_s=LONG_S, ticks=LONG_TICKS),
    "gpu": _FULL,
    "paper": _FULL,
}


@dataclass(frozen=True)
class EnergyMeter:
    """A counter that was seen to move, and the seconds between its ticks."""

    counter: Counter
    tick_s: float


Opener = Callable[[torch.device], EnergyMeter | str]


def open_meter(device: torch.device, powercap: Path = POWERCAP) -> EnergyMeter | str:
    """The meter of a device, or the reason why there is none."""
    try:
        if device.type == "cuda":
            return metered(_nvml_counter(device))
        if device.type == "cpu":
            return metered(RaplCounter(powercap))
    except UnreadableError as error:
        return str(error)
    return f"no energy counter is known for {device.type}"


def _nvml_counter(device: torch.device) -> NvmlCounter:
    import pynvml

    return NvmlCounter(pynvml, uuid_of(device))


def metered(counter: Counter) -> EnergyMeter:
    """Watches a counter tick. Raises `UnreadableError` if it stands still."""
    started = time.perf_counter()
    last, changes = counter.read(), list[float]()
    while len(changes) <= TICKS_SEEN:
        now = time.perf_counter()
        if now - started > TICK_LIMIT_S:
            raise UnreadableError(f"the counter moved {len(changes)} times in {TICK_LIMIT_S} s, too seldom to be used")
        reading = counter.read()
        if reading != last:
            changes.append(now)
            last = reading
    return EnergyMeter(counter, (changes[-1] - changes[0]) / TICKS_SEEN)


class Span:
    """What a counter counted inside a `with`: `joules` by domain, and `seconds`. Both ends raise `UnreadableError`."""

    def __init__(self, counter: Counter, device: torch.device) -> None:
        self.joules: dict[str, float] = {}
        self.seconds = 0.0
        self.states: list[dict[str, Any]] = []
        self._counter = counter
        self._device = device
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read_in_time, daemon=True)
        self._problem: UnreadableError | None = None

    def __enter__(self) -> Self:
        self._counter.check_alone()
        self.states.append(self._counter.state())
        synchronise(self._device)
        self._last = self._counter.read()
        self._started = time.perf_counter()
        if math.isfinite(self._counter.poll_s):
            self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._reader.ident is not None:
            self._reader.join()
        if error is not None:
            return
        synchronise(self._device)
        self._advance()
        self.seconds = time.perf_counter() - self._started
        self.states.append(self._counter.state())
        if self._problem:
            raise self._problem
        self._counter.check_alone()

    def _read_in_time(self) -> None:
        while not self._ended.wait(self._counter.poll_s):
            try:
                self._advance()
            except UnreadableError as problem:
                self._problem = problem
                return

    def _advance(self) -> None:
        reading = self._counter.read()
        for domain, joules in self._counter.joules(self._last, reading).items():
            self.joules[domain] = self.joules.get(domain, 0.0) + joules
        self._last = reading

    @property
    def gross_j(self) -> float:
        """All domains but memory, which stands apart."""
        return sum(joules for domain, joules in self.joules.items() if not domain.startswith(DRAM))


def check_window(span: Span, tick_s: float) -> None:
    """Raises `UnreadableError` for a window in which the counter says nothing."""
    if span.seconds < FEWEST_TICKS * tick_s:
        raise UnreadableError(
            f"the work took {span.seconds:.3g} s, too short for a counter that moves every {tick_s:.3g} s; "
            f"{FEWEST_TICKS} ticks are the least"
        )
    if span.gross_j <= 0:
        raise UnreadableError(f"the counter did not advance in {span.seconds:.3g} s")


def window_detail(span: Span, meter: EnergyMeter) -> dict[str, Any]:
    """Power, length and resolution of a window."""
    long_enough = span.seconds >= LONG_S and span.seconds >= LONG_TICKS * meter.tick_s
    return {
        "mean_power_w": span.gross_j / span.seconds,
        "window_s": span.seconds,
        "tick_s": meter.tick_s,
        "ticks": int(span.seconds / meter.tick_s),
        "resolution": meter.tick_s / span.seconds,
        "joules_by_domain": span.joules,
        "scope": meter.counter.scope,
        "state_before": span.states[0],
        "state_after": span.states[-1],
        "short_window": not long_enough,
    }


class EnergyWindow:
    """The energy of what runs inside a `with`, as `measurement` after the exit. Lack of a meter never raises."""

    def __init__(self, device: torch.device, opener: Opener = open_meter) -> None:
        self.measurement = not_measured(UNIT, "the work did not end")
        self._device = device
        self._opener = opener
        self._span: Span | None = None

    def __enter__(self) -> Self:
        meter = self._opener(self._device)
        if isinstance(meter, str):
            self.measurement = not_measured(UNIT, meter)
            return self
        self._meter = meter
        span = Span(meter.counter, self._device)
        try:
            self._span = span.__enter__()
        except UnreadableError as problem:
            self.measurement = not_measured(UNIT, str(problem))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._span is None:
            return
        try:
            self._span.__exit__(kind, error, trace)
            if error is None:
                check_window(self._span, self._meter.tick_s)
                self.measurement = Measurement(
                    value=self._span.gross_j,
                    unit=UNIT,
                    instrument=self._meter.counter.instrument,
                    detail=window_detail(self._span, self._meter),
                )
        except UnreadableError as problem:
            self.measurement = not_measured(UNIT, str(problem))


def measure_energy(
    workload: Workload, device: torch.device, budget: Budget, opener: Opener = open_meter
) -> Measurement:
    """Joules of one item: the median of the trials, each a window filled with calls."""
    meter = opener(device)
    if isinstance(meter, str):
        return not_measured(UNIT, meter)
    try:
        with torch.no_grad():
            return _measure(workload, device, meter, RULES[budget])
    except UnreadableError as problem:
        return not_measured(UNIT, str(problem))


@dataclass(frozen=True)
class _Trial:
    span: Span
    items: int

    @property
    def item_j(self) -> float:
        return self.span.gross_j / self.items


def _measure(workload: Workload, device: torch.device, meter: EnergyMeter, rules: EnergyRules) -> Measurement:
    call = partial(workload.call, *workload.inputs)
    call()  # the first call's costs are not the work's
    synchronise(device)
    started = time.perf_counter()
    call()
    synchronise(device)
    calls_a_wait = max(1, int(CALLS_S / (time.perf_counter() - started)))

    idle_w = None
    if rules.idle_s:
        with Span(meter.counter, device) as idle:
            time.sleep(rules.idle_s)
        idle_w = idle.gross_j / idle.seconds
    trials = []
    for number in range(rules.trials):
        if number:
            time.sleep(rules.cooldown_s)
        trials.append(_fill_window(call, calls_a_wait, workload.items, device, meter, rules))
    shown = sorted(trials, key=lambda trial: trial.item_j)[len(trials) // 2]
    detail = window_detail(shown.span, meter) | _per_item(shown, trials, idle_w)
    return Measurement(
        value=statistics.median(trial.item_j for trial in trials),
        unit=UNIT,
        instrument=meter.counter.instrument,
        detail=detail,
    )


def _fill_window(
    call: Callable[[], Any],
    calls_a_wait: int,
    items: int,
    device: torch.device,
    meter: EnergyMeter,
    rules: EnergyRules,
) -> _Trial:
    least_s = max(rules.window_s, rules.ticks * meter.tick_s)
    calls = 0
    with Span(meter.counter, device) as span:
        started = time.perf_counter()
        while time.perf_counter() - started < least_s:
            for _ in range(calls_a_wait):
                call()
            synchronise(device)
            calls += calls_a_wait
    check_window(span, meter.tick_s)
    return _Trial(span, calls * items)


def _per_item(shown: _Trial, trials: list[_Trial], idle_w: float | None) -> dict[str, Any]:
    detail: dict[str, Any] = {"items": shown.items, "trials_j": [trial.item_j for trial in trials]}
    dram = [joules for domain, joules in shown.span.joules.items() if domain.startswith(DRAM)]
    if dram:
        detail["dram_j"] = sum(dram) / shown.items
    if idle_w is not None:
        detail["idle_power_w"] = idle_w
        detail["above_idle_j"] = shown.item_j - idle_w * shown.span.seconds / shown.items
    return detail
