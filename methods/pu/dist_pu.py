"""Dist-PU: the mean predicted label of unlabelled images must be the class prior.

Zhao, Xu, Jiang, Wen and Huang, "Dist-PU: Positive-Unlabeled Learning from a Label Distribution Perspective", CVPR 2022.

    label distribution loss    `label_distribution`, in the authors' scale: the paper's 2 pi |..| + |..| over 2 pi
    entropy of predictions     `entropy` of calibration.py, against predictions that all sit at the prior
    mixup of pseudo-labels     `mixed_loss`, with the network's own last predictions as labels, and 1 for positives

Two phases as in the authors' code: a warm-up on the label distribution and the entropy, then a smaller step size with
mixup, in which the weight of the entropy grows from 0.

Differs from the authors' code: batches have a fixed number of labelled positives, as in `nnpu`.

p labelled positives, u unlabelled, b both
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from bench import Count, NonNegative, Positive, Presets, Run, Search, method
from bench.seeds import derive_seed
from bench.training import Batches, Memory, descend
from methods.pu._selection import Candidates
from methods.pu.self_pu.calibration import entropy
from methods.pu.vpu import beta
from tasks.pu import PUProblem, scores

MOST_CERTAIN = 10.0
"""Scores are cut at this size in the second phase."""
LEAST_LR = 0.7
"""The share of the second phase's step size that a cosine leaves at its end; it leaves none of the first one's."""


def label_distribution(
    positive: Float[Tensor, " p"], unlabelled: Float[Tensor, " u"], prior: float
) -> Float[Tensor, ""]:
    """|mean_P p - 1| + |mean_U p - pi| / (2 pi), of scores with p their sigmoid."""
    missed = (positive.sigmoid().mean() - 1).abs()
    return missed + (unlabelled.sigmoid().mean() - prior).abs() / (2 * prior)


def mixed_loss(
    mixed: Float[Tensor, " b"], labels: Float[Tensor, " b"], partners: Float[Tensor, " b"], share: float
) -> Float[Tensor, ""]:
    """Cross-entropy of the scores of mixed images, of which `share` has the one label and the rest the other."""
    return share * binary_cross_entropy_with_logits(mixed, labels) + (1 - share) * binary_cross_entropy_with_logits(
        mixed, partners
    )


def cosine(lr: float, least: float, progress: float) -> float:
    """A step size that falls from `lr` to `least` times it."""
    return lr * (least + (1 - least) * (1 + math.cos(math.pi * progress)) / 2)


@method("pu", paper="dist-pu")
@dataclass(frozen=True)
class DistPU:
    """Aligns the predicted label distribution with the known one, then mixes; takes the prior from the problem."""

    warm_up_epochs: Count = 60
    """Passes over the unlabelled images before there is any mixup."""
    mixup_epochs: Count = 60
    batch_positive: Count = 4
    """With `batch_unlabelled`, the authors' 256 in MNIST's ratio of 1,000 to 60,000."""
    batch_unlabelled: Count = 252
    warm_up_lr: Positive = 5e-4
    """Adam's step size at the start; a cosine takes it to zero."""
    lr: Positive = 5e-5
    """The same for the second phase."""
    warm_up_weight_decay: NonNegative = 5e-3
    weight_decay: NonNegative = 1e-3
    warm_up_entropy: NonNegative = 2e-3
    """Weight of the entropy of unlabelled predictions during the warm-up, mu."""
    entropy: NonNegative = 4e-3
    """The same at the end of the second phase, to which it grows."""
    mixed_entropy: NonNegative = 0.04
    mixup: NonNegative = 5.0
    mixing: Positive = 6.0
    """alpha: the shares of a mixed image are drawn from Beta(alpha, alpha), once a batch."""

    presets: ClassVar[Presets] = {
        "smoke": {"warm_up_epochs": 2, "mixup_epochs": 2, "batch_positive": 6, "batch_unlabelled": 250},
        "small": {"warm_up_epochs": 20, "mixup_epochs": 20, "batch_positive": 6, "batch_unlabelled": 250},
        "gpu": {"warm_up_epochs": 20, "mixup_epochs": 20},
    }
    search: ClassVar[Search] = {
        "warm_up_lr": "log(1e-5, 1e-2)",
        "lr": "log(1e-6, 1e-3)",
        "mixup": "log(0.1, 20)",
    }

    def build(self, problem: PUProblem) -> nn.Module:
        return problem.build_network()

    def fit(self, problem: PUProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        positives = Batches(problem.positive.to(run.device), self.batch_positive, run)
        images = problem.unlabelled.to(run.device)
        unlabelled = Batches(torch.arange(len(images), device=run.device), self.batch_unlabelled, run)
        draws = run.stream()
        cut = [self.batch_positive, self.batch_unlabelled]
        epoch = -(-len(images) // self.batch_unlabelled)  # steps
        candidates = Candidates(problem)
        state = {"net": net, "positives": positives, "unlabelled": unlabelled, "candidates": candidates}

        optimizer = torch.optim.Adam(net.parameters(), self.warm_up_lr, weight_decay=self.warm_up_weight_decay)
        for step in run.steps(self.warm_up_epochs * epoch, state | {"optimizer": optimizer}, name="train/warm-up"):
            optimizer.param_groups[0]["lr"] = cosine(self.warm_up_lr, 0.0, step // epoch / self.warm_up_epochs)
            positive, rest = net(torch.cat([next(positives), images[next(unlabelled)]])).split(cut)
            risk = label_distribution(positive, rest, problem.prior)
            descend(optimizer, risk + self.warm_up_entropy * entropy(rest).mean())
            run.log(step, risk=risk)
            if (step + 1) % epoch == 0:
                run.log(step, validation_risk=candidates.offer(step // epoch, network=net))

        optimizer = torch.optim.Adam(net.parameters(), self.lr, weight_decay=self.weight_decay)
        pseudo = Memory(labels=scores(net, images).sigmoid())
        ones = torch.ones(self.batch_positive, device=run.device)
        state |= {"optimizer": optimizer, "pseudo": pseudo}
        for step in run.steps(self.mixup_epochs * epoch, state, name="train/mixup"):
            progress = step // epoch / self.mixup_epochs
            optimizer.param_groups[0]["lr"] = cosine(self.lr, LEAST_LR, progress)
            indices = next(unlabelled)
            batch = torch.cat([next(positives), images[indices]])  # p + u, c, h, w
            labels = torch.cat([ones, pseudo.labels[indices]])
            seed = derive_seed(draws, step)
            share = beta(self.mixing, seed)
            partners = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed)).to(run.device)
            mixed = net(share * batch + (1 - share) * batch[partners]).clamp(-MOST_CERTAIN, MOST_CERTAIN)
            positive, rest = net(batch).clamp(-MOST_CERTAIN, MOST_CERTAIN).split(cut)
            risk = label_distribution(positive, rest, problem.prior)
            sharpness = (1 - math.cos(progress * math.pi / 2)) * self.entropy * entropy(rest).mean()
            mixture = self.mixed_entropy * entropy(mixed).mean()
            mixture = mixture + self.mixup * mixed_loss(mixed, labels, labels[partners], share)
            descend(optimizer, risk + sharpness + mixture)
            pseudo.labels[indices] = rest.detach().sigmoid()
            run.log(step, risk=risk)
            if (step + 1) % epoch == 0:
                run.log(step, validation_risk=candidates.offer(self.warm_up_epochs + step // epoch, network=net))
        run.artefact("chosen", candidates.chosen)
        return candidates.solution(net)
