"""VPU: learning from positive and unlabelled data without knowing the class prior.

Chen, Liu, Wang, Zhao and Wu, "A Variational Approach for Learning from Positive and Unlabeled Data", NeurIPS 2020.

    variational loss, log E_U[Phi] - E_P[log Phi]                    `variational`
    consistency of mixed images, E[(log Phi~ - log Phi(x~))^2]       `mixed_consistency`

The loss is least where Phi is proportional to the posterior, whatever the prior; that the largest posterior is 1 fixes
the scale. Phi is the sigmoid of the score, so a score above zero says that the posterior is above one half.

Differs from the paper and its code: numbers of positives and of unlabelled images in a batch may differ, and each
unlabelled image is mixed with one labelled positive. The defaults of `epochs`, `lr`, the batches and Adam's betas are
our reading of the authors' CIFAR-10 command. The paper chooses the epoch by its own loss on a validation part; here all
methods choose alike, by a PU risk, which does need the prior (`pu.selection`).

p labelled positives, u unlabelled
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from bench import Count, NonNegative, Positive, Presets, Run, Search, method
from bench.seeds import derive_seed
from bench.training import Batches, descend
from methods.pu._selection import Candidates
from tasks.pu import PUProblem

BETAS = (0.5, 0.99)
"""Adam's."""


def variational(positive: Float[Tensor, " p"], unlabelled: Float[Tensor, " u"]) -> Float[Tensor, ""]:
    """The variational loss of scores, log mean_U Phi - mean_P log Phi."""
    log_phi = logsigmoid(unlabelled)
    return log_phi.logsumexp(0) - np.log(len(log_phi)) - logsigmoid(positive).mean()


def mixed_consistency(mixed: Float[Tensor, " u"], unlabelled: Float[Tensor, " u"], share: float) -> Float[Tensor, ""]:
    """How far log Phi of mixed images is from the log of what was mixed, of scores.

    That is `share` of 1, for a labelled positive, and the rest of the unlabelled image's Phi.
    """
    target = share + (1 - share) * unlabelled.sigmoid()
    return (target.log() - logsigmoid(mixed)).square().mean()


@method("pu", paper="vpu")
@dataclass(frozen=True)
class VPU:
    """Fits the posterior up to its scale by a variational principle; needs no class prior."""

    epochs: Count = 50
    """Passes over the unlabelled images."""
    batch_positive: Count = 500
    batch_unlabelled: Count = 500
    lr: Positive = 3e-5
    """Adam's step size."""
    weight_decay: NonNegative = 0.0
    consistency: NonNegative = 0.03
    """lambda: weight of the consistency of mixed images."""
    mixing: Positive = 0.3
    """alpha: the share of the positive in a mixed image is drawn from Beta(alpha, alpha), once a batch."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 3, "batch_positive": 20, "batch_unlabelled": 250, "lr": 1e-4},
        "small": {"epochs": 40, "batch_positive": 20, "batch_unlabelled": 250, "lr": 1e-4},
        "gpu": {"epochs": 40},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-5, 1e-2)",
        "weight_decay": "log(1e-6, 1e-1)",
        "consistency": "log(1e-3, 1)",
    }

    def build(self, problem: PUProblem) -> nn.Module:
        return problem.build_network()

    def fit(self, problem: PUProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        optimizer = torch.optim.Adam(net.parameters(), self.lr, BETAS, weight_decay=self.weight_decay)
        positives = Batches(problem.positive.to(run.device), self.batch_positive, run)
        unlabelled = Batches(problem.unlabelled.to(run.device), self.batch_unlabelled, run)
        shares = run.stream()
        epoch = -(-len(problem.unlabelled) // self.batch_unlabelled)  # steps
        partners = torch.arange(self.batch_unlabelled, device=run.device) % self.batch_positive
        candidates = Candidates(problem)

        state = {
            "net": net,
            "optimizer": optimizer,
            "positives": positives,
            "unlabelled": unlabelled,
            "candidates": candidates,
        }
        for step in run.steps(self.epochs * epoch, state):
            labelled, others = next(positives), next(unlabelled)
            share = beta(self.mixing, derive_seed(shares, step))
            # One forward pass: apart, each would be normalised by its own statistics, which tell the label.
            positive, rest = net(torch.cat([labelled, others])).split([self.batch_positive, self.batch_unlabelled])
            mixed = net(share * labelled[partners] + (1 - share) * others)
            risk = variational(positive, rest)
            descend(optimizer, risk + self.consistency * mixed_consistency(mixed, rest, share))
            run.log(step, risk=risk)
            if (step + 1) % epoch == 0:
                run.log(step, validation_risk=candidates.offer(step // epoch, network=net))
        run.artefact("chosen", candidates.chosen)
        return candidates.solution(net)


def beta(shape: float, seed: int) -> float:
    """A draw from Beta(shape, shape)."""
    return float(np.random.default_rng(seed).beta(shape, shape))
