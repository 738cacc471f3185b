"""The same trials in this process, one after another: for debugging, and where Ray is not wanted.

A process cannot kill itself and go on: a hang in a method's own code is not ended here, nor is memory limited.
"""

import copy
from collections.abc import Callable, Iterator

from bench.execution import execute, load_problem
from bench.record import Record
from bench.runner import Progress
from bench.trial import Trial


class InlineEngine:
    def run(self, trials: Iterator[Trial], progress: Progress, changed: Callable[[], None]) -> Iterator[Record]:
        """The records, in the order of the trials."""
        problem, loaded = "", None
        for trial in trials:
            progress.running[trial.cell.key] = trial.cell.title
            changed()
            if loaded is None or not trial.shared_problem or trial.shared_problem != problem:
                problem, loaded = trial.shared_problem, load_problem(trial)
            # A method that writes into its problem must not reach the next one's; Ray's workers get copies anyway.
            yield execute(trial, copy.deepcopy(loaded) if trial.shared else loaded)
