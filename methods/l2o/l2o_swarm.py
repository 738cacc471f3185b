"""L2O-Swarm: four particles look for one minimum, and an LSTM moves all of them.

Cao, Chen, Wang and Shen, "Learning to Optimize in Swarms", NeurIPS 2019; as in Open-L2O (Chen et al., JMLR 2022),
figure 7.

    features     gradient g, 0.9 of the one before, x - best x of this particle, x - better particles   `Swarm.features`
    attention    of a particle, among its features                                                      `Swarm.weighed`
    attention    between particles, on their gradients                                                  `Swarm.mixed`
    step         linear( LSTM( both ) ), on networks times 0.01                                         `Swarm.step`
    meta-loss    with 0.001 of the entropy of where the minimum may be                                  `entropy`

A solution gives at each iteration the particle whose function is least just then (on that iteration's minibatch). All
particles count towards what it costs.

What the papers leave open, here: every coordinate has an LSTM and attentions of its own, all with the same weights, as
L2O-DM; both attentions see the hidden units of the step before; gradients are scaled as L2O-DM's, but on networks it is
asinh(e^5 g) / 5, one number for size and direction; distances are root mean squares over coordinates; the first
particle begins where every optimiser does, the others apart from it by noise as large as the starts of the functions,
0.01 where these are zero; the entropy is that of the points of one unroll.

Dimensions: b functions, p particles, n unknowns, r = b p n coordinates, k features, z hidden units, t steps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from bench import NonNegative, Positive, Presets, method
from methods.l2o._learned import LSTM, LearnedOptimizer, Seen, State, look, truncated_normal
from methods.l2o._meta import MetaTraining
from tasks.l2o import Problem
from tasks.l2o.optimisees import Optimisees

PARTICLES = 4
HIDDEN = 20
ATTENTION = 10
MOMENTUM = 0.9
FEATURES = 4
LOG_RANGE = 5.0
"""p, as in L2O-DM."""
NETWORK_STEP = 0.01
"""Scale of the output on networks; 1 elsewhere."""
LEAST_SPREAD = 0.01


def finite(values: Float[Tensor, "*t"]) -> Float[Tensor, "*t"]:
    """Infinite where a value is not a number, so that nothing takes it for the least one."""
    return torch.where(values.isnan(), torch.inf, values)


def distances(x: Float[Tensor, "b p n"]) -> Float[Tensor, "b p p"]:
    """The mean square of the difference over coordinates, between points."""
    # From products, since differences of all pairs need n numbers for each. Rounding may fall below zero.
    squares = x.square().mean(dim=-1)
    products = x @ x.mT / x.shape[-1]
    return (squares[:, :, None] + squares[:, None, :] - 2 * products).clamp(min=0)


def attraction(x: Float[Tensor, "b p n"], values: Float[Tensor, "b p"]) -> Float[Tensor, "b p n"]:
    """How far each particle is from those that are better, on average, near ones above all; zero for the best."""
    better = values[:, None, :] < values[:, :, None]
    nearness = (-distances(x)).masked_fill(~better, -torch.inf)
    weights = nearness.softmax(dim=-1).masked_fill(~better, 0.0)
    return weights.sum(dim=-1, keepdim=True) * x - weights @ x


def entropy(
    points: Float[Tensor, "b t n"], values: Float[Tensor, "b t"], sharpness: float, bandwidth: float
) -> Float[Tensor, " b"]:
    """Of where the minimum is, as far as points and their values tell, up to a constant.

    Its density is proportional to exp(-sharpness f): point i stands for a share w_i of it, spread by a Gaussian kernel
    K, and the entropy is -sum_i w_i log sum_j w_j K(x_i - x_j).
    """
    weights = (-sharpness * values).log_softmax(dim=-1)
    kernel = -distances(points) / (2 * bandwidth**2)
    log_density = torch.logsumexp(kernel + weights[:, None, :], dim=-1)
    return -(weights.exp() * log_density).sum(dim=-1)


class Kept(NamedTuple):
    """What is kept between steps."""

    before: Float[Tensor, "b n"]
    """The gradient of the last step."""
    best: Float[Tensor, "b n"]
    """Where each particle's function was least."""
    least: Float[Tensor, " b"]


