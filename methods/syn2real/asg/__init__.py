"""ASG: learn from synthetic images without forgetting ImageNet, at step sizes that a policy chooses.

Chen, Yu, Wang and Anandkumar, ICML 2020 (arXiv 2007.06965).

    proxy guidance                       `_proxy.py`: KL(teacher || student) of the frozen old head's answers
    RL-L2O: policy, REINFORCE            `_policy.py`; actor.py has it act
    windows between decisions            `_windows.py`
    meta-training, then the real one     the phases `policy` and `fit` of `ASG.fit`

`policy=fixed` is proxy guidance alone, at hand-tuned step sizes; `random` draws each action, `random-once` draws one
for all of a fit; `learned` trains the policy first, in this fit: what that costs is part of the fit's costs.
`rate[GROUP]` are the curves of the actions.

Differs from the authors' code:
1. Their policies were released trained, and neither the reward nor the training. Here the reward of a window is
   exp(-mean training loss), gamma 0, five windows an update, in episodes that start from ImageNet.
2. A policy remembers; theirs forgets at each decision: `memoryless=true`.
3. The teacher's answers are computed once a data set where images have a class.
4. The last batch of an epoch is as large as the others.

b batch, d features, g groups
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, method
from bench.seeds import derive_seed
from bench.training import descend
from methods.syn2real._policy import RatePolicy
from methods.syn2real._proxy import bounded, proxy_divergence
from methods.syn2real._schedule import step_size_factor
from methods.syn2real._training import NEW_HEAD, Recipe, Training, snapshot
from methods.syn2real._windows import window_lengths
from methods.syn2real.asg.actor import Actor, Kind, Lessons
from tasks.syn2real import Syn2RealProblem, Transfer, teacher_features
from tasks.syn2real.backbones import Backbone


@method("syn2real", paper="asg")
@dataclass(frozen=True)
class ASG(Recipe):
    """Fine-tunes while the old answers must stay the teacher's; a policy trained by REINFORCE sets step sizes."""

    guidance: NonNegative = 0.1
    """Weight of the divergence, lambda, where images have a class."""
    dense_guidance: NonNegative = 75.0
    """The same where each pixel has one."""
    dense_bound: Positive = 9.0
    """What the weighted divergence of scenes may reach; at hand-tuned step sizes there is no bound."""
    policy: Literal["learned", "random", "random-once", "fixed"] = "learned"
    """Who sets the step sizes."""
    memoryless: bool = False
    """Whether the policy forgets at each decision, as the released one does."""
    window: Count = 10
    """Least updates between two decisions, where images have a class."""
    dense_window: Count = 20
    """The same where each pixel has one."""
    windows: Literal["as-released", "sum-divided"] = "as-released"
    """How windows grow: as the released code computes it, or as it may have been meant."""
    episodes: Count = 30
    """In which the policy is trained, each from ImageNet; ours. All their updates come on top of `steps`."""
    episode_steps: Count = 400
    """Updates of each; ours."""
    meta_lr: Positive = 7e-4
    """Step size of the policy."""
    gamma: UnitInterval = 0.0
    """By what a reward counts for the decision before it. Ours for images, where the released default is 0.99."""
    rollout: Count = 5
    """Decisions of one update of the policy."""

    presets: ClassVar[Presets] = {
        "smoke": {
            "steps": 4,
            "batch": 4,
            "dense_steps": 4,
            "dense_batch": 2,
            "lr": 1e-2,
            "warm_up": 1,
            "checks": 2,
            "window": 1,
            "dense_window": 1,
            "episodes": 2,
            "episode_steps": 4,
            "rollout": 2,
        },
        # 300 updates of the policy's training before those of the fit: with `learned` 3.8 times the others' in all, of
        # scenes 2.9 times.
        "small": {
            "steps": 108,
            "lr": 1e-2,
            "dense_steps": 160,
            "dense_batch": 4,
            "dense_lr": 1e-2,
            "warm_up": 20,
            "checks": 4,
            "window": 5,
            "dense_window": 5,
            "episodes": 10,
            "episode_steps": 30,
            "meta_lr": 7e-3,
        },
        "gpu": {
            "steps": 3000,
            "lr": 1e-3,
            "dense_steps": 1500,
            "dense_lr": 3e-3,
            "checks": 10,
            "episodes": 20,
            "episode_steps": 200,
            "meta_lr": 7e-3,
        },
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-5, 1e-1)",
        "guidance": "log(1e-3, 10)",
        "dense_guidance": "log(1e-2, 100)",
        "meta_lr": "log(1e-4, 1e-1)",
    }

    def fit(self, problem: Syn2RealProblem, run: Run) -> Transfer:
        teacher = problem.teacher().to(run.device)
        constants: tuple[Tensor, ...] = ()
        if not problem.dense:
            features, seconds = teacher_features(teacher, problem.images, run.device)
            constants = (features,)
            run.artefact("teacher_pass_s", seconds)
        training = Training(problem, run, self, self.build(problem), constants=constants)
        policy = self._policy(len(training.parameters), problem.seed)
        if self.policy == "learned":
            self._teach(policy, training, teacher, problem, run)

        epochs = -(-training.steps // training.epoch)
        windows = self._windows(epochs, training.epoch, problem)
        kind: Kind = "random" if self.policy == "fixed" else self.policy
        actor = Actor(kind, list(training.parameters), policy, windows, training.steps, run.generator)
        head_weight = _last_weight(training)
        state = training.state | {"actor": actor, "policy": policy}
        for step in run.steps(training.steps, state):
            shares = {} if self.policy == "fixed" else actor.shares
            if shares:
                training.rates(self._scheduled(step, training.steps, problem), shares)
            else:
                training.hand_tuned(step)
            task_loss, divergence, loss = self._losses(training, teacher, problem)
            if shares:
                actor.after(step, task_loss, divergence, loss, head_weight)
            rates = {f"rate[{name}]": share for name, share in shares.items()}
            training.update(step, loss, loss=task_loss, divergence=divergence, **rates)
        return training.solution()

    def _teach(
        self, policy: RatePolicy, training: Training, teacher: Backbone, problem: Syn2RealProblem, run: Run
    ) -> None:
        """Trains the policy in short episodes of the same training, each from ImageNet; leaves all else as it was."""
        network, first = training.network, snapshot(training.network)
        optimizer = torch.optim.SGD(policy.parameters(), self.meta_lr, momentum=0.9)
        lessons = Lessons(policy, optimizer, self.rollout, self.gamma)
        windows = self._windows(1, self.episode_steps, problem)
        groups = list(training.parameters)
        actor = Actor("learned", groups, policy, windows, self.episode_steps, run.generator, lessons)
        head_weight = _last_weight(training)
        state = training.state | {"actor": actor, "policy": policy, "policy-optimizer": optimizer}
        for step in run.steps(self.episodes * self.episode_steps, state, name="policy"):
            within = step % self.episode_steps
            if within == 0:
                network.load_state_dict(first)
                training.optimizer.state.clear()
                actor.restart()
            training.rates(self._scheduled(within, self.episode_steps, problem), actor.shares)
            task_loss, divergence, loss = self._losses(training, teacher, problem)
            descend(training.optimizer, loss)
            reward = actor.after(within, task_loss, divergence, loss, head_weight)
            if reward is not None:
                run.log(step, reward=reward, **{f"rate[{name}]": share for name, share in actor.shares.items()})
        network.load_state_dict(first)
        training.optimizer.state.clear()

    def _losses(self, training: Training, teacher: Backbone, problem: Syn2RealProblem) -> tuple[Tensor, Tensor, Tensor]:
        """Of the next batch: cross-entropy, divergence from the teacher, and what is minimised."""
        images, labels, *known = training.batch()
        reading = training.network.read(images)
        with torch.no_grad():
            features = known[0] if known else teacher.features(teacher.normalise(images))
            probabilities = teacher.old_head(features).softmax(1)
        task_loss = problem.loss(reading.logits, labels)
        divergence = proxy_divergence(teacher.old_head(teacher.embed(reading.maps[4])), probabilities)
        weight = self.dense_guidance if problem.dense else self.guidance
        # Of the released code for scenes only that with a policy has the bound.
        if problem.dense and self.policy != "fixed":
            weighted = bounded(divergence, weight, self.dense_bound)
        else:
            weighted = weight * divergence
        return task_loss, divergence, task_loss + weighted

    def _windows(self, epochs: int, iterations: int, problem: Syn2RealProblem) -> Iterator[int]:
        least = self.dense_window if problem.dense else self.window
        return window_lengths(epochs, iterations, least, self.windows)

    def _scheduled(self, step: int, steps: int, problem: Syn2RealProblem) -> float:
        """What step sizes are multiplied by besides the actions."""
        # Only the released code for scenes lets the schedule and the policy act together.
        return step_size_factor(step, steps, self.held_from, self.warm_up) if problem.dense else 1.0

    def _policy(self, groups: int, seed: int) -> RatePolicy:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "syn2real", "policy"))
            return RatePolicy(groups, self.memoryless)


def _last_weight(training: Training) -> Tensor:
    """The weights of the last layer of the new head, which the policy is told mean and deviation of."""
    weights: list[Any] = [parameter for parameter in training.parameters[NEW_HEAD] if parameter.ndim > 1]
    return weights[-1]
