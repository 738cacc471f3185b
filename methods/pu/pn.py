"""The oracle: supervised learning from the true labels of all unlabelled images.

What a PU method could reach at best with this network and loss. It is no PU method: it reads `oracle_labels`.

n images of a batch
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


def pn_risk(scores: Float[Tensor, " n"], labels: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """The mean loss against labels of +1 or -1: pi R_p+ + (1 - pi) R_n-, where pi is the positives' share of them."""
    return sigmoid_loss(labels * scores).mean()


@method("pu", oracle=True)
@dataclass(frozen=True)
class PN:
    """Learns from true labels, positive and negative, which no PU method may use nor is expected to beat."""

    epochs: Count = 200
    """Passes over the unlabelled images."""
    batch: Count = 256
    lr: Positive = 5e-4
    """Adam's step size."""
    weight_decay: NonNegative = 5e-3

    presets: ClassVar[Presets] = {"smoke": {"epochs": 3}, "small": {"epochs": 40}, "gpu": {"epochs": 40}}
    search: ClassVar[Search] = {"lr": "log(1e-5, 1e-2)", "weight_decay": "log(1e-6, 1e-1)"}

    def build(self, problem: PUProblem) -> nn.Module:
        return problem.build_network()

    def fit(self, problem: PUProblem, run: Run) -> nn.Module:
        net = self.build(problem).to(run.device)
        optimizer = torch.optim.Adam(net.parameters(), self.lr, weight_decay=self.weight_decay)
        labelled = (problem.unlabelled.to(run.device), problem.oracle_labels.to(run.device))
        batches = Batches(labelled, self.batch, run)
        epoch = -(-len(problem.unlabelled) // self.batch)  # steps
        candidates = Candidates(problem)

        state = {"net": net, "optimizer": optimizer, "batches": batches, "candidates": candidates}
        for step in run.steps(self.epochs * epoch, state):
            images, labels = next(batches)
            risk = pn_risk(net(images), labels)
            descend(optimizer, risk)
            run.log(step, risk=risk)
            if (step + 1) % epoch == 0:
                run.log(step, validation_risk=candidates.offer(step // epoch, network=net))
        run.artefact("chosen", candidates.chosen)
        return candidates.solution(net)
