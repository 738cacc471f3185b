"""Rules on what `fit` does and gives."""

import math
import random
import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from bench.conformance.rules import Broken, NotApplicable, rule, told
from bench.conformance.subject import SEEDS, Attempt, Killed, Subject
from bench.conformance.watch import Observation, copied, equal, tensors
from bench.contracts import Workload
from bench.measure.mode import evaluating
from bench.slate import clean_slate

KILLS = 4
"""After the first step, after the last, and at random between."""


@rule(
    "same-problem",
    "the same seed gives the same problem",
    cause="a draw without a generator, or data in an order that changes",
    needs=("constructs",),
)
def same_problem(subject: Subject) -> str:
    once, again = (_parts(*subject.load(SEEDS[0])) for _ in range(2))
    differing = [name for (name, left), (_, right) in zip(once, again, strict=True) if not equal(left, right)]
    if differing:
        raise Broken(f"loaded twice with seed {SEEDS[0]}, {', '.join(differing)} differ")
    return f"{subject.dataset}: {len(once)} tensors, equal to the bit when loaded twice"


def _parts(problem: Any, held_out: Any) -> list[tuple[str, Any]]:
    return [*tensors(problem, "problem"), *tensors(held_out, "held_out")]


@rule(
    "loads",
    "the task's default data set loads",
    cause="the task, not the method: `allwin check TASK`",
    needs=("presets",),
)
def loads(subject: Subject) -> str:
    problem, _ = subject.loaded(SEEDS[0])
    return f"{subject.dataset}: a {type(problem).__name__}"


@rule(
    "no-network",
    "fit reaches for no network",
    cause="a download: a data set or weights must be there before fit",
    needs=("loads",),
)
def no_network(subject: Subject) -> str:
    seen = _seen(subject)
    if seen.connections:
        raise Broken(f"fit wanted to reach {', '.join(dict.fromkeys(seen.connections))}")
    return "no connection was tried"


@rule(
    "fits",
    "it fits the task's default data set at smoke budget",
    cause="see the traceback of `allwin run` with `--engine inline`",
    needs=("no-network",),
)
def fits(subject: Subject) -> str:
    error = subject.first.error
    if error is not None:
        raise Broken(told(error))
    return f"{subject.dataset}: {len(subject.first.steps)} steps in {subject.first.seconds:.1f} s"


@rule(
    "writes",
    "fit writes nothing outside its folder, and stays where it is",
    cause="keep what must last in `state` or `run.artefact`",
    needs=("loads",),
)
def writes(subject: Subject) -> str:
    seen = _seen(subject)
    if seen.writes:
        raise Broken(f"outside its folder: {', '.join(seen.writes)}")
    return "nothing was left behind"


@rule(
    "random-state",
    "fit leaves the global random generators alone",
    cause="draw from `run.generator`: a checkpoint does not hold those, and a seed set inside a method repeats itself",
    needs=("fits",),
)
def random_state(subject: Subject) -> str:
    seen = _seen(subject)
    if seen.random:
        raise Broken("; ".join(seen.random))
    if seen.drew:
        return "drew from torch's global generator, which the harness seeds and saves"
    return "none was touched"


@rule(
    "global-flags",
    "fit leaves the process's switches as it found them",
    cause="pass dtype, device and grad mode where they are needed, or use torch's context managers",
    needs=("fits",),
)
def global_flags(subject: Subject) -> str:
    seen = _seen(subject)
    if seen.flags:
        raise Broken("; ".join(seen.flags))
    return "default dtype, grad mode, threads, flags and environment are as before"


@rule(
    "problem-untouched",
    "fit does not change the problem's tensors",
    cause="an operation in place (`sub_`, `[...] =`) on the problem's own data; work on a copy",
    needs=("fits",),
)
def problem_untouched(subject: Subject) -> str:
    if subject.first.touched:
        raise Broken(f"changed: {', '.join(subject.first.touched)}")
    return f"{sum(1 for _ in tensors(subject.loaded(SEEDS[0])[0]))} tensors are as before"


def _seen(subject: Subject) -> Observation:
    assert subject.first.seen is not None
    return subject.first.seen


# What it gives --------------------------------------------------------------------------------------------------------


@rule(
    "protocol",
    "the solution is what the task asks for",
    cause="what `fit` returns: see the task's protocol with `allwin show TASK`",
    needs=("fits",),
)
def protocol(subject: Subject) -> str:
    if subject.first.solution is None:
        raise Broken("fit returned None", "a missing `return` at the end of fit")
    with clean_slate(0, 1):
        subject.task.check(subject.first.solution, subject.loaded(SEEDS[0])[0])
    return f"{type(subject.first.solution).__name__} passes {subject.entry.task}'s check"


