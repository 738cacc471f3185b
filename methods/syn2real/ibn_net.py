"""IBN-Net: fine-tuning of a backbone in which half of the early norms forget what an image looks like.

Pan, Luo, Shi and Tang, ECCV 2018, the variant a. A rival that ASG and CSG quote from GTA5 to Cityscapes.

    half of the channels of a block's first norm, image by image    `tasks/syn2real/backbones/norms.py`

Differs from the authors' code: where the weights of the backbone were not trained with such norms, as those of
EfficientNet-Lite0 and torchvision's were not, the norms by image start with the weights of the norms that they replace.
"""

from dataclasses import dataclass

from bench import Run, method
from methods.syn2real._training import Recipe, Training
from tasks.syn2real import Network, Syn2RealProblem, Transfer


@method("syn2real", paper="ibn-net")
@dataclass(frozen=True)
class IBNNet(Recipe):
    """Minimises the cross-entropy of synthetic images with IBN-Net-a in the place of the backbone."""

    def build(self, problem: Syn2RealProblem) -> Network:
        return problem.build_network(ibn=True)

    def fit(self, problem: Syn2RealProblem, run: Run) -> Transfer:
        training = Training(problem, run, self, self.build(problem))
        for step in run.steps(training.steps, training.state):
            training.hand_tuned(step)
            images, labels, *_ = training.batch()
            loss = problem.loss(training.network(images), labels)
            training.update(step, loss, loss=loss)
        return training.solution()
