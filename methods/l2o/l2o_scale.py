"""L2O-Scale: recurrent networks for each coordinate, each tensor and the whole, which also choose the step sizes.

Wichrowska, Maheswaranathan, Hoffman, Colmenarejo, Denil, de Freitas and Sohl-Dickstein, "Learned Optimizers that Scale
and Generalize", ICML 2017; as in Open-L2O (Chen et al., JMLR 2022), figures 7 and 8.

    inputs     gradients averaged over four times, each of twice the length of the one before, relative to their root
               mean squares; products of neighbours; logarithms of the mean squares relative to their mean over the
               four; logarithm of the step size relative to its mean over all coordinates        `Scale.inputs`
    levels     a GRU for each coordinate, one for each tensor on the means over its coordinates, one on the means over
               all tensors; the higher ones add a bias to the gates of those below               `Scale.think`
    output     the direction, a root mean square of 1 over each tensor, times the step size      `Scale.step`

Trained on logarithms of the values relative to the first one, otherwise as `_meta` says. With `curriculum` and
`imitation` it is the benchmark's L2O-enhanced on this base.

Differs from the authors' code: functions may get negative, see `LOGARITHM_ENDS` in `_meta`, where theirs refuses them;
the uppermost level sees the mean over all tensors, where theirs sees the last one; the logarithm is that of each value,
not of a run's mean. Where a step size is at its limit, its derivative passes, as there.

Dimensions: b functions, n unknowns, t tensors, s times, f inputs, z hidden units of a level.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, Positive, Presets, UnitInterval, method
from methods.l2o._learned import LearnedSolver, Seen, State
from methods.l2o._meta import MetaTraining
from tasks.l2o import Problem
from tasks.l2o.optimisees import Optimisees

COORDINATE, TENSOR, WHOLE = 10, 20, 20
"""Hidden units of the levels."""
TIMES = 4
INPUTS = 3 * TIMES
"""Of a coordinate: four gradients, three products, four mean squares and a step size."""
SCALE = 0.5
"""Deviation of the first weights, times the square root of the number that are added up."""
GATE_BIAS = 2.2
INPUT_DECAY_LOGIT = 2.2
SCALE_DECAY_LOGIT = 3.2
LR_MOMENTUM_LOGIT = 3.2
LR_OFFSET = -1.0
LR_RANGE = (1e-6, 1e-2)
LARGEST_LOG_LR = 33.0
TINY = 1e-16


class Part(NamedTuple):
    """What is kept between steps."""

    coordinates: Float[Tensor, "b n z"]
    tensors: Float[Tensor, "b t z"]
    whole: Float[Tensor, "b 1 z"]
    input_decay: Float[Tensor, "b n"]
    """Of the shortest time that gradients are averaged over."""
    scale_decay: Float[Tensor, "b n"]
    """Of mean squares."""
    log_lr: Float[Tensor, "b n"]
    means: Float[Tensor, "b n s"]
    squares: Float[Tensor, "b n s"]


def normal(columns: int, rows: int, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(SCALE / math.sqrt(columns) * torch.randn(rows, columns, generator=generator))


def over_tensors(x: Float[Tensor, "b n f"], sizes: tuple[int, ...]) -> Float[Tensor, "b t f"]:
    """The mean over the coordinates of each tensor."""
    return torch.stack([part.mean(dim=1) for part in x.split(sizes, dim=1)], dim=1)


def over_coordinates(x: Float[Tensor, "b t f"], sizes: tuple[int, ...]) -> Float[Tensor, "b n f"]:
    """What belongs to each tensor, at each of its coordinates."""
    return torch.cat([x[:, i : i + 1].expand(-1, size, -1) for i, size in enumerate(sizes)], dim=1)


def clipped(log_lr: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Within its limits, with the derivative of what is not."""
    return log_lr + (log_lr.clamp(-LARGEST_LOG_LR, LARGEST_LOG_LR) - log_lr).detach()


