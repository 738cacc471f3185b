"""nnPU: learning from positive and unlabelled data with a risk that cannot go below zero.

Kiryo, Niu, du Plessis and Sugiyama, NeurIPS 2017.

    risk, Eq. 6          `nnpu`, first result; its two parts come from `pu_parts`
    update, Algorithm 1  `nnpu`, second result, and the loop of `NNPU.fit`

Differs from the authors' code:
1. Positives and unlabelled images are drawn apart, in fixed numbers, so that no batch lacks positives.
2. The risk reported is Eq. 6 whatever beta is; theirs subtracts beta below -beta.
3. Step size, batch and epochs are those of Self-PU's baseline command (Chen and others, ICML 2020), the same for every
   data set. The authors' own: 100 epochs; MNIST in batches of 30,000 at 1e-3, CIFAR-10 in batches of 500 at 1e-5.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, method
from bench.training import Batches, descend
from methods.pu._risks import pu_parts
from methods.pu._selection import Candidates
from tasks.pu import PUProblem


def nnpu(
    on_positives: Float[Tensor, ""], on_negatives: Float[Tensor, ""], beta: float, gamma: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The risk of a batch (Eq. 6), and the objective whose gradient Algorithm 1 follows."""
    risk = on_positives + on_negatives.clamp(min=0)
    # Below -beta the network has overfitted: climb back along the negative part alone. The gradient of `risk` would
    # keep the positive part and never climb.
    objective = torch.where(on_negatives < -beta, -gamma * on_negatives, on_positives + on_negatives)
    return risk, objective


@method("pu", paper="nnpu")
@dataclass(frozen=True)
class NNPU:
    """Minimises the non-negative PU risk; takes the class prior from the problem."""

    epochs: Count = 200
    """Passes over the unlabelled images."""
    batch_positive: Count = 4
    """With `batch_unlabelled`, Self-PU's 256 in MNIST's ratio of 1,000 to 60,000."""
    batch_unlabelled: Count = 252
    lr: Positive = 5e-4
    """Adam's step size."""
    weight_decay: NonNegative = 5e-3
    beta: NonNegative = 0.0
    """How far the negative part may fall below zero before it is pushed back."""
    gamma: NonNegative = 1.0
    """Step size of that push, relative to `lr`; at most 1 in the paper."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 3, "batch_positive": 6, "batch_unlabelled": 250},
        "small": {"epochs": 40, "batch_positive": 6, "batch_unlabelled": 250},
        "gpu": {"epochs": 40},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-5, 1e-2)",
        "weight_decay": "log(1e-6, 1e-1)",
        "beta": "uniform(0, 0.5)",
        "gamma": "uniform(0, 1)",
    }

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
            positive, rest = net(images).split([self.batch_positive, self.batch_unlabelled])
            on_positives, on_negatives = pu_parts(positive, rest, problem.prior)
            risk, objective = nnpu(on_positives, on_negatives, self.beta, self.gamma)
            descend(optimizer, objective)
            run.log(step, risk=risk, negative_risk=on_negatives)
            if (step + 1) % epoch == 0:
                run.log(step, validation_risk=candidates.offer(step // epoch, network=net))
        run.artefact("chosen", candidates.chosen)
        return candidates.solution(net)
