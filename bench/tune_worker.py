"""One candidate after another in a worker of Ray Tune: a rung is a shortened fit, judged on validation data.

A rung goes on from the checkpoint of the one before, by `Run(fraction=...)`: nothing reaches into a method's middle.
"""

import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from bench.errors import NotANumber
from bench.seeds import derive_seed
from bench.space import decoded
from bench.tuning import NINTHS, Study

if TYPE_CHECKING:
    from bench.run import Run


class Ascent(tune.Trainable):
    """One candidate after another, each a rung a step, in a process that keeps torch and the problem."""

    def setup(self, config: dict[str, Any], study: Study, folder: Path) -> None:  # type: ignore[override]
        # Here, so that the driver, which imports this file too, starts without torch.
        from bench.execution import load_problem
        from bench.registry import load
        from bench.trial import Trial

        self._study, self._folder = study, folder
        self.reset_config(config)
        self._registry = load(study.method_paths)
        loaded = load_problem(Trial(study.cell, study.origin, method_paths=study.method_paths, threads=study.threads))
        # The held-out part is dropped: nothing below can reach it.
        self._problem, self._failure, self._fingerprint = loaded.problem, loaded.failure, loaded.data_fingerprint

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turns to the next candidate. Leaves a note of when and in which process, for whoever watches."""
        self._values = decoded(self._study.axes, new_config)
        self._spent_s = self._macs_kept = 0.0
        self._rungs = iter(NINTHS[self._study.scheduler])
        (self._folder / f"{self.trial_id}.pid").write_text(str(os.getpid()))
        return True

    def step(self) -> dict[str, Any]:
        """The next rung: its score or its failure, and what it took."""
        from bench.failures import failure_from

        ninths = next(self._rungs)
        answer: dict[str, Any] = {"ninths": ninths, "done": ninths == 9, "fingerprint": self._fingerprint}
        started = time.perf_counter()
        failure = self._failure
        try:
            if failure is None:
                answer |= self._climb(ninths)
        except (Exception, SystemExit) as error:
            failure = failure_from(error, "fit")
        if failure:
            answer |= {"cause": failure.cause, "message": failure.message, "done": True}
        answer["seconds"] = time.perf_counter() - started
        self._spent_s += answer["seconds"]
        return answer

    def _climb(self, ninths: int) -> dict[str, Any]:
        from bench.measure.mode import evaluating
        from bench.run import Run
        from bench.slate import clean_slate
        from bench.validate import construct

        study, spec = self._study, self._study.cell.spec
        seed = derive_seed("fit", spec.task, spec.dataset, spec.seed)
        with clean_slate(seed, study.threads):
            registry = self._registry
            task = construct(registry, registry.task(spec.task), spec.settings)
            method = construct(registry, registry.method(spec.task, spec.method), spec.parameters | self._values)
            run = Run(
                seed=seed,
                budget=spec.budget,
                device=spec.device,
                checkpoints=self._folder / self.trial_id,
                time_limit_s=study.limits.time_s - self._spent_s,
                fraction=ninths / 9,
            )
            solution = method.fit(self._problem, run)
            # What was logged last is looked at only here.
            run.curves()
            task.check(solution, self._problem)
            with evaluating(solution):
                score = float(task.validate(solution, self._problem))
        if not math.isfinite(score):
            raise NotANumber(f"validate gives {score}")
        return {"validation": score, "macs": self._macs(run)}

    def _macs(self, run: "Run") -> float | None:
        """Multiply-adds of this rung: a fit that resumed counts those of its first phase from the start."""
        measured = run.fit_macs()
        if measured.value is None:
            return None
        kept = self._macs_kept if run.resumed else 0.0
        self._macs_kept = next(iter(measured.detail["phases"].values()))["macs"] or 0.0
        return measured.value - kept
