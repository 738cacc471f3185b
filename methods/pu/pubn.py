"""PUbN without biased negatives: each unlabelled image counts as negative by as much as a first network doubts it.

Hsieh, Niu and Sugiyama, "Classification from Positive, Unlabeled and Biased Negative Data", ICML 2019; with no biased
negatives, rho = 0, its second step is a PU method of its own, which the papers write PUbN without N.

    first step, sigma(x) = p(y = +1 | x)   the phase "sigma": nnPU's risk with the logistic loss
    threshold eta                          `threshold`
    second step, Eq. 7 with rho = 0        `doubtful_risk`

Where sigma is small, an unlabelled image is weighted by 1 - sigma; where it is large, labelled positives stand for
unlabelled images with the weight (1 - sigma) / sigma. With the true sigma this is the supervised risk in expectation.

Differs from the authors' code: step size, batches and epochs are those of `nnpu`, spent on each of the two steps.

p labelled positives, u unlabelled
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from bench.training import Batches, descend
from methods.pu._risks import sigmoid_loss
from methods.pu._selection import Candidates
from methods.pu.nnpu import nnpu
from tasks.pu import PUProblem, scores


def logistic_parts(
    positive: Float[Tensor, " p"], unlabelled: Float[Tensor, " u"], prior: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The two parts of the PU risk with the logistic loss log(1 + exp(-margin)), whose minimiser is the log-odds."""
    on_positives = prior * softplus(-positive).mean()
    return on_positives, softplus(unlabelled).mean() - prior * softplus(positive).mean()


def threshold(sigma: Float[Tensor, " u"], prior: float, share: float) -> Float[Tensor, ""]:
    """eta: so many unlabelled images lie at or below it as are `share` of the negatives among them."""
    below = round(share * (1 - prior) * len(sigma))
    return sigma.sort().values[max(below, 1) - 1]


def doubtful_risk(
    positive: Float[Tensor, " p"],
    unlabelled: Float[Tensor, " u"],
    positive_sigma: Float[Tensor, " p"],
    unlabelled_sigma: Float[Tensor, " u"],
    eta: Float[Tensor, ""],
    prior: float,
) -> Float[Tensor, ""]:
    """Eq. 7 with rho = 0: what positives lose, and what unlabelled images lose as far as they are doubted."""
    by_unlabelled = (unlabelled_sigma <= eta) * (1 - unlabelled_sigma)
    by_positives = (positive_sigma > eta) * (1 - positive_sigma) / positive_sigma
    on_negatives = (by_unlabelled * sigmoid_loss(-unlabelled)).mean()
    return prior * (sigmoid_loss(positive) + by_positives * sigmoid_loss(-positive)).mean() + on_negatives


@method("pu", paper="pubn")
@dataclass(frozen=True)
class PUbN:
    """Weights unlabelled images by how much a first network doubts them; the papers' PUbN without N."""

    epochs: Count = 200
    """Passes over the unlabelled images, for each of the two networks."""
    batch_positive: Count = 4
    """With `batch_unlabelled`, Self-PU's 256 in MNIST's ratio of 1,000 to 60,000."""
    batch_unlabelled: Count = 252
    lr: Positive = 5e-4
    """Adam's step size."""
    weight_decay: NonNegative = 5e-3
    share: UnitInterval = 0.7
    """tau: the share of the negatives that is to lie below the threshold."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 2, "batch_positive": 6, "batch_unlabelled": 250},
        "small": {"epochs": 40, "batch_positive": 6, "batch_unlabelled": 250},
        "gpu": {"epochs": 40},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-5, 1e-2)",
        "weight_decay": "log(1e-6, 1e-1)",
        "share": "uniform(0.3, 0.95)",
    }

    def build(self, problem: PUProblem) -> nn.Module:
        return problem.build_network()

    def fit(self, problem: PUProblem, run: Run) -> nn.Module:
        labelled, images = problem.positive.to(run.device), problem.unlabelled.to(run.device)
        cut = [self.batch_positive, self.batch_unlabelled]
        epoch = -(-len(images) // self.batch_unlabelled)  # steps

        doubting = problem.build_network(1).to(run.device)
        state, batches = self._training(doubting, labelled, images, run)
        for step in run.steps(self.epochs * epoch, state, name="sigma"):
            positive_indices, indices = (next(stream) for stream in batches)
            positive, rest = doubting(torch.cat([labelled[positive_indices], images[indices]])).split(cut)
            risk, objective = nnpu(*logistic_parts(positive, rest, problem.prior), 0.0, 1.0)
            descend(state["optimizer"], objective)
            run.log(step, risk=risk)

        positive_sigma, sigma = (scores(doubting, part).sigmoid() for part in (labelled, images))
        eta = threshold(sigma, problem.prior, self.share)
        net = self.build(problem).to(run.device)
        candidates = Candidates(problem)
        state, batches = self._training(net, labelled, images, run)
        for step in run.steps(self.epochs * epoch, state | {"candidates": candidates}, name="fit"):
            positive_indices, indices = (next(stream) for stream in batches)
            # One forward pass: apart, each would be normalised by its own statistics, which tell the label.
            positive, rest = net(torch.cat([labelled[positive_indices], images[indices]])).split(cut)
            risk = doubtful_risk(positive, rest, positive_sigma[positive_indices], sigma[indices], eta, problem.prior)
            descend(state["optimizer"], risk)
            run.log(step, risk=risk)
            if (step + 1) % epoch == 0:
                run.log(step, validation_risk=candidates.offer(step // epoch, network=net))
        run.artefact("chosen", candidates.chosen)
        return candidates.solution(net)

    def _training(
        self, net: nn.Module, labelled: Tensor, images: Tensor, run: Run
    ) -> tuple[dict[str, Any], tuple[Batches, Batches]]:
        """What changes while one of the two networks is trained, and its batches of indices."""
        positives = Batches(torch.arange(len(labelled), device=run.device), self.batch_positive, run)
        unlabelled = Batches(torch.arange(len(images), device=run.device), self.batch_unlabelled, run)
        optimizer = torch.optim.Adam(net.parameters(), self.lr, weight_decay=self.weight_decay)
        state = {"net": net, "optimizer": optimizer, "positives": positives, "unlabelled": unlabelled}
        return state, (positives, unlabelled)
