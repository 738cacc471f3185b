"""A recurrent policy that sets the step size of each group of layers, and learns to by REINFORCE.

ASG (Chen and others, ICML 2020), RL-L2O, as in its released code.

    the state: five scalars and the groups' step sizes     `observation`
    five LSTMs, a head for each group, a critic            `RatePolicy`
    one decision                                           `RatePolicy.decide`, which samples
    R_t = r_t + gamma R_{t+1}                              `returns`
    loss = -mean of R_t log pi(a_t | s_t)                  `Rollout.loss`; no baseline, no entropy, no clipping

Departures: how the authors rewarded their policy was not released, so `exponential_reward` is ours. Their network
returns the hidden state that it was given and thus decides without memory; ours remembers unless `memoryless`. As
theirs, it has a critic from which nothing is learnt.

t decisions, g groups, o = 5 + g observed numbers, a = 11 actions
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

SCALARS = 5
"""Task loss, divergence from the teacher, progress, mean and deviation of a weight of the new head."""
HIDDEN = 20
ACTIONS = 11
"""Multipliers 0, 0.1, ..., 1."""
HEAD_GAIN = 0.01

Hidden = tuple[Tensor, Tensor]
"""State and cell of the five LSTMs, 5 x 20 each."""


class Decision(NamedTuple):
    """What the policy says at each of t states."""

    logits: Float[Tensor, "t g a"]
    value: Float[Tensor, " t"]
    """The critic's."""
    hidden: Hidden


def observation(
    task_loss: float, divergence: float, progress: float, head_weight: Tensor, ratios: Float[Tensor, " g"]
) -> Float[Tensor, " o"]:
    """The state after a window: means of both losses over it, the share of all iterations done, and the step sizes.

    `ratios` are step sizes relative to the base one; of a head the mean and the deviation of its last weight count.
    """
    weight = head_weight.detach().float().cpu()
    scalars = [task_loss, divergence, progress, weight.mean().item(), weight.std().item()]
    return torch.cat([torch.tensor(scalars), ratios])


def multipliers(actions: Int64[Tensor, " g"]) -> Float[Tensor, " g"]:
    """Actions as shares of the base step size."""
    return actions / (ACTIONS - 1)


class RatePolicy(nn.Module):
    """One LSTM for each scalar; a head for each group sees them all, and that group's own step size."""

    def __init__(self, groups: int, memoryless: bool = False) -> None:
        super().__init__()
        self.memoryless = memoryless
        self.memories = nn.ModuleList(nn.LSTM(1, HIDDEN) for _ in range(SCALARS))
        width = SCALARS * HIDDEN + 1
        self.heads = nn.ModuleList(nn.Linear(width, ACTIONS) for _ in range(groups))
        self.critic = nn.Linear(groups * width, 1)
        for parts, gain in ((self.memories, 1.0), (self.heads, HEAD_GAIN)):
            for name, parameter in parts.named_parameters():
                if "bias" in name:
                    nn.init.zeros_(parameter)
                else:
                    nn.init.orthogonal_(parameter, gain)

    def start(self) -> Hidden:
        """Before the first decision."""
        return torch.zeros(SCALARS, HIDDEN), torch.zeros(SCALARS, HIDDEN)

    def forward(self, states: Float[Tensor, "t o"], hidden: Hidden) -> Decision:
        """Decisions at successive states, from what the policy remembered before them."""
        outputs, ends = [], []
        for scalar, memory in enumerate(self.memories):
            before = tuple(part[scalar][None] for part in hidden)  # 1, HIDDEN
            remembered, after = memory(states[:, scalar, None], before)
            outputs.append(remembered)
            ends.append(after)
        shared = torch.cat(outputs, dim=1)  # t, 5 HIDDEN
        seen = [torch.cat([shared, ratio[:, None]], dim=1) for ratio in states[:, SCALARS:].T]
        logits = torch.stack([head(part) for head, part in zip(self.heads, seen, strict=True)], dim=1)
        state, cell = (torch.cat(parts) for parts in zip(*ends, strict=True))
        return Decision(logits, self.critic(torch.cat(seen, dim=1))[:, 0], (state, cell))

    @torch.no_grad()
    def decide(
        self, state: Float[Tensor, " o"], hidden: Hidden, generator: torch.Generator
    ) -> tuple[Int64[Tensor, " g"], Hidden]:
        """A sampled action for each group, and what is remembered: without memory, what was before."""
        decision = self(state[None], hidden)
        actions = torch.multinomial(decision.logits[0].softmax(-1), 1, generator=generator)[:, 0]
        return actions, hidden if self.memoryless else decision.hidden

    def log_probability(
        self, states: Float[Tensor, "t o"], actions: Int64[Tensor, "t g"], hidden: Hidden
    ) -> Float[Tensor, " t"]:
        """Ln pi of each joint action: groups are independent, given the state. Unrolled, whether memoryless or not."""
        chosen = self(states, hidden).logits.log_softmax(-1).gather(2, actions[:, :, None])
        return chosen[:, :, 0].sum(1)


def returns(rewards: Float[Tensor, " t"], gamma: float) -> Float[Tensor, " t"]:
    """R_t = r_t + gamma R_{t+1}; nothing follows the last."""
    ahead = torch.zeros(())
    found = []
    for reward in rewards.flip(0):
        ahead = reward + gamma * ahead
        found.append(ahead)
    return torch.stack(found[::-1])


def exponential_reward(loss: float) -> float:
    """exp(-loss), of a window's mean training loss: between 0 and 1, and no real image is asked. Ours."""
    return math.exp(-loss)


class Rollout:
    """Successive decisions with their rewards, from which a policy learns at once; then it is empty again."""

    def __init__(self, hidden: Hidden) -> None:
        self.hidden = hidden
        self.states: list[Tensor] = []
        self.actions: list[Tensor] = []
        self.rewards: list[float] = []

    def __len__(self) -> int:
        return len(self.rewards)

    def add(self, state: Float[Tensor, " o"], actions: Int64[Tensor, " g"], reward: float) -> None:
        self.states.append(state)
        self.actions.append(actions)
        self.rewards.append(reward)

    def loss(self, policy: RatePolicy, gamma: float) -> Float[Tensor, ""]:
        """REINFORCE: minus the mean of return times log-probability."""
        log_probabilities = policy.log_probability(torch.stack(self.states), torch.stack(self.actions), self.hidden)
        return -(returns(torch.tensor(self.rewards), gamma) * log_probabilities).mean()

    def restart(self, hidden: Hidden) -> None:
        """Forgets all, to go on from here."""
        self.hidden, self.states, self.actions, self.rewards = hidden, [], [], []

    def state_dict(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "states": self.states, "actions": self.actions, "rewards": self.rewards}

    def load_state_dict(self, state_dict: dict[str, Sequence[Any]]) -> None:
        self.hidden = (state_dict["hidden"][0], state_dict["hidden"][1])
        self.states, self.actions = list(state_dict["states"]), list(state_dict["actions"])
        self.rewards = list(state_dict["rewards"])