@rule(
    "metrics",
    "its metrics are complete, finite and inside their ranges",
    cause="a diverged fit, or outputs that are no numbers",
    needs=("protocol",),
)
def metrics(subject: Subject) -> str:
    wanted = subject.task_entry.metrics_on(subject.dataset)
    for metric in wanted:
        if metric.name not in subject.metrics:
            if metric.partial:
                continue
            raise Broken(f"there is no {metric.name}", "the task's evaluate leaves it out")
        value = subject.metrics[metric.name]
        low = -math.inf if metric.low is None else metric.low
        high = math.inf if metric.high is None else metric.high
        if not (math.isfinite(value) and low <= value <= high):
            raise Broken(f"{metric.name} is {value}, not a number from {low} to {high}")
    measured = [metric for metric in wanted if metric.name in subject.metrics]
    return ", ".join(f"{metric.name} {subject.metrics[metric.name]:.4g} {metric.unit}".rstrip() for metric in measured)


@rule(
    "workload",
    "its costs can be measured: the workload's call returns",
    cause="`forward` that works in training mode only, or for one batch size only",
    needs=("protocol",),
)
def workload(subject: Subject) -> str:
    solution, problem = subject.first.solution, subject.loaded(SEEDS[0])[0]
    with clean_slate(0, 1), evaluating(solution):
        load = subject.task.workload(solution, problem)
        if not isinstance(load, Workload) or load.items < 1:
            raise Broken(f"workload gave {load!r}", "the task's workload")
        before = [(name, value, copied(value)) for name, value in tensors(load.inputs, "inputs")]
        load.call(*load.inputs)
    changed = [name for name, value, copy in before if not equal(value, copy)]
    if changed:
        raise Broken(f"the call changes its own {', '.join(changed)}", "an operation in place on the input")
    return load.label


@rule(
    "same-seed",
    "the same seed gives the same weights and metrics",
    cause="a draw without `run.generator`, the clock, or something kept between fits",
    needs=("problem-untouched", "metrics", "random-state"),
)
def same_seed(subject: Subject) -> str:
    return f"two fits with seed {SEEDS[0]} agree to the bit" + _compare(subject, subject.fit(SEEDS[0]))


@rule("other-seed", "another seed gives another result", cause="", needs=("same-seed",))
def other_seed(subject: Subject) -> str:
    again = subject.fit(SEEDS[1])
    if again.error is not None:
        raise Broken(f"with seed {SEEDS[1]}: {told(again.error)}", "a fit that works for some seeds only")
    weights = _differing(subject.first.solution, again.solution)
    if not weights and subject.measured(again.solution, SEEDS[1]) == subject.metrics:
        # No failure: a closed form on fixed data gives the same for every seed, and is right to.
        raise NotApplicable("seeds 0 and 1 give the same; right only if neither the data nor the method draws anything")
    return f"seeds {SEEDS[0]} and {SEEDS[1]} differ"


@rule(
    "resumes",
    "killed at any step and resumed, it gives the same weights to the bit",
    cause="something that moves between steps is not in `state` (an optimiser, a schedule, batches, a `Memory`)",
    needs=("same-seed",),
)
def resumes(subject: Subject) -> str:
    steps = subject.first.steps
    if not steps:
        raise NotApplicable("fit makes no step under run.steps, so there is nothing to resume")
    last = len(steps) - 1
    between = range(1, last)
    chosen = random.Random(subject.entry.title).sample(between, min(KILLS - 2, len(between)))
    kills = sorted({0, *chosen, last})
    with tempfile.TemporaryDirectory(prefix="allwin-") as folder:
        checkpoints = Path(folder)
        for kill in kills:
            killed = subject.fit(SEEDS[0], checkpoints, kill_at=steps[kill])
            if not isinstance(killed.error, Killed):
                raise Broken(f"after a kill, step {kill + 1} of {len(steps)} never came: {killed.error!r}")
        told = _compare(subject, subject.fit(SEEDS[0], checkpoints))
    return f"killed after steps {', '.join(str(kill + 1) for kill in kills)} of {len(steps)}" + told


def _compare(subject: Subject, again: Attempt) -> str:
    """What was compared of a repeated fit. Raises `Broken` where it is not the first one's twin."""
    if again.error is not None:
        raise Broken(f"the second fit raises {told(again.error)}")
    differing = _differing(subject.first.solution, again.solution)
    if differing:
        raise Broken(f"{len(differing)} differ, first {differing[0]}")
    repeated = subject.measured(again.solution, SEEDS[0])
    if repeated != subject.metrics:
        raise Broken(f"metrics differ: {subject.metrics} and {repeated}")
    if not isinstance(subject.first.solution, nn.Module):
        return "; metrics alone were compared, as the solution is no nn.Module"
    return ""


def _differing(left: Any, right: Any) -> list[str]:
    """The entries of two modules' states that are not equal; nothing for what is no module."""
    if not (isinstance(left, nn.Module) and isinstance(right, nn.Module)):
        return []
    ours, theirs = left.state_dict(), right.state_dict()
    return [
        name for name in ours | theirs if name not in ours or name not in theirs or not equal(ours[name], theirs[name])
    ]
