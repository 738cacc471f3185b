"""What searches that train one architecture after another have in common: what was tried, and the best of it.

Here the trainings are looked up in the task's table, so that no cost of a record holds them: the number of trials does.
"""

from typing import Any

from bench import Run
from tasks.nas import Architecture, Found, NASProblem


class Trials:
    """The architectures whose validation accuracy was asked for, in order; goes into a fit's `state`.

    One that comes up again counts again, as it would be trained again.
    """

    def __init__(self, problem: NASProblem) -> None:
        self._problem = problem
        self.tried: list[Architecture] = []
        self.accuracies: list[float] = []
        """On validation images, in %."""

    def ask(self, architecture: Architecture, step: int, run: Run) -> float:
        """Its validation accuracy, in %."""
        accuracy = self._problem.validation(architecture)
        self.tried.append(architecture)
        self.accuracies.append(accuracy)
        run.log(step, validation_accuracy=accuracy, best_so_far=max(self.accuracies))
        return accuracy

    def found(self, run: Run) -> Found:
        """The first of those with the highest accuracy. All that were tried go out as artefacts."""
        best = self.tried[self.accuracies.index(max(self.accuracies))]
        run.artefact("architecture", str(best))
        run.artefact("tried", [str(architecture) for architecture in self.tried])
        return Found(best)

    def state_dict(self) -> dict[str, Any]:
        return {"choices": [architecture.choice for architecture in self.tried], "accuracies": list(self.accuracies)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        space = self._problem.space
        self.tried = [Architecture(space, tuple(choice)) for choice in state_dict["choices"]]
        self.accuracies = list(state_dict["accuracies"])
