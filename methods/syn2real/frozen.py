"""A frozen backbone: only the new head learns. The papers call it the oracle on ImageNet, as it forgets nothing.

Chen and others, ASG (ICML 2020), main table. It looks at no real image and is no oracle in this suite's sense.

Where images have a class, their features are those of the frozen teacher, computed once a data set
(`tasks/syn2real/teacher.py`).
"""

from dataclasses import dataclass

import torch

from bench import Run, method
from methods.syn2real._training import Recipe, Training
from tasks.syn2real import Syn2RealProblem, Transfer, teacher_features


@method("syn2real")
@dataclass(frozen=True)
class Frozen(Recipe):
    """Minimises the cross-entropy of synthetic images by the new head alone."""

    def fit(self, problem: Syn2RealProblem, run: Run) -> Transfer:
        network = self.build(problem)
        constants: tuple[torch.Tensor, ...] = ()
        if not problem.dense:
            features, seconds = teacher_features(problem.teacher(), problem.images, run.device)
            constants = (features,)
            run.artefact("teacher_pass_s", seconds)
        network.backbone.requires_grad_(False)
        training = Training(problem, run, self, network, constants=constants)
        for step in run.steps(training.steps, training.state):
            training.hand_tuned(step)
            images, labels, *known = training.batch()
            logits = network.net.head(known[0]) if known else network(images)
            loss = problem.loss(logits, labels)
            training.update(step, loss, loss=loss)
        return training.solution()
