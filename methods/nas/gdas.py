"""GDAS: one architecture a batch, drawn so that the gradient still reaches what it was drawn from.

Dong and Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019.

    Gumbel-max and its relaxation, Eq. 3 to 5    `hard_sample`
    alternation, Algorithm 1                     the loop of `GDAS.fit`: weights on one half, preferences on the other
    temperature                                  `temperature`: from 10 to 0.1 along a line

Only the operator drawn is computed on an edge, so that a batch costs what one network costs, and the gradient by the
preferences comes through it alone. Equation numbers are from memory. Settings are those of
NAS-Bench-201's runs (Dong and Yang, ICLR 2020): 240 epochs in its configuration; the most likely operators at the end.

Differs from the authors' code: the temperature falls from step to step, there from epoch to epoch; operators that were
not drawn have no part in the gradient (`undrawn`).

e edges, o operators
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bench import Count, Positive, Presets, Run, Search, method
from bench.training import descend
from methods.nas._choices import Preferences, derived, entropy
from methods.nas._one_shot import PreferenceTraining, Shared
from tasks.nas import Found, NASProblem


def hard_sample(logits: Float[Tensor, "e o"], temperature: float, generator: torch.Generator) -> Float[Tensor, "e o"]:
    """One operator an edge, drawn with the probabilities of the softmax: exactly 1 there and 0 elsewhere.

    The gradient is that of the softmax of (log-probabilities + Gumbel noise) / temperature.
    """
    exponential = torch.empty(logits.shape, dtype=torch.float64).exponential_(generator=generator)
    gumbel = -exponential.log().to(logits)
    soft = ((logits.log_softmax(dim=-1) + gumbel) / temperature).softmax(dim=-1)
    hard = torch.nn.functional.one_hot(soft.argmax(dim=-1), logits.shape[-1]).to(soft)
    return hard + (soft - soft.detach())  # the difference is zero to the bit


def temperature(progress: float, first: float, last: float) -> float:
    """When that share of the steps is done, the last one being done at 1."""
    return first + (last - first) * progress


@method("nas", paper="gdas")
@dataclass(frozen=True)
class GDAS(PreferenceTraining):
    """Trains one drawn architecture of a supernet a batch, and the preferences that it was drawn from."""

    epochs: Count = 240
    """Passes over the half of the images that trains the weights."""
    first_temperature: Positive = 10.0
    last_temperature: Positive = 0.1
    undrawn: Literal["left-out", "added"] = "left-out"
    """What operators that were not drawn do: nothing, as in the paper; or, as in the released code, their weights,
    which are zero, are added to every feature, so that the preferences get a gradient that is no operator's."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 2, "batch": 16, "architecture_lr": 0.02},
        "small": {"epochs": 8, "architecture_lr": 0.01},
        "gpu": {"epochs": 20, "architecture_lr": 2e-3},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-3, 0.3)",
        "architecture_lr": "log(1e-5, 1e-1)",
        "architecture_weight_decay": "log(1e-5, 1e-1)",
        "first_temperature": "log(1, 100)",
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        shared = Shared(problem, self, run, add_zeros=self.undrawn == "added")
        preferences = Preferences(problem.space, run.generator).to(run.device)
        architect = self.architect(preferences)
        state = {**shared.state, "preferences": preferences, "architect": architect}
        for step in run.steps(shared.steps, state, name="search"):
            shared.set_lr(step / shared.steps)
            tau = temperature(step / max(shared.steps - 1, 1), self.first_temperature, self.last_temperature)
            drawn = hard_sample(preferences.logits.detach(), tau, run.generator)
            loss = shared.train(shared.next_training(), drawn)
            search_loss = shared.loss(shared.next_judging(), hard_sample(preferences.logits, tau, run.generator))
            descend(architect, search_loss)
            spread = entropy(preferences.probabilities().detach())
            run.log(step, loss=loss, search_loss=search_loss, entropy=spread, temperature=tau)
        probabilities = preferences.probabilities().detach()
        found = derived(problem.space, probabilities)
        run.artefact("architecture", str(found))
        run.artefact("probabilities", probabilities.tolist())
        return Found(found)
