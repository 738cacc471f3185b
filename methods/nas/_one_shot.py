"""What searches in a supernet have in common: how its weights are trained, and on which half of the images.

Settings are those of NAS-Bench-201's runs (Dong and Yang, ICLR 2020; its `configs` and launch scripts): SGD with
Nesterov momentum on one half of the training images, architecture parameters by Adam on the other half, gradients of
the weights shortened to a length of 5, batch normalisation by the statistics of the batch at hand, without scale and
shift.

Differs from it: the step size of the weights follows its cosine from step to step, there from epoch to epoch; operators
that a batch does not use stay as they are, there momentum and decay move them on.

b images of a batch, e edges, k classes, o operators
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench import Count, NonNegative, Positive, Run, UnitInterval
from bench.seeds import derive_seed
from bench.training import Batches, descend
from methods.nas._choices import Preferences
from tasks.nas import NASProblem, Norms

BETAS = (0.5, 0.999)
"""Of the architecture parameters' Adam, as in DARTS."""

Batch = tuple[Tensor, Tensor]
"""Images and labels."""


def accuracy(logits: Float[Tensor, "b k"], labels: Int[Tensor, " b"]) -> float:
    """Images that the largest logit is right on, in %."""
    return 100 * (logits.argmax(dim=-1) == labels).double().mean().item()


@dataclass(frozen=True)
class WeightTraining:
    """How the shared weights are trained."""

    epochs: Count = 50
    """Passes over the half of the images that trains the weights."""
    batch: Count = 64
    lr: Positive = 0.025
    """Step size of the weights, at the start of a cosine."""
    final_lr: NonNegative = 0.001
    """At its end."""
    momentum: UnitInterval = 0.9
    """Nesterov's."""
    weight_decay: NonNegative = 5e-4
    max_norm: Positive = 5.0
    """Longer gradients of the weights are shortened to it."""

    def lr_at(self, progress: float) -> float:
        """The step size of the weights when that share of the cosine is over."""
        return self.final_lr + (self.lr - self.final_lr) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class PreferenceTraining(WeightTraining):
    """How preferences among operators are trained beside them."""

    architecture_lr: Positive = 3e-4
    """Adam's step size for the preferences."""
    architecture_weight_decay: NonNegative = 1e-3

    def architect(self, preferences: Preferences) -> torch.optim.Adam:
        return torch.optim.Adam(
            preferences.parameters(), self.architecture_lr, BETAS, weight_decay=self.architecture_weight_decay
        )


class Shared:
    """A supernet in training, and the two halves of the images. What moves is in `state`, and in the run's generator.

    Its first weights are the same for all methods of a seed. Pooling is followed by a norm where cells keep some edges
    only, as in the search of DARTS; in that of NAS-Bench-201 it is not.
    """

    def __init__(self, problem: NASProblem, how: WeightTraining, run: Run, add_zeros: bool = False) -> None:
        self._problem, self._how, self._generator = problem, how, run.generator
        self.epoch = -(-len(problem.images) // how.batch)
        """Batches of a pass over the half of the images that trains the weights."""
        self.steps = how.epochs * self.epoch
        norms = Norms(affine=False, track=False, pool=problem.space.kept is not None)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(problem.seed, "nas", "supernet"))
            self.net = problem.supernet(norms, add_zeros).to(run.device)
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), how.lr, how.momentum, weight_decay=how.weight_decay, nesterov=how.momentum > 0
        )
        self._training = Batches((problem.images.to(run.device), problem.labels.to(run.device)), how.batch, run)
        self._judging = Batches(
            (problem.search_images.to(run.device), problem.search_labels.to(run.device)), how.batch, run
        )
        self.state: dict[str, Any] = {
            "supernet": self.net,
            "optimizer": self.optimizer,
            "training": self._training,
            "judging": self._judging,
        }

    def next_training(self) -> Batch:
        """Of the half that trains the weights, augmented."""
        images, labels = next(self._training)
        return self._problem.augmented(images, self._generator), labels

    def next_judging(self) -> Batch:
        """Of the other half, augmented too."""
        images, labels = next(self._judging)
        return self._problem.augmented(images, self._generator), labels

    def loss(self, batch: Batch, weights: Float[Tensor, "e o"]) -> Float[Tensor, ""]:
        """Of the supernet with these weights of its operators."""
        images, labels = batch
        return cross_entropy(self.net(images, weights), labels)

    def set_lr(self, progress: float) -> None:
        """The step size of the weights when that share of the cosine is over."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._how.lr_at(progress)

    def train(self, batch: Batch, weights: Float[Tensor, "e o"]) -> Float[Tensor, ""]:
        """One step of the shared weights; gives the loss before it."""
        loss = self.loss(batch, weights)
        descend(self.optimizer, loss, self._how.max_norm)
        return loss.detach()
