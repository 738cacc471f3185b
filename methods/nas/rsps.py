"""RSPS: random search with parameter sharing. Every batch trains a random architecture of a supernet; then some random
architectures are compared with the weights that they share.

Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.

Settings are those of NAS-Bench-201's runs (Dong and Yang, ICLR 2020): 250 epochs, then 100 architectures, each judged
on a batch of its own from the other half of the images, without augmentation. That batch has 256 images in the paper,
from memory, and 512 in the released code. Li and Talwalkar compare more architectures, over several rounds, and train
the best of them from scratch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench import Count, Presets, Run, Search, method
from bench.training import Batches, Memory
from methods.nas._one_shot import Shared, WeightTraining, accuracy
from tasks.nas import Architecture, Found, NASProblem


@method("nas", paper="rsps")
@dataclass(frozen=True)
class RSPS(WeightTraining):
    """Shares weights among random architectures, and keeps the one that does best with them on other images."""

    epochs: Count = 250
    """Passes over the half of the images that trains the weights."""
    candidates: Count = 100
    """Random architectures compared at the end."""
    batch_judging: Count = 256
    """Images on which each of them is judged."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 2, "batch": 16, "candidates": 10, "batch_judging": 64},
        "small": {"epochs": 10},
        "gpu": {"epochs": 20},
    }
    search: ClassVar[Search] = {"lr": "log(1e-3, 0.3)", "weight_decay": "log(1e-5, 1e-2)"}

    def fit(self, problem: NASProblem, run: Run) -> Found:
        shared = Shared(problem, self, run)
        for step in run.steps(shared.steps, shared.state, name="train"):
            shared.set_lr(step / shared.steps)
            drawn = problem.space.random(run.generator).weights().to(run.device)
            run.log(step, loss=shared.train(shared.next_training(), drawn))

        judging = Batches(
            (problem.search_images.to(run.device), problem.search_labels.to(run.device)), self.batch_judging, run
        )
        compared = Memory(choices=[], accuracies=[])
        for step in run.steps(self.candidates, {"judging": judging, "compared": compared}, name="compare"):
            candidate = problem.space.random(run.generator)
            images, labels = next(judging)
            with torch.no_grad():
                logits = shared.net(images, candidate.weights().to(run.device))
            compared.choices.append(candidate.choice)
            compared.accuracies.append(accuracy(logits, labels))
            run.log(step, shared_accuracy=compared.accuracies[-1], best_so_far=max(compared.accuracies))
        scores: dict[Architecture, float] = {}
        for choice, score in zip(compared.choices, compared.accuracies, strict=True):
            # One that comes up again keeps the best of its batches.
            architecture = Architecture(problem.space, tuple(choice))
            scores[architecture] = max(score, scores.get(architecture, score))
        found = max(scores, key=scores.__getitem__)
        run.artefact("architecture", str(found))
        return Found(found, tuple(scores), torch.tensor(list(scores.values())))