class Swarm(nn.Module):
    particles: ClassVar[int] = PARTICLES

    def __init__(self, networks: bool, gradient_scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.networks = networks
        self.gradient_scale = gradient_scale
        self.feature = nn.Parameter(truncated_normal(ATTENTION, 1, generator))
        self.context = nn.Parameter(truncated_normal(ATTENTION, HIDDEN, generator))
        self.attention_bias = nn.Parameter(torch.zeros(ATTENTION))
        self.score = nn.Parameter(truncated_normal(1, ATTENTION, generator))
        self.asking = nn.Parameter(truncated_normal(ATTENTION, HIDDEN, generator))
        self.asked = nn.Parameter(truncated_normal(ATTENTION, HIDDEN, generator))
        self.lstm = LSTM(2, HIDDEN, 2, generator)
        self.outer = nn.Parameter(truncated_normal(1, HIDDEN, generator))
        self.outer_bias = nn.Parameter(torch.zeros(1))

    def begin(self, optimisees: Optimisees, generator: torch.Generator) -> tuple[Float[Tensor, "b n"], State]:
        start = optimisees.start
        spread = start.square().mean().sqrt().clamp(min=LEAST_SPREAD)
        noise = rearrange(torch.randn(start.shape, generator=generator), "(b p) n -> b p n", p=PARTICLES)
        noise[:, 0] = 0
        start = start + spread * rearrange(noise, "b p n -> (b p) n").to(start)
        least = torch.full_like(start[:, 0], torch.inf)
        return start, (*Kept(torch.zeros_like(start), start, least), *self.lstm.begin(start.numel()))

    def features(self, seen: Seen, kept: Kept) -> tuple[Float[Tensor, "b n k"], Kept]:
        """The four of each coordinate, and what to keep. x is its own best one before it was ever better elsewhere."""
        values = finite(seen.value)
        better = values < kept.least
        best = torch.where(better[:, None], seen.x, kept.best)
        gradient = self.scaled(seen.gradient)
        pull = attraction(*(rearrange(part, "(b p) ... -> b p ...", p=PARTICLES) for part in (seen.x, values)))
        pull = rearrange(pull, "b p n -> (b p) n")
        features = torch.stack([gradient, MOMENTUM * kept.before, seen.x - best, pull], dim=-1)
        return features, Kept(gradient, best, torch.minimum(values, kept.least))

    def scaled(self, gradient: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        if self.networks:
            return (math.exp(LOG_RANGE) * gradient).asinh() / LOG_RANGE
        return self.gradient_scale * gradient

    def weighed(self, features: Float[Tensor, "r k"], hidden: Float[Tensor, "r z"]) -> Float[Tensor, " r"]:
        """The mean of the features of a coordinate, with weights that depend on each and on the hidden units."""
        context = hidden @ self.context.T + self.attention_bias
        scores = (features[..., None] * self.feature[:, 0] + context[:, None, :]).tanh() @ self.score[0]
        return (scores.softmax(dim=-1) * features).sum(dim=-1)

    def mixed(
        self, gradient: Float[Tensor, "b n"], x: Float[Tensor, "b n"], hidden: Float[Tensor, "r z"]
    ) -> Float[Tensor, " r"]:
        """For each particle a mean of all gradients: more of near particles, and of those that it attends to."""
        p = PARTICLES
        nearness = -distances(rearrange(x, "(b p) n -> b p n", p=p))
        asking, asked = (
            rearrange(hidden @ weight.T, "(b p n) a -> b n p a", p=p, n=x.shape[1])
            for weight in (self.asking, self.asked)
        )
        weights = (asking @ asked.mT / math.sqrt(ATTENTION) + nearness[:, None]).softmax(dim=-1)
        mixed = weights @ rearrange(gradient, "(b p) n -> b n p 1", p=p)
        return rearrange(mixed, "b n p 1 -> (b p n)")

    def step(self, seen: Seen, state: State) -> tuple[Float[Tensor, "b n"], State]:
        features, kept = self.features(seen, Kept(*state[:3]))
        hidden = state[5]
        attended = self.weighed(rearrange(features, "b n k -> (b n) k"), hidden)
        mixed = self.mixed(features[..., 0], seen.x, hidden)
        hidden, following = self.lstm(torch.stack([attended, mixed], dim=1), state[3:])
        outer = torch.addmm(self.outer_bias, hidden, self.outer.T).view_as(seen.x)
        return NETWORK_STEP * outer if self.networks else outer, (*kept, *following)


class SwarmSolver(nn.Module):
    """Runs a swarm, and gives the best particle at each iteration."""

    def __init__(self, optimizer: nn.Module) -> None:
        """`optimizer` is a `LearnedOptimizer` of four particles."""
        super().__init__()
        self.optimizer = optimizer

    def forward(self, optimisees: Optimisees, steps: int) -> Iterator[Float[Tensor, "b n"]]:
        optimizer = cast(LearnedOptimizer, self.optimizer)
        flock = optimisees.repeated(PARTICLES)
        x, state = optimizer.begin(flock, torch.Generator().manual_seed(0))
        seen = look(flock, x, 0)
        for step in range(1, steps + 1):
            update, state = optimizer.step(seen, state)
            x = x + update
            seen = look(flock, x, step)
            best = rearrange(finite(seen.value), "(b p) -> b p", p=PARTICLES).argmin(dim=1)
            yield x[torch.arange(len(best), device=x.device) * PARTICLES + best]


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class L2OSwarm(MetaTraining):
    """A learned optimiser of four particles that attend to each other; the best one counts."""

    gradient_scale: Positive = 0.0078125
    """Gradients of analytic functions are multiplied by it: 1 over the 128 functions of the benchmark's mean."""
    entropy_weight: NonNegative = 0.001
    sharpness: Positive = 1.0
    """How fast the density of where the minimum is falls with the value; not published."""
    bandwidth: Positive = 1.0
    """Of its kernel; not published."""

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
            "updates": 500,
            "updates_networks": 50,
            "batch": 16,
            "validate_every": 25,
            "validation_networks": 1,
            "stages": (100, 200, 500),
        },
        "gpu": {"updates": 5000, "updates_networks": 500, "stages": (100, 200, 500)},
    }

    def solver(self, problem: Problem, generator: torch.Generator) -> SwarmSolver:
        return SwarmSolver(Swarm(problem.trains_networks, self.gradient_scale, generator))

    def penalty(self, points: Float[Tensor, "t b n"], values: Float[Tensor, "t b"]) -> Float[Tensor, ""] | float:
        every = rearrange(points, "t (b p) n -> b (t p) n", p=PARTICLES)
        levels = rearrange(values, "t (b p) -> b (t p)", p=PARTICLES)
        return self.entropy_weight * entropy(every, levels, self.sharpness, self.bandwidth).mean()
