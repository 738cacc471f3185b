"""Networks whose layers are iterations: how they are run to a depth, and how they are trained.

Open-L2O trains layer by layer. Layer t has three stages, each with a new Adam: the new layer's variables alone, then
all variables so far, then the same more slowly. End-to-end training takes the three stages once, on the last layer.

Differs from the authors' code: validation is by the loss that is trained on, not by the mean of dB; an improvement of
any size counts, and a stage has a greatest length. Their factor 0.3 on the gradients of older layers does nothing,
since Adam is invariant to it and a stage starts afresh; here `layer_decay` scales step sizes, and is 1.

A method is a dataclass on top of `Unrolling`, `Thresholding` or `Selecting`: it says in `build` what its layers are.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, NonNegative, Positive, Presets, Run, Search, UnitInterval, Unsupported
from bench.seeds import derive_seed
from bench.training import Memory, descend, frozen
from methods.l2o._thresholds import selection_percents
from tasks.l2o import Problem, Samples, SparseProblem
from tasks.l2o.lasso import Instances, lipschitz

LOG_EVERY = 10
"""Steps between two points of the loss curve: there are three curves a layer."""
DRAWN_AHEAD = 16
"""Batches that are drawn, and taken through the layers that do not learn, at a time."""

State = tuple[Any, ...]
"""What one layer hands to the next: x first. Tensors have a row for each instance; what is none is shared by all."""


class Zero(nn.Module):
    """Starts at the instances' own start, with nothing else to remember."""

    def forward(self, instances: Instances) -> State:
        return (instances.start,)


class Shared(nn.Module):
    """Starts as `Zero` does, with a matrix that all layers share: a parameter, learnt with the first, or a buffer."""

    def __init__(self, matrix: nn.Parameter | nn.Buffer) -> None:
        super().__init__()
        self.matrix = matrix

    def forward(self, instances: Instances) -> State:
        return instances.start, self


class UnrolledNetwork(nn.Module):
    """Layers that are iterations. Each is called as `layer(instances, *state)` and returns the next state."""

    def __init__(self, layers: Iterable[nn.Module], begin: nn.Module | None = None) -> None:
        super().__init__()
        self.begin = begin or Zero()
        """Gives the state before the first layer; owns what all layers share, which is trained with the first."""
        self.layers = nn.ModuleList(layers)

    def states(self, instances: Instances) -> Iterator[State]:
        """After no layer, after the first, and so on."""
        state = self.begin(instances)
        yield state
        for layer in self.layers:
            state = layer(instances, *state)
            yield state

    def forward(self, instances: Instances, steps: int) -> Float[Tensor, "k b n"]:
        return take((state[0] for state in islice(self.states(instances), 1, None)), steps)


def take(iterates: Iterator[Float[Tensor, "b n"]], steps: int) -> Float[Tensor, "k b n"]:
    """The first `steps` iterates. Raises `Unsupported` if the network has fewer layers."""
    taken = list(islice(iterates, steps))
    if len(taken) < steps:
        raise Unsupported(f"the network has {len(taken)} layers, {steps} iterations were asked for")
    return torch.stack(taken)


@dataclass(frozen=True)
class Unrolling(ABC):
    """What every unrolled method is set by, and how it is fitted."""

    layers: Count = 16
    training: Literal["layer-wise", "end-to-end"] = "layer-wise"
    batch: Count = 128
    stage_steps: tuple[Count, Count, Count] = (200_000, 200_000, 200_000)
    """Greatest length of each of a layer's three stages, in steps (LISTA-CPSS); end-to-end times the layers."""
    lrs: tuple[Positive, Positive, Positive] = (5e-4, 1e-4, 1e-5)
    """Adam's step size in each stage."""
    layer_decay: UnitInterval = 1.0
    """Step size of a layer relative to that of the next. The authors' 0.3 has no effect in their code."""
    validate_every: Count = 400
    """Steps between validations: an epoch of the authors' 51,200 pairs."""
    patience: Count = 5
    """Validations without improvement that end a stage."""

    presets: ClassVar[Presets] = {
        "smoke": {"layers": 4, "stage_steps": (10, 10, 10)},
        "small": {"stage_steps": (50, 100, 50), "lrs": (2e-3, 1e-3, 2e-4)},
        "gpu": {"stage_steps": (400, 800, 200)},
    }
    search: ClassVar[Search] = {
        "lrs": "[[5e-4, 1e-4, 1e-5], [1e-3, 5e-4, 1e-4], [2e-3, 1e-3, 2e-4], [5e-3, 2e-3, 5e-4], [2e-2, 1e-2, 2e-3]]",
    }

    @abstractmethod
    def build(self, problem: SparseProblem) -> UnrolledNetwork:
        """The network at its start."""

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        sparse = of_the_lasso_family(problem)
        net = self.build(sparse).to(run.device)
        train(net, sparse, run, self)
        return net


@dataclass(frozen=True)
class Thresholding(Unrolling, ABC):
    """The same for methods whose layers shrink by a learnt threshold."""

    weight: Positive = 0.4
    """Thresholds start at `weight` over the largest eigenvalue of A^T A."""

    def start(self, dictionary: Float[Tensor, "m n"]) -> tuple[Float[Tensor, "m n"], Float[Tensor, ""]]:
        """A / L and weight / L: with them a layer is a step of ISTA."""
        scale = lipschitz(dictionary)
        return dictionary / scale, dictionary.new_tensor(self.weight / scale)


@dataclass(frozen=True)
class Selecting(Thresholding, ABC):
    """The same for methods whose layers let their largest entries pass unshrunk."""

    selection_rate: NonNegative = 1.2
    """Percent of the entries that a layer selects, times its number."""
    selection_limit: NonNegative = 13.0
    """The most that a layer selects, in percent."""

    @property
    def percents(self) -> list[float]:
        """What each layer selects."""
        return selection_percents(self.layers, self.selection_rate, self.selection_limit)


