"""ENAS: a recurrent controller draws architectures, and learns from how they do with the weights that all share.

Pham, Guan, Zoph, Le and Dean, "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018.

    controller, section 2.1             `Controller`: an LSTM that is told each choice before it makes the next
    alternation, section 2.2            the loop of `ENAS.fit`: an epoch of the weights, then the controller's turn
    restarts of the step size           `cycle`: 10 epochs long, then 20, 40, 80 and 160, 310 in all
    deriving, section 2.2               the best of some architectures drawn at the end, each on a batch of its own

Settings are those of NAS-Bench-201's runs (Dong and Yang, ICLR 2020); the numbers of sections, the sizes of the
controller, its temperature and the constant of its tanh are from memory. There the search is published to end at the
cell whose edges all skip, 54.30 % on CIFAR-10: nothing here forces or prevents it.

Differs from the benchmark's code: step sizes restart as in the paper, there the cosine runs back up; the baseline moves
from draw to draw, there it is that of the turn before.

b images of a batch, e edges, o operators, s draws
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench import Count, Fraction, NonNegative, Positive, Presets, Run, Search, Unsupported, method
from bench.training import Memory, descend
from methods.nas._one_shot import Shared, WeightTraining, accuracy
from tasks.nas import Found, NASProblem
from tasks.nas.spaces import Architecture, Space

CONTROLLER_BETAS = (0.0, 0.999)
CONTROLLER_EPSILON = 1e-3
"""Of the controller's Adam."""
FIRST_RANGE = 0.1
"""The controller's weights begin uniform between plus and minus this."""


class Controller(nn.Module):
    """Draws an operator for one edge after another."""

    def __init__(self, space: Space, hidden: int, layers: int, temperature: float, bound: float) -> None:
        super().__init__()
        self.edges, self.operators = len(space.edges), len(space.operators)
        self.temperature, self.bound = temperature, bound
        self.first = nn.Parameter(torch.empty(1, hidden))
        self.chosen = nn.Embedding(self.edges * self.operators, hidden)
        self.memory = nn.LSTM(hidden, hidden, layers)
        self.logits = nn.Linear(hidden, self.operators)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        for parameter in self.parameters():
            parameter.uniform_(-FIRST_RANGE, FIRST_RANGE, generator=generator)

    def forward(self, generator: torch.Generator) -> tuple[Int[Tensor, " e"], Float[Tensor, ""], Float[Tensor, ""]]:
        """A choice, its log-probability, and the sum of the entropies met on the way to it, in nats.

        Logits are `bound` tanh(x / `temperature`).
        """
        told, state = self.first, None
        choice, log_probability, entropy = [], self.first.new_zeros(()), self.first.new_zeros(())
        for edge in range(self.edges):
            output, state = self.memory(told, state)
            logits = (self.bound * torch.tanh(self.logits(output[0]) / self.temperature)).log_softmax(dim=-1)
            # On the CPU, where the generator lives.
            drawn = torch.multinomial(logits.detach().exp().cpu(), 1, generator=generator).to(logits.device)
            choice.append(drawn)
            log_probability = log_probability + logits[drawn[0]]
            entropy = entropy - (logits.exp() * logits).sum()
            told = self.chosen(edge * self.operators + drawn)
        return torch.cat(choice), log_probability, entropy


def cycle(epoch: int, first: int) -> float:
    """How much of its cycle of step sizes is over when an epoch begins; every cycle is twice as long as the last."""
    # Cycle number n begins at (2^n - 1) first.
    number = int(math.log2(epoch / first + 1))
    return (epoch - (2**number - 1) * first) / (2**number * first)


