"""The naive baseline: unlabelled images are taken for negatives, as if nobody had thought of the positives among them.

Each image of a batch counts once: no class prior. With few labelled positives nearly all images are then "negative",
and with a bounded loss the network soon calls everything so.

p positives, u unlabelled
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, method
from bench.training import Batches, descend
from methods.pu._risks import sigmoid_loss
from methods.pu._selection import Candidates
from tasks.pu import PUProblem


def naive_risk(positive: Float[Tensor, " p"], unlabelled: Float[Tensor, " u"]) -> Float[Tensor, ""]:
    """The mean loss of a batch whose unlabelled images are all labelled negative."""
    return torch.cat([sigmoid_loss(positive), sigmoid_loss(-unlabelled)]).mean()


@method("pu")
@dataclass(frozen=True)
class PUNaive:
    """Takes unlabelled images for negatives: the baseline that any PU method must beat."""

    epochs: Count = 200
    """Passes over the unlabelled images."""
    batch_positive: Count = 4
    """With `batch_unlabelled`, Self-PU's 256 in MNIST's ratio of 1,000 to 60,000."""
    batch_unlabelled: Count = 252
    lr: Positive = 5e-4
    """Adam's step size."""
    weight_decay: NonNegative = 5e-3

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 3, "batch_positive": 6, "batch_unlabelled": 250},
        "small": {"epochs": 40, "batch_positive": 6, "batch_unlabelled": 250},
        "gpu": {"epochs": 40},
    }
    search: ClassVar[Search] = {"lr": "log(1e-5, 1e-2)", "weight_decay": "log(1e-6, 1e-1)"}

    def build(self, problem: PUProblem) -> nn.Module:
        return problem.build_network()

    def fit(self, problem: PUProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        optimizer = torch.optim.Adam(net.parameters(), self.lr, weight_decay=self.weight_decay)
        positives = Batches(problem.positive.to(run.device), self.batch_positive, run)
        unlabelled = Batches(problem.unlabelled.to(run.device), self.batch_unlabelled, run)
        epoch = -(-len(problem.unlabelled) // self.batch_unlabelled)  # steps
        candidates = Candidates(problem)

        state = {
            "net": net,
            "optimizer": optimizer,
            "positives": positives,
            "unlabelled": unlabelled,
            "candidates": candidates,
        }
        for step in run.steps(self.epochs * epoch, state):
            # One forward pass: apart, each would be normalised by its own statistics, which tell the label.
            images = torch.cat([next(positives), next(unlabelled)])  # p + u, c, h, w
            risk = naive_risk(*net(images).split([self.batch_positive, self.batch_unlabelled]))
            descend(optimizer, risk)
            run.log(step, risk=risk)
            if (step + 1) % epoch == 0:
                run.log(step, validation_risk=candidates.offer(step // epoch, network=net))
        run.artefact("chosen", candidates.chosen)
        return candidates.solution(net)