class GRU(nn.Module):
    """A gated recurrent unit whose gates and candidate are given a bias from outside."""

    def __init__(self, features: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.gates = normal(features + hidden, 2 * hidden, generator)
        self.candidate = normal(features + hidden, hidden, generator)
        self.bias = nn.Parameter(torch.cat([torch.full((2 * hidden,), GATE_BIAS), torch.zeros(hidden)]))
        self.start = nn.Parameter(2 * torch.rand(hidden, generator=generator) - 1)
        self.hidden = hidden

    def forward(
        self, x: Float[Tensor, "b t f"], state: Float[Tensor, "b t z"], bias: Float[Tensor, " b #t y"] | None = None
    ) -> Float[Tensor, "b t z"]:
        bias = self.bias if bias is None else self.bias + bias
        gates = (torch.cat([x, state], dim=-1) @ self.gates.T + bias[..., : 2 * self.hidden]).sigmoid()
        reset, keep = gates.chunk(2, dim=-1)
        candidate = torch.cat([x, reset * state], dim=-1) @ self.candidate.T + bias[..., 2 * self.hidden :]
        return keep * state + (1 - keep) * candidate.tanh()


class Bias(nn.Module):
    """What a higher level says to the gates of a lower one."""

    def __init__(self, above: int, below: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = normal(above, 3 * below, generator)
        self.bias = nn.Parameter(torch.zeros(3 * below))

    def forward(self, state: Float[Tensor, "b t z"]) -> Float[Tensor, "b t y"]:
        return state @ self.weight.T + self.bias


class Scale(nn.Module):
    particles: ClassVar[int] = 1

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.coordinate = GRU(INPUTS, COORDINATE, generator)
        self.tensor = GRU(COORDINATE + INPUTS, TENSOR, generator)
        self.whole = GRU(TENSOR, WHOLE, generator)
        self.tensor_to_coordinate = Bias(TENSOR, COORDINATE, generator)
        self.whole_to_coordinate = Bias(WHOLE, COORDINATE, generator)
        self.whole_to_tensor = Bias(WHOLE, TENSOR, generator)
        # Read from the hidden units of a coordinate: direction, two decays, change of the step size.
        self.readout = normal(COORDINATE, 4, generator)
        with torch.no_grad():
            self.readout[3].zero_()
        self.readout_bias = nn.Parameter(torch.tensor([INPUT_DECAY_LOGIT, SCALE_DECAY_LOGIT, 0.0]))
        self.shortcut = nn.Parameter(1 / TIMES + SCALE / TIMES * torch.randn(TIMES, generator=generator))
        self.lr_momentum_logit = nn.Parameter(torch.tensor(LR_MOMENTUM_LOGIT))
        self.lr_offset = nn.Parameter(torch.tensor(LR_OFFSET))

    def begin(self, optimisees: Optimisees, generator: torch.Generator) -> tuple[Float[Tensor, "b n"], State]:
        start, sizes = optimisees.start, optimisees.sizes
        b, n = start.shape
        low, high = (math.log(end) / 2 for end in LR_RANGE)
        # Half of the logarithm is a tensor's, half a coordinate's, so that tensors differ.
        shared = low + (high - low) * torch.rand(b, len(sizes), 1, generator=generator)
        own = low + (high - low) * torch.rand(b, n, generator=generator)
        zeros, series = torch.zeros_like(start), start.new_zeros(b, n, TIMES)
        return start, Part(
            coordinates=self.coordinate.start.expand(b, n, -1),
            tensors=self.tensor.start.expand(b, len(sizes), -1),
            whole=self.whole.start.expand(b, 1, -1),
            input_decay=zeros,
            scale_decay=zeros,
            log_lr=(own + over_coordinates(shared, sizes)[..., 0]).to(start),
            means=series,
            squares=series,
        )

    def inputs(
        self, gradient: Float[Tensor, "b n"], kept: Part
    ) -> tuple[Float[Tensor, "b n f"], Float[Tensor, "b n s"], Float[Tensor, "b n s"], Float[Tensor, "b n s"]]:
        """Those of the coordinates; of them the gradients; means and mean squares of the gradient."""
        # d, d^1/2, d^1/4, d^1/8.
        decay = torch.stack([kept.input_decay**0.5**i for i in range(TIMES)], dim=-1)
        means = decay * kept.means + (1 - decay) * gradient[..., None]
        forget = kept.scale_decay[..., None]
        squares = forget * kept.squares + (1 - forget) * means.square()
        scaled = (means / (squares + TINY).sqrt()).asinh()
        log_squares = (squares + TINY).log()
        inputs = torch.cat(
            [
                scaled,
                scaled[..., 1:] * scaled[..., :-1],
                log_squares - log_squares.mean(dim=-1, keepdim=True),
                (kept.log_lr - kept.log_lr.mean(dim=-1, keepdim=True))[..., None],
            ],
            dim=-1,
        )
        return inputs, scaled, means, squares

    def think(
        self, inputs: Float[Tensor, "b n f"], kept: Part, sizes: tuple[int, ...]
    ) -> tuple[Float[Tensor, "b n z"], Float[Tensor, "b t y"], Float[Tensor, "b 1 x"]]:
        """The hidden units of the three levels: each is told what the higher ones thought a step before."""
        told = self.tensor_to_coordinate(kept.tensors) + self.whole_to_coordinate(kept.whole)
        coordinates = self.coordinate(inputs, kept.coordinates, over_coordinates(told, sizes))
        summary = over_tensors(torch.cat([coordinates, inputs], dim=-1), sizes)
        tensors = self.tensor(summary, kept.tensors, self.whole_to_tensor(kept.whole))
        return coordinates, tensors, self.whole(tensors.mean(dim=1, keepdim=True), kept.whole)

    def step(self, seen: Seen, state: State) -> tuple[Float[Tensor, "b n"], State]:
        kept = Part(*state)
        inputs, scaled, means, squares = self.inputs(seen.gradient, kept)
        coordinates, tensors, whole = self.think(inputs, kept, seen.sizes)
        direction, input_decay, scale_decay, change = (coordinates @ self.readout.T).unbind(dim=-1)
        direction = direction + scaled @ self.shortcut
        energy = over_coordinates(over_tensors(direction[..., None].square(), seen.sizes), seen.sizes)
        input_bias, scale_bias, change_bias = self.readout_bias
        log_lr = clipped(kept.log_lr + change + change_bias)
        momentum = self.lr_momentum_logit.sigmoid()
        update = -(log_lr + self.lr_offset).exp() * direction / (energy[..., 0] + TINY).sqrt()
        return update, Part(
            coordinates,
            tensors,
            whole,
            (input_decay + input_bias).sigmoid(),
            (scale_decay + scale_bias).sigmoid(),
            momentum * kept.log_lr + (1 - momentum) * log_lr,
            means,
            squares,
        )


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class L2OScale(MetaTraining):
    """A learned optimiser of three levels: coordinates, tensors, the whole; it chooses its step sizes itself."""

    updates: Count = 500
    """Unrolls of analytic functions, each of which changes the weights once: 100 runs of 100 steps."""
    updates_networks: Count = 500
    """The same for networks, where each takes longer."""
    lr: Positive = 1e-6
    """Step size of the optimiser of the optimiser."""
    meta_optimizer: Literal["adam", "rmsprop"] = "rmsprop"
    meta_loss: Literal["sum", "last", "log"] = "log"
    """Over all steps of an unroll, or of its last one alone, as L2O-RNNprop on the Lasso of figure 6; or of logarithms,
    relative to the first value, as L2O-Scale."""
    validate_every: Count = 50
    """Updates between evaluations, of which the best one's weights are kept: 10 runs of 100 steps."""
    imitation_rates: tuple[UnitInterval, ...] = (0.1,)
    """Share of the runs that a teacher drives, stage by stage; the last holds on. No curriculum is the first stage."""

    presets: ClassVar[Presets] = {
        "smoke": {
            "updates": 6,
            "updates_networks": 6,
            "run_steps": 8,
            "unroll": 4,
            "batch": 4,
            "validate_every": 3,
            "validation_functions": 2,
            "validation_networks": 1,
            "stages": (4, 8),
        },
        "small": {
            "updates_networks": 200,
            "run_steps": 500,
            "lr": 1e-3,
            "batch": 32,
            "validation_networks": 2,
            "stages": (100, 200, 500),
        },
        "gpu": {"lr": 1e-3, "updates": 5000, "updates_networks": 2000, "run_steps": 500, "stages": (100, 200, 500)},
    }

    def solver(self, problem: Problem, generator: torch.Generator) -> LearnedSolver:  # noqa: ARG002 -- one for all
        return LearnedSolver(Scale(generator))
