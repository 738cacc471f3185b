"""How a training-free score goes over the problem's sample of architectures.

The best of the sample by its score is the architecture found. What is not finite, as of a cell that lets nothing
through, counts as one below the least that is.

n images, c channels, h w pixels, s scored architectures
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bench import Count, Positive, Presets, Run
from bench.seeds import derive_seed
from bench.training import Memory
from methods.nas._initial import initialise
from tasks.nas import Architecture, Found, NASProblem

Score = Callable[[nn.Module, Float[Tensor, "n c h w"], Int64[Tensor, " n"], torch.Generator], float]
"""Of a network at initialisation, given a batch of training images, their labels, and a source of draws."""


@dataclass(frozen=True)
class NetworkScore:
    """Settings of all scores that are read from the network which is trained in the end."""

    width: Positive = 1.0
    """Its channels, as a share of that network's."""
    depth: Positive = 1.0
    """Its cells, as a share of that network's."""
    repeats: Count = 1
    """Draws of weights and images over which a score is averaged."""

    presets: ClassVar[Presets] = {
        "smoke": {"width": 0.25, "depth": 0.2},
        "small": {"width": 0.5, "depth": 0.2},
    }

    def score_all(self, problem: NASProblem, run: Run, batch: int, score: Score) -> Found:
        """Scores the networks of the sample, each drawn as torch does it, in training mode."""
        space, seed = problem.space, run.stream()
        channels = max(1, round(self.width * problem.network_channels))
        layers = space.layers(max(1, round(self.depth * problem.network_cells)))
        inputs = problem.images.shape[1]

        def of(architecture: Architecture, number: int) -> float:
            net = space.network(architecture, channels, layers, problem.classes, inputs).to(run.device).train()
            total = 0.0
            for repeat in range(self.repeats):
                generator = torch.Generator().manual_seed(derive_seed(seed, number, repeat))
                initialise(net, "default", "fan_in", generator)
                picked = torch.randperm(len(problem.images), generator=generator)[:batch]
                images, labels = problem.images[picked].to(run.device), problem.labels[picked].to(run.device)
                total += score(net, images, labels, generator)
            return total / self.repeats

        return score_sample(problem, run, of)


def score_sample(problem: NASProblem, run: Run, of: Callable[[Architecture, int], float]) -> Found:
    """Scores the sample, an architecture a step; `of` is given each and its number. High is good."""
    memory = Memory(scores=[])
    for step in run.steps(len(problem.sample), {"scores": memory}, name="score"):
        memory.scores = [*memory.scores, of(problem.sample[step], step)]
    return ranked(problem.sample[: len(memory.scores)], torch.tensor(memory.scores, dtype=torch.float64), run)


def ranked(scored: tuple[Architecture, ...], scores: Float[Tensor, " s"], run: Run) -> Found:
    """The architecture with the highest score, and all scores."""
    finite = scores.isfinite()
    least = scores[finite].min().item() if finite.any() else 0.0
    scores = torch.where(finite, scores, least - 1)
    best = scored[int(scores.argmax())]
    run.artefact("architecture", str(best))
    run.artefact("not_finite", int((~finite).sum()))
    return Found(best, scored, scores)


def kernels(net: nn.Module) -> list[Tensor]:
    """The weights of convolutions and linear layers: what the pruning scores are summed over."""
    return [module.weight for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