def of_the_lasso_family(problem: Problem) -> SparseProblem:
    """The problem, if its functions share a dictionary that can be unrolled. Raises `Unsupported` otherwise."""
    if not isinstance(problem, SparseProblem):
        raise Unsupported("it unrolls an iteration on a shared dictionary, which only the LASSO family has")
    return problem


# Training -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """A part of the training: which variables move, for which layer's output, how fast and how long."""

    name: str
    depth: int
    variables: Sequence[Sequence[nn.Parameter]]
    """By layer, oldest first."""
    resting: int
    """Layers at the bottom that do not learn, nor does what the network begins with."""
    lr: float
    steps: int


def plan(net: UnrolledNetwork, schedule: Unrolling) -> Iterator[Stage]:
    """The stages of the whole training, in order."""
    # What several layers share learns with the first that has it.
    owned: set[nn.Parameter] = set()
    variables = []
    for modules in ([net.begin, net.layers[0]], *([layer] for layer in net.layers[1:])):
        new = [v for module in modules for v in module.parameters() if v not in owned]
        variables.append(new)
        owned.update(new)
    rates = list(zip(schedule.lrs, schedule.stage_steps, strict=True))
    if schedule.training == "end-to-end":
        for number, (lr, steps) in enumerate(rates, start=1):
            yield Stage(f"stage-{number}", len(net.layers), variables, 0, lr, steps * len(net.layers))
        return
    for depth in range(1, len(net.layers) + 1):
        for number, (lr, steps) in enumerate(rates, start=1):
            resting = depth - 1 if number == 1 else 0
            yield Stage(f"layer-{depth}/stage-{number}", depth, variables[resting:depth], resting, lr, steps)


def train(net: UnrolledNetwork, problem: SparseProblem, run: Run, schedule: Unrolling) -> None:
    """Trains a network, which is on the run's device. Raises `Unsupported` if it has too few layers for the problem."""
    if problem.steps > len(net.layers):
        raise Unsupported(
            f"iteration {problem.steps} is scored, the network has {len(net.layers)} layers; "
            f"set the method's layers to {problem.steps}"
        )
    problem = problem.to(run.device)
    seed = run.stream()
    for stage in plan(net, schedule):
        # Nothing but the stage's own variables learns: for the rest no gradient is computed.
        with frozen(net):
            _train_stage(net, stage, problem, run, schedule, derive_seed(seed, stage.name))


class Supply:
    """The samples of a stage, and what the layers that rest make of them, which is the same in all its steps.

    Both are computed for `DRAWN_AHEAD` batches at a time, one small matrix product after another takes longer. A step's
    samples depend on the stage's seed and the step alone.
    """

    def __init__(self, net: UnrolledNetwork, stage: Stage, problem: SparseProblem, size: int, seed: int) -> None:
        self._net, self._problem = net, problem
        self._resting, self._size, self._seed = stage.resting, size, seed
        self._chunk = -1
        self._samples: Samples
        self._state: State = ()

    def __call__(self, step: int) -> tuple[Samples, State]:
        """The samples of a step and the state before the first layer that learns; none where all layers learn."""
        chunk, place = divmod(step, DRAWN_AHEAD)
        if chunk != self._chunk:
            self._chunk = chunk
            self._samples = self._problem.draw(DRAWN_AHEAD * self._size, derive_seed(self._seed, chunk))
            self._state = state_after(self._net, self._resting, self._samples.instances) if self._resting else ()
        rows = slice(place * self._size, (place + 1) * self._size)
        instances = self._samples.instances
        samples = Samples(replace(instances, measurements=instances.measurements[rows]), self._samples.signals[rows])
        return samples, tuple(part[rows] if isinstance(part, Tensor) else part for part in self._state)


def state_after(net: UnrolledNetwork, depth: int, instances: Instances) -> State:
    """Without gradients."""
    with torch.no_grad():
        (state,) = islice(net.states(instances), depth, depth + 1)
    return state


def _train_stage(
    net: UnrolledNetwork, stage: Stage, problem: SparseProblem, run: Run, schedule: Unrolling, seed: int
) -> None:
    newest = len(stage.variables) - 1
    groups: dict[float, list[nn.Parameter]] = {}
    for age, variables in enumerate(stage.variables):
        # One group for each step size: each costs an update of its own.
        groups.setdefault(stage.lr * schedule.layer_decay ** (newest - age), []).extend(variables)
        for variable in variables:
            variable.requires_grad_()
    if not any(groups.values()):
        return
    # Without `fused`, Adam takes twenty times as long on the CPU.
    optimizer = torch.optim.Adam([{"params": group, "lr": lr} for lr, group in groups.items()], fused=True)
    validations = Memory(scores=[])
    supply = Supply(net, stage, problem, schedule.batch, seed)
    learning = net.layers[stage.resting : stage.depth]

    state = {"net": net, "optimizer": optimizer, "validations": validations}
    for step in run.steps(stage.steps, state, name=stage.name):
        samples, hidden = supply(step)
        hidden = hidden or net.begin(samples.instances)
        for layer in learning:
            hidden = layer(samples.instances, *hidden)
        loss = problem.loss(hidden[0], samples)
        descend(optimizer, loss)
        if step % LOG_EVERY == 0:
            run.log(step, loss=loss / schedule.batch)
        if (step + 1) % schedule.validate_every == 0:
            x = state_after(net, stage.depth, problem.validation.instances)[0]
            scores = validations.scores
            scores.append(problem.loss(x, problem.validation).item())
            if len(scores) - 1 - scores.index(min(scores)) >= schedule.patience:
                run.stop()
