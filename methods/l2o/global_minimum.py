"""The global minimum of each function: the level lines of Open-L2O's figure 7. It reads the functions' own matrices.

    quadratics               the least squares, exactly
    Lasso, lasso-dense       the minimiser, to a duality gap
    Rosenbrock               (1, 1)
    Rastrigin                the lowest of many local minima: a search, see below

A local minimum of Rastrigin's f(x) = q(x) - c^T cos(2 pi x), where q(x) = a ||W x - y||^2, lies where all cosines are
near their best, one in each cell of a grid of whole numbers. To move by a whole vector v changes q alone, and after
the descent that follows f has changed by about

    grad q(x)^T v + 1/2 v^T K v,   K = H - H (H + D)^-1 H,   H = 2 a W^T W,   D = 4 pi^2 diag |c|

which is exact for parabolas in place of the cosines. The search goes on from many points. In a round each tries the
vector that promises most, among some of a basis that is short in the metric K and of the sums of two of these, and
stays where f is lower. With two unknowns this agrees with an exhaustive search; with more it is an upper bound.

Differs from the benchmark: how its oracle was found is not said there.

Dimensions: b functions, s starts, n unknowns, v moves.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, Presets, Run, Unsupported, method
from tasks.l2o import Problem, SparseProblem
from tasks.l2o.functions import LeastSquares, Rosenbrock
from tasks.l2o.lasso import Instances, minimiser

DESCENT_STEPS = 30
"""After each move. A step cuts the error by the share of the curvature that is the cosines'."""
LAST_STEPS = 1000
"""At the end, from the lowest point of all."""
TRIED = 16
"""Vectors of a round, drawn at random."""
REDUCTIONS = 50
"""Sweeps over a basis, at most; it settles in about ten."""


def reduced(gram: Float[Tensor, "b n n"]) -> Float[Tensor, "b n n"]:
    """A basis of the whole vectors for each metric, a vector a row; none is shorter less a multiple of another."""
    count, n, _ = gram.shape
    basis = torch.eye(n).to(gram).repeat(count, 1, 1)
    products = gram.clone()
    for _ in range(REDUCTIONS):
        moved = False
        for row in range(n):
            lengths = products.diagonal(dim1=1, dim2=2)  # b, n
            times = (products[:, row] / lengths).round()
            times[:, row] = 0
            # |r - t v|^2 - |r|^2
            gain = times.square() * lengths - 2 * times * products[:, row]
            least, other = gain.min(dim=1)
            # Rounding errors would make it go round in circles.
            taken = torch.where(least < -1e-9 * lengths[:, row], times.gather(1, other[:, None])[:, 0], 0)
            moved |= bool(taken.any())
            each = torch.arange(count, device=gram.device)
            basis[:, row] -= taken[:, None] * basis[each, other]
            products[:, row] -= taken[:, None] * products[each, other]
            products[:, :, row] -= taken[:, None] * products[each, :, other]
        if not moved:
            break
    return basis


def moves(basis: Float[Tensor, "b n n"]) -> Float[Tensor, "b v n"]:
    """Each vector of a basis, and the sum and the difference of any two, in both directions."""
    first, second = torch.tensor(list(combinations(range(basis.shape[1]), 2))).T
    one = torch.cat([basis, basis[:, first] + basis[:, second], basis[:, first] - basis[:, second]], dim=1)
    return torch.cat([one, -one], dim=1)


class Descent:
    """Descends functions of the form of `LeastSquares` without an l1 norm, many points of each at a time.

    Every step minimises an upper bound of the function, so no step leads upwards.
    """

    def __init__(self, functions: LeastSquares) -> None:
        self.functions = functions
        W = functions.matrix
        self.quadratic = 2 * functions.factor * W.mT @ W
        """H."""
        self.slope = 2 * functions.factor * torch.einsum("bij,bi->bj", W, functions.target)
        """The gradient of the quadratic part is H x less this."""
        self.inverse = torch.linalg.inv(self.quadratic + 4 * math.pi**2 * torch.diag_embed(functions.cosines.abs()))
        """(H + D)^-1: no curvature is larger than H + D."""

    def pull(self, x: Float[Tensor, "b s n"]) -> Float[Tensor, "b s n"]:
        """The gradient of the quadratic part."""
        return x @ self.quadratic - self.slope[:, None]

    def value(self, x: Float[Tensor, "b s n"]) -> Float[Tensor, "b s"]:
        """Without the offset."""
        functions = self.functions
        misfit = x @ functions.matrix.mT - functions.target[:, None]
        waves = functions.cosines[:, None] * torch.cos(2 * math.pi * x)
        return functions.factor * misfit.square().sum(dim=-1) - waves.sum(dim=-1)

    def __call__(self, x: Float[Tensor, "b s n"], steps: int) -> Float[Tensor, "b s n"]:
        cosines = 2 * math.pi * self.functions.cosines[:, None]
        for _ in range(steps):
            x = x - (self.pull(x) + cosines * torch.sin(2 * math.pi * x)) @ self.inverse
        return x


