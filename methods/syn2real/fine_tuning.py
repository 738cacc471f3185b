"""Fine-tuning on synthetic images alone: what both papers start from.

Chen and others, ASG (ICML 2020) and CSG (ICLR 2021), "vanilla synthetic training".

    a small step size in the backbone, a large one in the head    `backbone_factor=0.1`
    a large one in all layers                                     `backbone_factor=1.0`

Differs from the authors' code: the last batch of an epoch is as large as the others.
"""

from dataclasses import dataclass

from bench import Run, method
from methods.syn2real._training import Recipe, Training
from tasks.syn2real import Syn2RealProblem, Transfer


@method("syn2real")
@dataclass(frozen=True)
class FineTuning(Recipe):
    """Minimises the cross-entropy of synthetic images; nothing holds the backbone to what it knew."""

    def fit(self, problem: Syn2RealProblem, run: Run) -> Transfer:
        training = Training(problem, run, self, self.build(problem))
        for step in run.steps(training.steps, training.state):
            training.hand_tuned(step)
            images, labels, *_ = training.batch()
            loss = problem.loss(training.network(images), labels)
            training.update(step, loss, loss=loss)
        return training.solution()
