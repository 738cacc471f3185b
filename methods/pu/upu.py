"""uPU: learning from positive and unlabelled data with an unbiased estimate of the risk.

du Plessis, Niu and Sugiyama, NeurIPS 2014 and ICML 2015; Eq. 2 of Kiryo, Niu, du Plessis and Sugiyama, NeurIPS 2017.

    risk    the sum of the two results of `pu_parts`

A network that is large enough drives the risk below zero, down to -pi, by calling labelled positives positive and
everything else negative. That is what nnPU mends: compare `risk` with `validation_risk`.

Differs from these papers: a deep network, the sigmoid loss and Adam in place of a linear model and a convex loss, as in
nnPU's comparison; settings and batches are those of `nnpu`, so that the two differ in the risk alone.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, method
from bench.training import Batches, descend
from methods.pu._risks import pu_parts
from methods.pu._selection import Candidates
from tasks.pu import PUProblem


@method("pu", paper="upu")
@dataclass(frozen=True)
class UPU:
    """Minimises the unbiased PU risk, which overfits; takes the class prior from the problem."""

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
            positive, rest = net(images).split([self.batch_positive, self.batch_unlabelled])
            on_positives, on_negatives = pu_parts(positive, rest, problem.prior)
            risk = on_positives + on_negatives
            descend(optimizer, risk)
            run.log(step, risk=risk, negative_risk=on_negatives)
            if (step + 1) % epoch == 0:
                run.log(step, validation_risk=candidates.offer(step // epoch, network=net))
        run.artefact("chosen", candidates.chosen)
        return candidates.solution(net)