def lowest(functions: LeastSquares, starts: int, rounds: int, generator: torch.Generator) -> Float[Tensor, "b n"]:
    """The lowest of the local minima found from `starts` points of each function, each moved `rounds` times."""
    device = functions.start.device
    descend = Descent(functions)
    H = descend.quadratic
    relaxed = H - H @ descend.inverse @ H
    ways = moves(reduced(relaxed))
    cost = 0.5 * torch.einsum("bvi,bij,bvj->bv", ways, relaxed, ways)

    count, n = functions.start.shape
    spread = torch.randn(count, starts, n, generator=generator, dtype=H.dtype).to(device)
    x = descend(least_squares(functions)[:, None] + spread, DESCENT_STEPS)
    value = descend.value(x)
    for _ in range(rounds):
        some = torch.randint(ways.shape[1], (TRIED,), generator=generator).to(device)
        promise = descend.pull(x) @ ways[:, some].mT + cost[:, None, some]  # b, s, v
        way = some[promise.argmin(dim=-1, keepdim=True)]
        moved = descend(x + ways.gather(1, way.expand(-1, -1, n)), DESCENT_STEPS)
        there = descend.value(moved)
        lower = there < value
        x, value = torch.where(lower[..., None], moved, x), torch.where(lower, there, value)
    best = value.argmin(dim=1, keepdim=True)
    return descend(x.take_along_dim(best[..., None], dim=1), LAST_STEPS)[:, 0]


def least_squares(functions: LeastSquares) -> Float[Tensor, "b n"]:
    """Where W x = y is met best."""
    return torch.linalg.lstsq(functions.matrix, functions.target[..., None]).solution[..., 0]


def lasso(functions: LeastSquares) -> Float[Tensor, "b n"]:
    """The minimiser of functions without cosines, one after another, since each has its own matrix."""
    weight = functions.weight / (2 * functions.factor)
    pairs = zip(functions.matrix, functions.target, strict=True)
    return torch.cat([minimiser(Instances(matrix, target[None], weight)) for matrix, target in pairs])


class Oracle(nn.Module):
    """Every iterate is the lowest point that was found; `seed` is that of the search."""

    def __init__(self, starts: int, rounds: int, seed: int) -> None:
        super().__init__()
        self.starts, self.rounds, self.seed = starts, rounds, seed

    def forward(self, optimisees: Instances | LeastSquares | Rosenbrock, steps: int) -> Float[Tensor, "k b n"]:
        found = self.search(optimisees).to(optimisees.start)
        return found.expand(steps, *found.shape)

    def search(self, optimisees: Instances | LeastSquares | Rosenbrock) -> Float[Tensor, "b n"]:
        match optimisees:
            case Instances():
                return minimiser(optimisees)
            case Rosenbrock():
                return torch.ones_like(optimisees.start)
            case LeastSquares():
                functions = optimisees.to(torch.float64)
                if functions.weight:
                    return lasso(functions)
                if not functions.cosines.any():
                    return least_squares(functions)
                return lowest(functions, self.starts, self.rounds, torch.Generator().manual_seed(self.seed))


@method("l2o", paper="open_l2o", oracle=True)
@dataclass(frozen=True)
class GlobalMinimum:
    """Knows each function's matrices, and finds its least value: what no optimiser can go below."""

    starts: Count = 128
    """Points of each Rastrigin function that the search goes on from, apart from each other."""
    rounds: Count = 100
    """Moves that each of them tries."""

    presets: ClassVar[Presets] = {"smoke": {"starts": 8, "rounds": 20}}

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        if problem.trains_networks:
            raise Unsupported("the least training loss of a network is not known")
        if isinstance(problem, SparseProblem) and problem.goal == "signal":
            raise Unsupported("the signal is asked for, and no function of it is given that is least there")
        return Oracle(self.starts, self.rounds, run.stream())
