"""Fine-tuning with features that are held near those of ImageNet.

A rival in table 1 of CSG (ICLR 2021): the distillation of ROAD (Chen, Li and Van Gool, CVPR 2018).

    CE + weight |GAP f(x) - GAP f0(x)|^2    `feature_distance`

The weight is not published; it is to be chosen on synthetic validation images (`allwin tune`).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from bench import NonNegative, Run, Search, method
from methods.syn2real._training import Recipe, Training
from tasks.syn2real import Syn2RealProblem, Transfer, teacher_features


def feature_distance(student: Float[Tensor, "b d"], teacher: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """The squared distance of two vectors, summed over its entries; the mean over images."""
    return (student - teacher).square().sum(1).mean()


@method("syn2real")
@dataclass(frozen=True)
class FeatureL2(Recipe):
    """Minimises cross-entropy and the distance of the images' features from those that ImageNet's backbone has."""

    weight: NonNegative = 0.01
    """Of the squared distance; ours."""

    search: ClassVar[Search] = {"lr": "log(1e-5, 1e-1)", "weight": "log(1e-5, 1)"}

    def fit(self, problem: Syn2RealProblem, run: Run) -> Transfer:
        teacher = problem.teacher().to(run.device)
        constants: tuple[Tensor, ...] = ()
        if not problem.dense:
            features, seconds = teacher_features(teacher, problem.images, run.device)
            constants = (features,)
            run.artefact("teacher_pass_s", seconds)
        training = Training(problem, run, self, self.build(problem), constants=constants)
        for step in run.steps(training.steps, training.state):
            training.hand_tuned(step)
            images, labels, *known = training.batch()
            if not known:
                # Crops differ from epoch to epoch, so what the teacher makes of them cannot be kept.
                with torch.no_grad():
                    known = [teacher.features(teacher.normalise(images))]
            reading = training.network.read(images)
            task_loss = problem.loss(reading.logits, labels)
            distance = feature_distance(reading.features, known[0])
            training.update(step, task_loss + self.weight * distance, loss=task_loss, distance=distance)
        return training.solution()