@method("nas", paper="enas")
@dataclass(frozen=True)
class ENAS(WeightTraining):
    """Trains the weights that architectures share, and the controller that draws them, in turns."""

    epochs: Count = 310
    batch: Count = 128
    lr: Positive = 0.05
    """Step size of the weights, at the start of a cycle."""
    final_lr: NonNegative = 5e-4
    """At the end of a cycle."""
    weight_decay: NonNegative = 2.5e-4
    first_cycle: Count = 10
    """Epochs of the first cycle; every other is twice as long as the one before."""
    controller_steps: Count = 50
    """Updates of the controller after an epoch."""
    draws: Count = 20
    """Architectures from which each of them learns."""
    controller_lr: Positive = 1e-3
    """Adam's step size for the controller."""
    controller_max_norm: Positive = 5.0
    entropy_weight: NonNegative = 1e-4
    """What a nat of entropy adds to a reward, the share of images that an architecture is right on."""
    baseline_decay: Fraction = 0.99
    hidden: Count = 32
    """Units of the controller, in each layer."""
    layers: Count = 2
    temperature: Positive = 5.0
    """What logits are divided by before the tanh."""
    bound: Positive = 2.5
    """What the tanh is multiplied by."""
    candidates: Count = 100
    """Architectures compared at the end."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 3, "batch": 16, "first_cycle": 1, "controller_steps": 2, "draws": 3, "candidates": 10},
        "small": {
            "epochs": 7,
            "batch": 64,
            "first_cycle": 1,
            "controller_steps": 10,
            "draws": 5,
            "controller_lr": 0.01,
        },
        "gpu": {"epochs": 14, "first_cycle": 2, "controller_lr": 5e-3},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-3, 0.3)",
        "controller_lr": "log(1e-4, 1e-1)",
        "entropy_weight": "log(1e-6, 1e-1)",
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        if problem.space.kept is not None:
            raise Unsupported(f"the controller draws an operator for each edge, and {problem.space.name} drops edges")
        shared = Shared(problem, self, run)
        controller = Controller(problem.space, self.hidden, self.layers, self.temperature, self.bound)
        controller.reset(run.generator)
        controller.to(run.device)
        pupil = torch.optim.Adam(controller.parameters(), self.controller_lr, CONTROLLER_BETAS, CONTROLLER_EPSILON)
        baseline = Memory(value=None)

        @torch.no_grad()
        def judged(choice: Int[Tensor, " e"]) -> float:
            """The share of a new batch's images that the architecture is right on."""
            images, labels = shared.next_judging()
            return accuracy(shared.net(images, one_hot(choice)), labels) / 100

        def one_hot(choice: Int[Tensor, " e"]) -> Float[Tensor, "e o"]:
            return nn.functional.one_hot(choice, controller.operators).float()

        state = {**shared.state, "controller": controller, "pupil": pupil, "baseline": baseline}
        for epoch in run.steps(self.epochs, state, name="search"):
            shared.set_lr(cycle(epoch, self.first_cycle))
            losses = []
            for _ in range(shared.epoch):
                with torch.no_grad():
                    choice, _, _ = controller(run.generator)
                losses.append(shared.train(shared.next_training(), one_hot(choice)))
            rewards, entropies = [], []
            for _ in range(self.controller_steps):
                objective = torch.zeros((), device=run.device)
                for _ in range(self.draws):
                    choice, log_probability, entropy = controller(run.generator)
                    reward = judged(choice) + self.entropy_weight * entropy.item()
                    old = reward if baseline.value is None else baseline.value
                    baseline.value = self.baseline_decay * old + (1 - self.baseline_decay) * reward
                    objective = objective - log_probability * (reward - baseline.value) / self.draws
                    rewards.append(reward)
                    entropies.append(entropy.detach() / controller.edges)
                descend(pupil, objective, self.controller_max_norm)
            run.log(
                epoch,
                loss=torch.stack(losses).mean(),
                reward=sum(rewards) / len(rewards),
                entropy=torch.stack(entropies).mean(),
            )

        compared = Memory(choices=[], accuracies=[])
        for step in run.steps(self.candidates, {**shared.state, "compared": compared}, name="compare"):
            with torch.no_grad():
                choice, _, _ = controller(run.generator)
            compared.choices.append(choice.tolist())
            compared.accuracies.append(100 * judged(choice))
            run.log(step, shared_accuracy=compared.accuracies[-1], best_so_far=max(compared.accuracies))
        best = compared.accuracies.index(max(compared.accuracies))
        found = Architecture(problem.space, tuple(compared.choices[best]))
        run.artefact("architecture", str(found))
        return Found(found)
