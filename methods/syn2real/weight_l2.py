"""Fine-tuning with weights that are held near those of ImageNet.

A rival in table 1 of CSG (ICLR 2021), after elastic weight consolidation (Kirkpatrick and others, PNAS 2017) with all
weights equally important.

    CE + weight / 2 sum (theta - theta0)^2    `drift`

The weight is not published; it is to be chosen on synthetic validation images (`allwin tune`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from bench import NonNegative, Run, Search, method
from methods.syn2real._training import NEW_HEAD, Recipe, Training
from tasks.syn2real import Syn2RealProblem, Transfer


def drift(weights: Iterable[Tensor], first: Iterable[Tensor]) -> Float[Tensor, ""]:
    """The sum of squared distances of all weights from where they were."""
    return torch.stack([(now - then).square().sum() for now, then in zip(weights, first, strict=True)]).sum()


@method("syn2real")
@dataclass(frozen=True)
class WeightL2(Recipe):
    """Minimises cross-entropy and the distance of the backbone's weights from ImageNet's."""

    weight: NonNegative = 0.1
    """Of half the squared distance; ours."""

    search: ClassVar[Search] = {"lr": "log(1e-5, 1e-1)", "weight": "log(1e-4, 10)"}

    def fit(self, problem: Syn2RealProblem, run: Run) -> Transfer:
        training = Training(problem, run, self, self.build(problem))
        held = [p for name, group in training.parameters.items() if name != NEW_HEAD for p in group]
        first = [parameter.detach().clone() for parameter in held]
        for step in run.steps(training.steps, training.state):
            training.hand_tuned(step)
            images, labels, *_ = training.batch()
            task_loss = problem.loss(training.network(images), labels)
            distance = drift(held, first)
            training.update(step, task_loss + self.weight / 2 * distance, loss=task_loss, distance=distance)
        return training.solution()
