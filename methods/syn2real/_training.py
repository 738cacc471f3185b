"""What the fits of this folder have in common: settings, optimiser, step sizes, batches, and the choice of an epoch.

Each method keeps its own loop and its own loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval
from bench.run import Stateful
from bench.training import descend
from methods.syn2real._schedule import step_size_factor
from methods.syn2real._sgd import RollingSGD
from tasks.syn2real import Network, Syn2RealProblem, Transfer
from tasks.syn2real.backbones import freeze_affine
from tasks.syn2real.backbones.dense import DeepLab

NEW_HEAD = "new_head"
"""The last of a network's groups of parameters."""

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How networks are trained; defaults are those of ASG's released code, for VisDA-17 and for GTA5."""

    steps: Count = 142_890
    """Updates where images have a class: 30 epochs of VisDA-17's 4,763 batches."""
    batch: Count = 32
    lr: Positive = 1e-4
    """Step size of the new head."""
    dense_steps: Count = 100_000
    """Updates where each pixel has a class: 50 epochs of 2,000."""
    dense_batch: Count = 6
    dense_lr: Positive = 1e-3
    backbone_factor: NonNegative = 0.1
    """Step size of the backbone, as a share of the head's; 1 is what the papers call a large one in all layers."""
    dense_optimizer: Literal["sgd", "rolling-sgd"] = "sgd"
    """Of scenes: torch's, as in ASG's released code, or with the step size inside the momentum, as for images."""
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 5e-4
    warm_up: Count = 100
    """Updates over which step sizes grow with the square of time."""
    held_from: UnitInterval = 0.8
    """Share of the updates after which step sizes fall no more; at 1 they fall to zero."""
    checks: Count = 30
    """Epochs, as the choice of a network sees them: after each its loss on synthetic validation images is looked at."""

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 4, "dense_steps": 2, "dense_batch": 2, "lr": 1e-2, "warm_up": 1, "checks": 2},
        "small": {
            "steps": 108,
            "lr": 1e-2,
            "dense_steps": 160,
            "dense_batch": 4,
            "dense_lr": 1e-2,
            "warm_up": 20,
            "checks": 4,
        },
        "gpu": {"steps": 3000, "lr": 1e-3, "dense_steps": 1500, "dense_lr": 3e-3, "checks": 10},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-5, 1e-1)",
        "dense_lr": "log(1e-5, 1e-1)",
        "backbone_factor": "log(1e-3, 1)",
        "weight_decay": "log(1e-6, 1e-2)",
    }

    def build(self, problem: Syn2RealProblem) -> Network:
        return problem.build_network()


class Candidates:
    """Keeps the network with the least loss on synthetic validation images, and all of them where the problem asks."""

    def __init__(self, problem: Syn2RealProblem) -> None:
        self._problem = problem
        self._best: Weights = {}
        self._best_is_last = False
        self._least = float("inf")
        self._passed: list[Weights] = []

    def offer(self, network: nn.Module) -> float:
        """Considers the network as it is now; returns its loss."""
        loss, weights = self._problem.validation_loss(network), snapshot(network)
        self._best_is_last = loss < self._least
        if self._best_is_last:
            self._least, self._best = loss, weights
        if self._problem.trajectory:
            self._passed.append(weights)
        return loss

    def solution(self, network: nn.Module) -> Transfer:
        """The network as it is now, which was offered last, with the others beside it, each once."""
        others = [weights for weights in self._passed[:-1] if weights is not self._best]
        return Transfer(network, None if self._best_is_last else dict(self._best), others)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self._best,
            "best_is_last": self._best_is_last,
            "least": self._least,
            "passed": list(self._passed),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best, self._best_is_last, self._least = (state_dict[key] for key in ("best", "best_is_last", "least"))
        self._passed = list(state_dict["passed"])


def snapshot(network: nn.Module) -> Weights:
    """Its weights and buffers, as they are now."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


class Training:
    """A network with its optimiser, batches and candidates: what a loop calls, and what goes into its `state`."""

    def __init__(
        self,
        problem: Syn2RealProblem,
        run: Run,
        recipe: Recipe,
        network: Network,
        *,
        constants: tuple[Tensor, ...] = (),
        extra: nn.Module | None = None,
    ) -> None:
        """Wires them.

        Args:
            problem: What to learn from.
            run: The fit's.
            recipe: Settings.
            network: As its problem built it.
            constants: What belongs to each image besides its label, where images have a class.
            extra: Trained beside the head, at its step size.
        """
        self._problem, self._run, self._recipe = problem, run, recipe
        self.network = network.to(run.device)
        if problem.dense:
            freeze_affine(self.network.backbone)
        groups = self.network.groups()
        parameters = {name: [p for p in group if p.requires_grad] for name, group in groups.items()}
        if extra is not None:
            parameters["extra"] = list(extra.parameters())
        self.parameters = {name: group for name, group in parameters.items() if group}
        """By group, in the papers' order; without those that are frozen."""
        self.steps = recipe.dense_steps if problem.dense else recipe.steps
        self.lr = recipe.dense_lr if problem.dense else recipe.lr
        size = recipe.dense_batch if problem.dense else recipe.batch
        self.epoch = max(1, len(problem.images) // size)
        """Updates in which every image is seen about once."""
        options: Any = {"lr": self.lr, "momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
        stock = problem.dense and recipe.dense_optimizer == "sgd"
        optimizer: type[torch.optim.Optimizer] = torch.optim.SGD if stock else RollingSGD
        self.optimizer = optimizer([{"params": group} for group in self.parameters.values()], **options)
        self._batches = problem.batches(size, run, *constants)
        self._candidates = Candidates(problem)
        self.state: dict[str, Stateful] = {
            "network": self.network,
            "optimizer": self.optimizer,
            "batches": self._batches,
            "candidates": self._candidates,
        }

    def train(self) -> None:
        """All in eval mode, as the released code trains, but for the norms and the dropout of a new dense head."""
        self.network.eval()
        if isinstance(self.network.net, DeepLab):
            self.network.net.head.train()

    def batch(self) -> Any:
        """Images, labels, and the constants that belong to them."""
        self.train()
        return next(self._batches)

    def hand_tuned(self, step: int) -> None:
        """The step sizes of the baselines: warm-up and decay, and for the backbone a share of the head's."""
        factor = step_size_factor(step, self.steps, self._recipe.held_from, self._recipe.warm_up)
        shares = dict.fromkeys(self.parameters, self._recipe.backbone_factor)
        self.rates(factor, shares | {NEW_HEAD: 1.0, "extra": 1.0})

    def rates(self, factor: float, shares: Mapping[str, float]) -> None:
        """Sets the step size of each group, as a share of the factor times the base."""
        for name, group in zip(self.parameters, self.optimizer.param_groups, strict=True):
            group["lr"] = self.lr * factor * shares[name]

    def update(self, step: int, objective: Tensor, /, **logged: Tensor | float) -> None:
        """One step down the objective; at the end of an epoch the network becomes a candidate."""
        descend(self.optimizer, objective)
        self._run.log(step, **logged)
        checks = self._recipe.checks
        if (step + 1) * checks // self.steps > step * checks // self.steps:
            self._run.log(step, validation_loss=self._candidates.offer(self.network))

    def solution(self) -> Transfer:
        return self._candidates.solution(self.network.eval())
