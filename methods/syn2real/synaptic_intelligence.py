"""Fine-tuning with important weights held near those of ImageNet.

A rival in table 1 of CSG (ICLR 2021): synaptic intelligence (Zenke, Poole and Ganguli, ICML 2017).

    CE + weight / 2 sum importance (theta - theta0)^2    `weighted_drift`
    importance                                           `importances`

Differs from the paper: its importance adds up along the training of the old task, and nobody has that of ImageNet's
published weights; how the authors of CSG did it is unknown. Here it is how much the old answers depend on a weight, as
in memory aware synapses (Aljundi and others, ECCV 2018): the mean over synthetic images of the squared gradient of
|logits|^2 through the old head. It is scaled to a mean of 1, so that `weight` compares with that of `weight-l2`, and
cut at 100: a few weights would otherwise make steps of this size diverge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bench import Count, NonNegative, Presets, Run, Search, method
from methods.syn2real._training import NEW_HEAD, Recipe, Training
from tasks.syn2real import Syn2RealProblem, Transfer
from tasks.syn2real.backbones import Backbone

CEILING = 100.0
"""Of an importance, in multiples of their mean."""


def importances(backbone: Backbone, images: UInt8[Tensor, "n 3 h w"], parameters: Sequence[Tensor]) -> list[Tensor]:
    """The mean over images of the squared gradient of |old logits|^2, scaled to a mean of 1, then cut at `CEILING`."""
    sums = [torch.zeros_like(parameter) for parameter in parameters]
    for image in images.split(1):
        answer = backbone(backbone.normalise(image)).square().sum()
        for total, slope in zip(sums, torch.autograd.grad(answer, parameters), strict=True):
            total.addcmul_(slope, slope)
    mean = torch.cat([total.flatten() for total in sums]).mean().clamp(min=torch.finfo(torch.float32).tiny)
    return [(total / mean).clamp(max=CEILING) for total in sums]


def weighted_drift(
    weights: Sequence[Tensor], first: Sequence[Tensor], importance: Sequence[Tensor]
) -> Float[Tensor, ""]:
    """The sum over all weights of importance times squared distance from where they were."""
    parts = zip(weights, first, importance, strict=True)
    return torch.stack([(matters * (now - then).square()).sum() for now, then, matters in parts]).sum()


@method("syn2real")
@dataclass(frozen=True)
class SynapticIntelligence(Recipe):
    """Minimises cross-entropy and the distance from ImageNet's weights, weighted by what matters to the old task."""

    weight: NonNegative = 0.1
    """Of half the squared distance; ours."""
    importance_images: Count = 1000
    """Synthetic images whose old answers tell what matters."""

    presets: ClassVar[Presets] = {
        "smoke": {
            "steps": 2,
            "batch": 4,
            "dense_steps": 2,
            "dense_batch": 2,
            "lr": 1e-2,
            "warm_up": 1,
            "checks": 2,
            "importance_images": 2,
        },
        "small": {
            "steps": 108,
            "lr": 1e-2,
            "dense_steps": 160,
            "dense_batch": 4,
            "dense_lr": 1e-2,
            "warm_up": 20,
            "checks": 4,
            "importance_images": 64,
        },
        "gpu": {"steps": 3000, "lr": 1e-3, "dense_steps": 1500, "dense_lr": 3e-3, "checks": 10},
    }
    search: ClassVar[Search] = {"lr": "log(1e-5, 1e-1)", "weight": "log(1e-4, 10)"}

    def fit(self, problem: Syn2RealProblem, run: Run) -> Transfer:
        training = Training(problem, run, self, self.build(problem))
        held = [p for name, group in training.parameters.items() if name != NEW_HEAD for p in group]
        first = [parameter.detach().clone() for parameter in held]
        some = torch.linspace(0, len(problem.images) - 1, min(self.importance_images, len(problem.images))).long()
        importance = importances(training.network.backbone, problem.images[some].to(run.device), held)
        for step in run.steps(training.steps, training.state):
            training.hand_tuned(step)
            images, labels, *_ = training.batch()
            task_loss = problem.loss(training.network(images), labels)
            distance = weighted_drift(held, first, importance)
            training.update(step, task_loss + self.weight / 2 * distance, loss=task_loss, distance=distance)
        return training.solution()
