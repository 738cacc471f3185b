"""Networks whose layers are iterations: how they are run to a depth, and how they are trained.

Open-L2O trains layer by layer. Layer t has three stages, each with a new Adam: the new layer's variables alone, then
all variables so far, then the same more slowly. End-to-end training takes the three stages once, on the last layer.

Differs from the authors' code: validation is by the loss that is trained on, not by the mean of dB; an improvement of
any size counts, and a stage has a greatest length. Their factor 0.3 on the gradients of older layers does nothing,
since Adam is invariant to it and a stage starts afresh; here `layer_decay` scales step sizes, and is 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Run, Unsupported
from bench.training import Memory, descend, frozen
from tasks.l2o import Draws, SparseProblem
from tasks.l2o.lasso import Instances

LOG_EVERY = 10
"""Steps between two points of the loss curve: there are three curves a layer."""


@runtime_checkable
class Unrolled(Protocol):
    """A module with one entry in `layers` for each iteration; the first also owns what they share."""

    layers: nn.ModuleList

    def iterates(self, instances: Instances) -> Iterator[Float[Tensor, "b n"]]:
        """The outputs of the layers, one after another."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


@runtime_checkable
class Schedule(Protocol):
    """The settings of an unrolled method by which it is trained."""

    @property
    def training(self) -> Literal["layer-wise", "end-to-end"]: ...
    @property
    def batch(self) -> int: ...
    @property
    def stage_steps(self) -> tuple[int, int, int]: ...
    @property
    def lrs(self) -> tuple[float, float, float]: ...
    @property
    def layer_decay(self) -> float: ...
    @property
    def validate_every(self) -> int: ...
    @property
    def patience(self) -> int: ...


def take(iterates: Iterator[Float[Tensor, "b n"]], steps: int) -> Float[Tensor, "k b n"]:
    """The first `steps` iterates. Raises `Unsupported` if the network has fewer layers."""
    taken = list(islice(iterates, steps))
    if len(taken) < steps:
        raise Unsupported(f"the network has {len(taken)} layers, {steps} iterations were asked for")
    return torch.stack(taken)


@dataclass(frozen=True)
class Stage:
    """A part of the training: which variables move, for which layer's output, how fast and how long."""

    name: str
    depth: int
    variables: Sequence[Sequence[nn.Parameter]]
    """By layer, oldest first."""
    lr: float
    steps: int


def plan(layers: nn.ModuleList, schedule: Schedule) -> Iterator[Stage]:
    """The stages of the whole training, in order."""
    variables = [list(layer.parameters()) for layer in layers]
    rates = list(zip(schedule.lrs, schedule.stage_steps, strict=True))
    if schedule.training == "end-to-end":
        for number, (lr, steps) in enumerate(rates, start=1):
            yield Stage(f"stage-{number}", len(layers), variables, lr, steps * len(layers))
        return
    for depth in range(1, len(layers) + 1):
        for number, (lr, steps) in enumerate(rates, start=1):
            moving = variables[depth - 1 : depth] if number == 1 else variables[:depth]
            yield Stage(f"layer-{depth}/stage-{number}", depth, moving, lr, steps)


def train(net: Unrolled, problem: SparseProblem, run: Run, schedule: Schedule) -> None:
    """Trains a network, which is on the run's device. Raises `Unsupported` if it has too few layers for the problem."""
    if problem.steps > len(net.layers):
        raise Unsupported(
            f"iteration {problem.steps} is scored, the network has {len(net.layers)} layers; "
            f"set the method's layers to {problem.steps}"
        )
    problem = problem.to(run.device)
    draws = Draws(problem, schedule.batch, run)
    for stage in plan(net.layers, schedule):
        # The layers below do not learn: no gradient is computed for them.
        with frozen(net.layers):
            _train_stage(net, stage, draws, problem, run, schedule)


def _train_stage(
    net: Unrolled, stage: Stage, draws: Draws, problem: SparseProblem, run: Run, schedule: Schedule
) -> None:
    newest = len(stage.variables) - 1
    groups = [
        {"params": [v.requires_grad_() for v in variables], "lr": stage.lr * schedule.layer_decay ** (newest - age)}
        for age, variables in enumerate(stage.variables)
    ]
    # Without `fused`, Adam takes twenty times as long on the CPU.
    optimizer = torch.optim.Adam(groups, fused=True)
    validations = Memory(scores=[])

    state = {"net": net, "optimizer": optimizer, "draws": draws, "validations": validations}
    for step in run.steps(stage.steps, state, name=stage.name):
        samples = next(draws)
        loss = problem.loss(output(net, stage.depth, samples.instances), samples)
        descend(optimizer, loss)
        if step % LOG_EVERY == 0:
            run.log(step, loss=loss / schedule.batch)
        if (step + 1) % schedule.validate_every == 0:
            with torch.no_grad():
                score = problem.loss(output(net, stage.depth, problem.validation.instances), problem.validation)
            scores = validations.scores
            scores.append(score.item())
            if len(scores) - 1 - scores.index(min(scores)) >= schedule.patience:
                run.stop()


def output(net: Unrolled, depth: int, instances: Instances) -> Float[Tensor, "b n"]:
    """What layer `depth` returns, counted from 1."""
    return next(islice(net.iterates(instances), depth - 1, None))
