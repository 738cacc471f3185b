"""What the harness hands to `fit`: device, randomness, steps that resume, logging, artefacts, and a meter of the cost.

The harness never calls into the middle of a method: it hands out iterators and functions, and the method keeps its
`for`.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from bench.contracts import Budget
from bench.errors import Diverged, TimeLimitExceeded
from bench.keys import canonical
from bench.measure.macs import MacsCounter
from bench.record import CURVE_POINTS, Curve, Measurement, finite_or_none, not_measured
from bench.seeds import derive_seed

END_WORTH_SAVING_S = 5.0
"""The end of a phase is saved if more than this much work would be lost without it."""

MANY_STEPS = 200
"""From here on two steps of a phase are counted, below it one."""

FLUSH = 64
"""Logged values wait on the device and are fetched this many at a time."""


@runtime_checkable
class Stateful(Protocol):
    """What may stand in `state`: modules, optimisers, schedulers, `Batches`, `Memory`."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Run:
    """One call of `fit`.

    `generator` is a CPU generator of the run's own; draws on another device start from a tensor drawn here.

    With a `fraction` below 1 each phase ends after that share of its steps, rounded up: a shorter fit with a solution
    of its own. A longer fit with the same checkpoints goes on from it, and ends as if there had been no shorter one.
    """

    def __init__(
        self,
        *,
        seed: int,
        budget: Budget = "smoke",
        device: str = "cpu",
        checkpoints: Path | None = None,
        save_every_s: float = 60.0,
        time_limit_s: float | None = None,
        fraction: float = 1.0,
        on_step: Callable[[str, int], None] | None = None,
    ) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction must be above 0 and at most 1, got {fraction}")
        self.seed = seed
        self.budget = budget
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(derive_seed(seed, "run"))
        self.artefacts: dict[str, Any] = {}
        self.resumed = False
        """Whether a checkpoint was used: times then cover the last leg only."""
        self._checkpoints = checkpoints
        self._save_every_s = save_every_s
        self._deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
        self._fraction = fraction
        self._on_step = on_step
        self._phase: str | None = None
        self._phases: list[str] = []
        self._stopping = False
        self._streams = 0
        self._pending: list[tuple[str, int, torch.Tensor]] = []
        self._curves: dict[str, tuple[list[int], list[float]]] = {}
        self._macs: dict[str, dict[str, Any]] = {}
        self._saved_at = time.monotonic()

    def steps(self, number: int, state: Mapping[str, Any], name: str = "fit") -> Iterator[int]:
        """Yields 0 .. number-1, resuming after the last saved step; `state` is saved by the clock, after whole steps.

        Each phase has its own name. A finished phase yields nothing and restores its end. Not to be nested.
        """
        if self._phase is not None:
            raise RuntimeError(f"run.steps({name!r}) inside run.steps({self._phase!r}); only the outermost loop counts")
        if name in self._phases:
            raise RuntimeError(f"two phases are called {name!r}; give each run.steps a name of its own")
        for key, value in state.items():
            if not isinstance(value, Stateful):
                raise TypeError(
                    f"state[{key!r}] has no state_dict and load_state_dict; wrap it in bench.training.Memory"
                )
        self._phase, self._stopping = name, False
        self._phases.append(name)
        try:
            done, finished = self._restore(name, state)
            meter = self._macs.setdefault(name, {"macs": 0, "sampled": 0, "steps": 0, "uncounted": {}})
            last = math.ceil(self._fraction * number)
            # Steps of one phase cost much the same; one or two of them, measured, stand for all. Counting slows a step.
            sampled = {0, last // 2} if last >= MANY_STEPS else {last // 2}
            while done < last and not finished:
                self._check_time()
                if done in sampled:
                    with MacsCounter() as counter:
                        yield done
                    meter["macs"] += counter.macs
                    meter["sampled"] += 1
                    meter["uncounted"] |= counter.uncounted
                else:
                    yield done
                done += 1
                meter["steps"] = done
                finished = self._stopping
                ends = finished or done == number
                wait = min(self._save_every_s, END_WORTH_SAVING_S) if ends else self._save_every_s
                if self._fraction < 1 and (ends or done == last):
                    wait = 0.0
                if self._keeps and time.monotonic() - self._saved_at >= wait:
                    self._save(name, state, done, ends)
                if self._on_step:
                    self._on_step(name, done)
            self._flush()
        finally:
            self._phase = None

    def stop(self) -> None:
        """Ends the phase after this step. A `break` would leave it unfinished."""
        self._stopping = True

    def log(self, step: int, **values: torch.Tensor | float) -> None:
        """Keeps scalars as curves. Waits for the device rarely; raises `Diverged` for a value that is not finite.

        A phase other than `fit` has curves of its own, `search/loss`. Phases with a slash in their names are parts of
        one series, `layer-3/stage-1`: their curves are joined, along the steps of the whole run. Curves of one quantity
        for each of several things, `rate[stem]` and `rate[head]`, are drawn as one figure.
        """
        phase = self._phase or "fit"
        series = "/" in phase
        prefix = "" if series or phase == "fit" else f"{phase}/"
        first = sum(meter["steps"] for name, meter in self._macs.items() if name != phase) if series else 0
        for name, value in values.items():
            scalar = torch.as_tensor(value).detach().reshape(())
            self._pending.append((prefix + name, first + step, scalar))
        if len(self._pending) >= FLUSH:
            self._flush()

    def artefact(self, name: str, value: Any) -> None:
        """Keeps something small beside the metrics: a genotype, a latency table. `ValueError` for what is no JSON."""
        try:
            canonical(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"artefact {name} cannot be kept as JSON: {error}") from error
        self.artefacts[name] = value

    def stream(self) -> int:
        """A seed for the next source of batches; depends on the run's seed and the order of creation alone."""
        self._streams += 1
        return derive_seed(self.seed, "stream", self._streams)

    # What the harness reads afterwards ------------------------------------------------------------------------------

    def curves(self) -> dict[str, Curve]:
        """The logged curves, averaged down to `CURVE_POINTS`."""
        self._flush()
        curves = {}
        for name, (steps, values) in self._curves.items():
            width = -(-len(steps) // CURVE_POINTS)
            bins = [slice(start, start + width) for start in range(0, len(steps), width)]
            means = [sum(values[part]) / len(values[part]) for part in bins]
            curves[name] = Curve(
                x=[steps[part][-1] for part in bins],
                y=[finite_or_none(mean) for mean in means],
                x_name="step",
                origin="fit",
            )
        return curves

    def fit_macs(self) -> Measurement:
        """Multiply-adds of all steps of all phases: those of sampled steps, times the number of steps."""
        if not any(meter["sampled"] for meter in self._macs.values()):
            return not_measured("MAC", "fit made no steps under run.steps")
        total = sum(m["macs"] / m["sampled"] * m["steps"] for m in self._macs.values() if m["sampled"])
        uncounted: dict[str, int] = {}
        for meter in self._macs.values():
            uncounted |= meter["uncounted"]
        detail = {
            "phases": {
                name: {
                    "sampled_steps": m["sampled"],
                    "steps": m["steps"],
                    "macs": m["macs"] / m["sampled"] * m["steps"] if m["sampled"] else None,
                }
                for name, m in self._macs.items()
            },
            "uncounted": uncounted,
        }
        return Measurement(
            value=total, unit="MAC", instrument="formulas of FlopCounterMode on sampled steps", detail=detail
        )

    # Inside -----------------------------------------------------------------------------------------------------------

    def _check_time(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise TimeLimitExceeded("fit used up its time")

    def _flush(self) -> None:
        if not self._pending:
            return
        values = torch.stack([value.to(torch.float64) for _, _, value in self._pending]).tolist()
        for (name, step, _), value in zip(self._pending, values, strict=True):
            if finite_or_none(value) is None:
                self._pending.clear()
                raise Diverged(f"{name} is {value} at step {step}")
            steps, curve = self._curves.setdefault(name, ([], []))
            steps.append(step)
            curve.append(value)
        self._pending.clear()

    @property
    def _keeps(self) -> bool:
        """Whether this phase has a checkpoint: what follows on a shortened phase starts anew in a longer fit."""
        return self._checkpoints is not None and (self._fraction == 1 or len(self._phases) == 1)

    def _file(self, name: str) -> Path:
        assert self._checkpoints is not None
        return self._checkpoints / f"{name.replace('/', '--')}.pt"

    def _save(self, name: str, state: Mapping[str, Any], step: int, finished: bool) -> None:
        self._flush()
        bundle = {
            "step": step,
            "finished": finished,
            "state": {key: value.state_dict() for key, value in state.items()},
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "curves": {key: [list(steps), list(values)] for key, (steps, values) in self._curves.items()},
            "macs": self._macs[name],
            "artefacts": self.artefacts,
        }
        path = self._file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        torch.save(bundle, temporary)
        temporary.replace(path)
        self._saved_at = time.monotonic()

    def _restore(self, name: str, state: Mapping[str, Any]) -> tuple[int, bool]:
        """The number of steps done, and whether the phase is at its end."""
        if not self._keeps or not self._file(name).exists():
            return 0, False
        bundle = torch.load(self._file(name), map_location=self.device, weights_only=True)
        self.resumed = True
        for key, value in state.items():
            value.load_state_dict(bundle["state"][key])
        self.generator.set_state(bundle["generator"].cpu())
        torch.set_rng_state(bundle["torch"].cpu())
        if bundle["cuda"]:
            torch.cuda.set_rng_state_all([rng.cpu() for rng in bundle["cuda"]])
        self._curves = {key: (list(steps), list(values)) for key, (steps, values) in bundle["curves"].items()}
        self._macs[name] = bundle["macs"]
        self.artefacts = bundle["artefacts"]
        return bundle["step"], bundle["finished"]
