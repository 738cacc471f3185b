"""Random search: the best of some architectures drawn uniformly. No search method is worth its cost below this one.

Bergstra and Bengio, JMLR 2012; for architectures, Li and Talwalkar, UAI 2019, and the baseline RS of NAS-Bench-201
(Dong and Yang, ICLR 2020), which draws for 12,000 s of training on one GPU; each architecture is trained for 12 epochs
and judged on validation images.

Differs from the benchmark's code: the budget is a number of architectures, by default 100, about what those seconds
are worth on CIFAR-10 (from memory); a query gives the mean over the training seeds, theirs a random one's.
"""

from dataclasses import dataclass
from typing import ClassVar

from bench import Count, Presets, Run, method
from methods.nas._trials import Trials
from tasks.nas import Found, NASProblem


@method("nas")
@dataclass(frozen=True)
class RandomSearch:
    """Trains random architectures and keeps the best on validation images."""

    trials: Count = 100
    """Architectures trained."""

    presets: ClassVar[Presets] = {"smoke": {"trials": 10}}

    def fit(self, problem: NASProblem, run: Run) -> Found:
        trials = Trials(problem)
        for step in run.steps(self.trials, {"trials": trials}, name="search"):
            trials.ask(problem.space.random(run.generator), step, run)
        return trials.found(run)
