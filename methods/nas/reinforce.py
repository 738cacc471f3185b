"""REINFORCE: a policy over architectures that climbs the gradient of the validation accuracy it can expect.

Williams, Machine Learning 1992; for architectures, Zoph and Le, ICLR 2017; as a baseline, NAS-Bench-201 (Dong and
Yang, ICLR 2020), whose policy is a softmax for each edge, without a network.

    policy                          `_choices.Preferences`
    gradient of expected reward     `surrogate`
    baseline                        `moving_average`, of the rewards up to now, this one included

Settings are those of the benchmark's code: Adam, a moving average with momentum 0.9 that is corrected for its start,
rewards in %. Its answer is the best architecture of all that were trained, not the policy's. Differs from it: the
budget is a number of architectures, by default 100, about what its 12,000 s of training are worth on CIFAR-10 (from
memory); a query gives the mean over the training seeds, theirs a random one's.

e edges, o operators
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench import Count, Fraction, Positive, Presets, Run, Search, Unsupported, method
from bench.training import descend
from methods.nas._choices import Preferences, entropy
from methods.nas._trials import Trials
from tasks.nas import Architecture, Found, NASProblem


def surrogate(logits: Float[Tensor, "e o"], choice: Int[Tensor, " e"], advantage: float) -> Float[Tensor, ""]:
    """What to descend: its gradient is an unbiased estimate of that of the expected reward, with a minus.

    The gradient for an edge is advantage x (softmax - one-hot of the operator drawn).
    """
    drawn = logits.log_softmax(dim=-1).gather(1, choice[:, None])
    return -advantage * drawn.sum()


def moving_average(rewards: list[float], momentum: float) -> float:
    """Of the last reward most, of each before it `momentum` times as much as of the next; weights add up to 1."""
    weights = [momentum**age for age in reversed(range(len(rewards)))]
    return sum(weight * reward for weight, reward in zip(weights, rewards, strict=True)) / sum(weights)


@method("nas", paper="reinforce")
@dataclass(frozen=True)
class Reinforce:
    """Draws architectures from a policy, and makes those likelier that did better than the average."""

    trials: Count = 100
    """Architectures trained."""
    lr: Positive = 1e-3
    """Adam's step size."""
    momentum: Fraction = 0.9
    """Of the moving average of rewards."""

    presets: ClassVar[Presets] = {"smoke": {"trials": 10}}
    search: ClassVar[Search] = {"lr": "log(1e-4, 1)", "momentum": "uniform(0.5, 0.99)"}

    def fit(self, problem: NASProblem, run: Run) -> Found:
        if problem.space.kept is not None:
            raise Unsupported(f"a softmax for each edge draws cells that {problem.space.name} does not have")
        policy = Preferences(problem.space, run.generator)
        optimizer = torch.optim.Adam(policy.parameters(), self.lr)
        trials = Trials(problem)
        state = {"policy": policy, "optimizer": optimizer, "trials": trials}
        for step in run.steps(self.trials, state, name="search"):
            probabilities = policy.probabilities().detach()
            choice = torch.multinomial(probabilities, 1, generator=run.generator)[:, 0]
            reward = trials.ask(Architecture(problem.space, tuple(choice.tolist())), step, run)
            average = moving_average(trials.accuracies, self.momentum)
            descend(optimizer, surrogate(policy.logits, choice, reward - average))
            run.log(step, average=average, entropy=entropy(probabilities))
        return trials.found(run)
