"""Who sets the step sizes of the groups of layers, window by window: a policy, or chance.

Chen and others, ASG (ICML 2020), RL-L2O, as in its released code.

    a window of updates, then a decision    `Actor.after`
    the state that the policy sees          there, of the window's mean losses
    REINFORCE on what was decided           `Lessons`

g groups
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor

from bench.training import descend
from methods.syn2real._policy import (
    ACTIONS,
    RatePolicy,
    Rollout,
    exponential_reward,
    multipliers,
    observation,
)

Kind = Literal["learned", "random", "random-once"]

LARGEST = 100.0
"""What a policy sees of numbers that are larger or none: an episode may explode, and its reward is then 0."""


@dataclass(frozen=True)
class Lessons:
    """How a policy learns from what it decides."""

    policy: RatePolicy
    optimizer: torch.optim.Optimizer
    length: int
    """Decisions of one update."""
    gamma: float

    def take(self, rollout: Rollout) -> None:
        """One step of REINFORCE."""
        descend(self.optimizer, rollout.loss(self.policy, self.gamma))


class Actor:
    """Holds the groups' step sizes as shares of the base; goes into `state`.

    After each window it decides anew: by the policy, whose actions are sampled, or uniformly at random. With `lessons`
    the policy learns from its decisions between a reward and the next decision.
    """

    def __init__(
        self,
        kind: Kind,
        groups: Sequence[str],
        policy: RatePolicy,
        windows: Iterable[int],
        steps: int,
        generator: torch.Generator,
        lessons: Lessons | None = None,
    ) -> None:
        """A new actor, in a first episode.

        Args:
            kind: Who decides.
            groups: Names of the groups of layers.
            policy: Decides where it is learned.
            windows: Updates from decision to decision; the last may go on beyond the episode.
            steps: Updates of an episode, of which the policy sees how many are done.
            generator: Draws actions.
            lessons: How the policy learns from them; None if it does not.
        """
        self._kind, self._groups, self._policy = kind, tuple(groups), policy
        self._ends, self._steps = frozenset(accumulate(windows)), steps
        self._generator, self._lessons = generator, lessons
        self._rollout = Rollout(policy.start())
        self._sums: Tensor | None = None
        self._updates = 0
        self.restart()

    def restart(self) -> None:
        """A new episode: all groups at the base step size, nothing remembered."""
        self.ratios = torch.ones(len(self._groups))
        if self._kind == "random-once":
            self.ratios = multipliers(self._chance())
        self._hidden = self._policy.start()
        self._decided: tuple[Tensor, Tensor] | None = None
        self._rollout.restart(self._hidden)
        self._clear()

    @property
    def shares(self) -> dict[str, float]:
        """Step sizes by group, relative to the base."""
        return dict(zip(self._groups, self.ratios.tolist(), strict=True))

    def after(
        self, step: int, task_loss: Tensor, divergence: Tensor, weighted: Tensor, head_weight: Tensor
    ) -> float | None:
        """Takes note of an update; at the end of a window rewards the last decision and makes the next.

        Args:
            step: Of the update in the episode.
            task_loss: Its cross-entropy.
            divergence: From the teacher, unweighted.
            weighted: The whole training loss, which the reward is of.
            head_weight: Weights of the new head's last layer.

        Returns:
            The reward of a window that has ended; None inside one.
        """
        values = torch.stack([task_loss, divergence, weighted]).detach()
        self._sums = values if self._sums is None else self._sums + values
        self._updates += 1
        if step + 1 not in self._ends:
            return None
        means = [_seen(mean) for mean in (self._sums / self._updates).tolist()]
        self._clear()
        reward = exponential_reward(means[2])
        if self._lessons and self._decided is not None:
            self._rollout.add(*self._decided, reward)
            if len(self._rollout) == self._lessons.length or step + 1 == self._steps:
                self._lessons.take(self._rollout)
                self._rollout.restart(self._hidden)
        self._decide(observation(means[0], means[1], (step + 1) / self._steps, head_weight, self.ratios))
        return reward

    def _decide(self, state: Tensor) -> None:
        state = state.nan_to_num(LARGEST, LARGEST, -LARGEST)
        match self._kind:
            case "learned":
                actions, self._hidden = self._policy.decide(state, self._hidden, self._generator)
            case "random":
                actions = self._chance()
            case "random-once":
                return
        self._decided = state, actions
        self.ratios = multipliers(actions)

    def _chance(self) -> Tensor:
        return torch.randint(ACTIONS, (len(self._groups),), generator=self._generator)

    def _clear(self) -> None:
        self._sums, self._updates = None, 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "ratios": self.ratios,
            "hidden": self._hidden,
            "decided": self._decided,
            "sums": self._sums,
            "updates": self._updates,
            "rollout": self._rollout.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # A checkpoint comes back on the run's device; a policy is small and decides on the CPU.
        small = _on_cpu({name: state_dict[name] for name in ("ratios", "hidden", "decided", "rollout")})
        self.ratios, self._hidden, self._decided = (small[name] for name in ("ratios", "hidden", "decided"))
        self._rollout.load_state_dict(small["rollout"])
        self._sums, self._updates = state_dict["sums"], state_dict["updates"]


def _on_cpu(value: Any) -> Any:
    """The same, with all tensors inside on the CPU."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(part) for part in value)
    return value


def _seen(value: float) -> float:
    """NaN too is as large as can be."""
    return LARGEST if math.isnan(value) else min(value, LARGEST)
