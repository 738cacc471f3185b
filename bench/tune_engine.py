"""Hyper-parameter search on Ray Tune, driver's side: its search and its scheduler, our fits and our limits.

Time and memory of a candidate are watched from outside, as those of a trial are.
"""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import provenance
from bench.limits import kill, resident_bytes, thread_environment, tree
from bench.ray_start import import_ray, start
from bench.record import Failure
from bench.seeds import derive_seed
from bench.space import Axis, decoded, encoded
from bench.tuning import Candidate, Rung, Study, Tuning, best, conclude

ray = import_ray(None)
# Tune reads these as it goes. A candidate that fails reports no score; output, files and signals are our own affair.
os.environ |= {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}

from ray import tune  # noqa: E402
from ray.tune.experiment import Trial as TuneTrial  # noqa: E402
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler  # noqa: E402
from ray.tune.search import BasicVariantGenerator  # noqa: E402

from bench.tune_worker import Ascent  # noqa: E402

LOOK_S = 1.0
"""Between two looks at the candidates' time and memory."""

GRACE_S = 5.0
"""A fit that looks at the clock ends by itself; one that does not is killed this much later, with its process."""


@dataclass
class Standing:
    """How far a search is."""

    total: int
    ended: int = 0
    failed: int = 0
    running: int = 0
    best: float | None = None
    """The lowest score in full so far."""


Listener = Callable[[Study, Standing], None]


@contextmanager
def cluster(workers: int, threads: int) -> Iterator[Path]:
    """Ray on this machine, reachable from it alone, for as many candidates at a time; and a folder while it lasts."""
    os.environ |= thread_environment(threads)
    for name in ("ray.tune", "ray.train", "ray.air"):
        # What a candidate failed of stands in the result.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="allwin-tune-"))
    try:
        start(workers * threads)
        yield folder
    finally:
        ray.shutdown()
        # Last: a worker may write until it is gone.
        shutil.rmtree(folder, ignore_errors=True)


def search(study: Study, home: Path, listener: Listener) -> Tuning:
    """Runs a study to its end, with the folder of `cluster`. At Ctrl-C `KeyboardInterrupt`, and nothing goes on."""
    begun, started = time.monotonic(), provenance.now()
    folder = Path(tempfile.mkdtemp(dir=home))
    watch = Watch(study, folder, listener)
    present = {name: encoded(axis, study.present[name]) for name, axis in study.axes.items()}
    spec = study.cell.spec
    variants = BasicVariantGenerator(
        points_to_evaluate=[present], random_state=derive_seed("tune", spec.task, spec.method, spec.seed) % 2**32
    )
    asha = SparesTheFirst("ninths", "validation", "min", max_t=9, grace_period=1, reduction_factor=3)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(Ascent, study=study, folder=folder), {"cpu": study.threads}),
        param_space={name: domain(axis) for name, axis in study.axes.items()},
        tune_config=tune.TuneConfig(
            search_alg=variants,
            scheduler=asha if study.scheduler == "asha" else FIFOScheduler(),
            num_samples=study.trials,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(folder),
            verbose=0,
            callbacks=[watch],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except BaseException:
        watch.end_all()
        raise
    where = provenance.collect(study.origin, spec.device, study.threads, {}, watch.data_fingerprint)
    return conclude(
        study,
        watch.candidates(),
        wall_s=time.monotonic() - begun,
        started=started,
        ended=provenance.now(),
        provenance=where,
    )


def domain(axis: Axis) -> Any:
    """An axis in Tune's words."""
    match axis.kind:
        case "log":
            return tune.loguniform(axis.low, axis.high)
        case "uniform":
            return tune.uniform(axis.low, axis.high)
        case "int":
            return tune.randint(int(axis.low), int(axis.high) + 1)
    return tune.choice([encoded(axis, choice) for choice in axis.choices])


class SparesTheFirst(ASHAScheduler):
    """ASHA that lets the first candidate climb to the top, so that a search never chooses less than it began with."""

    _first = ""

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        super().on_trial_add(tune_controller, trial)
        self._first = self._first or trial.trial_id

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if trial.trial_id == self._first else decision


@dataclass
class Climber:
    """What is known so far of a candidate."""

    parameters: dict[str, Any]
    rungs: list[Rung] = field(default_factory=list)
    seconds: float = 0.0
    macs: float | None = 0.0
    failure: Failure | None = None
    ended: bool = False

    def candidate(self, number: int) -> Candidate:
        full = bool(self.rungs) and self.rungs[-1].ninths == 9
        return Candidate(
            number=number,
            parameters=self.parameters,
            status="failed" if self.failure else "full" if full else "early",
            rungs=self.rungs,
            seconds=self.seconds,
            macs=self.macs,
            cause=self.failure.cause if self.failure else None,
            message=self.failure.message if self.failure else "",
        )


class Watch(tune.Callback):
    """Writes down what the candidates report, ends those that use too much, and tells the listener."""

    def __init__(self, study: Study, folder: Path, listener: Listener) -> None:
        self.data_fingerprint = ""
        self._study, self._folder, self._listener = study, folder, listener
        self._climbers: dict[str, Climber] = {}
        self._looked = 0.0

    def candidates(self) -> list[Candidate]:
        return [climber.candidate(number) for number, climber in enumerate(self._climbers.values())]

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **_: Any) -> None:  # noqa: ARG002 -- Tune's names
        """In the order of their creation, every candidate; and now and then a look at those that run."""
        for trial in trials:
            if trial.trial_id not in self._climbers:
                self._climbers[trial.trial_id] = Climber(decoded(self._study.axes, trial.config))
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        running = [trial for trial in trials if trial.status == TuneTrial.RUNNING]
        for trial in running:
            self._look_at(trial)
        self._tell(len(running))

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002
        trials: list[TuneTrial],  # noqa: ARG002
        trial: TuneTrial,
        result: dict[str, Any],
        **_: Any,
    ) -> None:
        climber = self._climbers[trial.trial_id]
        climber.seconds += result["seconds"]
        self.data_fingerprint = result["fingerprint"]
        if "cause" in result:
            climber.failure = Failure(cause=result["cause"], message=result["message"], stage="fit")
            climber.macs = None
            return
        climber.rungs.append(Rung(ninths=result["ninths"], validation=result["validation"]))
        climber.macs = None if None in (climber.macs, result["macs"]) else climber.macs + result["macs"]

    def on_trial_complete(
        self,
        iteration: int,  # noqa: ARG002
        trials: list[TuneTrial],
        trial: TuneTrial,
        **_: Any,
    ) -> None:
        self._climbers[trial.trial_id].ended = True
        shutil.rmtree(self._folder / trial.trial_id, ignore_errors=True)
        self._tell(sum(other.status == TuneTrial.RUNNING and other is not trial for other in trials))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        climber = self._climbers[trial.trial_id]
        climber.macs = None
        climber.failure = climber.failure or _obituary(trial)
        self.on_trial_complete(iteration, trials, trial)

    def end_all(self) -> None:
        """Kills the processes of what still runs, with all that they started."""
        for name, climber in self._climbers.items():
            if not climber.ended and (noted := self._noted(name)):
                kill(tree(noted[0]))

    def _noted(self, name: str) -> tuple[int, float] | None:
        """The process of a candidate, and how many seconds ago it began; None before it did."""
        note = self._folder / f"{name}.pid"
        try:
            return int(note.read_text()), time.time() - note.stat().st_mtime
        except (OSError, ValueError):
            return None

    def _look_at(self, trial: TuneTrial) -> None:
        climber, limits = self._climbers[trial.trial_id], self._study.limits
        noted = self._noted(trial.trial_id)
        if noted is None:
            return
        pid, age_s = noted
        if age_s > limits.time_s + GRACE_S:
            message = f"killed after {limits.time_s:g} s, its time limit; raise it with --time-limit"
            climber.failure, climber.seconds = Failure(cause="timeout", message=message, stage="fit"), age_s
        elif resident_bytes(pid) > limits.memory_bytes:
            message = f"killed at {limits.memory_bytes / 2**30:g} GiB, its memory limit"
            climber.failure, climber.seconds = Failure(cause="oom", message=message, stage="fit"), age_s
        else:
            return
        kill(tree(pid))

    def _tell(self, running: int) -> None:
        candidates = self.candidates()
        leader = best(candidates)
        standing = Standing(
            total=self._study.trials,
            ended=sum(climber.ended for climber in self._climbers.values()),
            failed=sum(candidate.status == "failed" for candidate in candidates),
            running=running,
            best=leader.rungs[-1].validation if leader else None,
        )
        self._listener(self._study, standing)


def _obituary(trial: TuneTrial) -> Failure:
    """Why a candidate's process is no more, where nobody of ours killed it."""
    told = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
    if "raised in its creation task" in told:
        last = provenance.without_paths(told.strip().splitlines()[-1])
        return Failure(cause="error", message=f"its worker does not start: {last}"[:500], stage="worker")
    message = "the worker's process went away: it exited, crashed, or was killed from outside"
    return Failure(cause="crash", message=message, stage="worker")
