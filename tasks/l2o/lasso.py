"""The LASSO family: dictionaries, sparse signals, measurements, and the optimum; pure functions of a seed.

Open-L2O (Chen et al., JMLR 2022), sparse recovery and Lasso; the generators are those of its ancestors LISTA-CPSS and
ALISTA. A signal x of n unknowns is seen through a dictionary A as m measurements b = A x + noise.

Dimensions: b instances, m measurements, n unknowns, k iterations.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

OPTIMUM_GAP = 1e-9
"""How far `optimum` may be above the true optimum, as a part of it."""
OPTIMUM_ITERATIONS = 100_000
POLISHED_EVERY = 100
"""Iterations between two attempts to finish: as many take about as long as an attempt."""


@dataclass(frozen=True)
class Instances:
    """Instances that share a dictionary: minimise 1/2 ||A x - b||^2 + weight ||x||_1 over x, from `start`.

    All that an optimiser may see. The signal that was measured is not here.
    """

    dictionary: Float[Tensor, "m n"]
    measurements: Float[Tensor, "b m"]
    weight: float

    stochastic: ClassVar[bool] = False

    @property
    def start(self) -> Float[Tensor, "b n"]:
        """Zero, where every optimiser starts."""
        return self.measurements.new_zeros(len(self.measurements), self.dictionary.shape[1])

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.dictionary.shape[1],)

    def residual(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """What x leaves unexplained, b - A x."""
        return self.measurements - x @ self.dictionary.T

    def objective(self, x: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
        return 0.5 * self.residual(x).square().sum(dim=-1) + self.weight * x.abs().sum(dim=-1)

    def gradient(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """A subgradient of `objective`: the l1 norm counts as flat where an entry is zero."""
        return self.weight * x.sign() - self.residual(x) @ self.dictionary

    def value(self, x: Float[Tensor, "b n"], step: int = 0) -> Float[Tensor, " b"]:  # noqa: ARG002
        return self.objective(x)

    def value_and_gradient(
        self,
        x: Float[Tensor, "b n"],
        step: int = 0,  # noqa: ARG002 -- the same at every step
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b n"]]:
        x = x.detach()
        return self.objective(x), self.gradient(x)

    def repeated(self, times: int) -> "Instances":
        return replace(self, measurements=self.measurements.repeat_interleave(times, dim=0))

    def to(self, target: torch.device | torch.dtype) -> "Instances":
        return replace(self, dictionary=self.dictionary.to(target), measurements=self.measurements.to(target))


def unit_columns(dictionary: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    return dictionary / dictionary.norm(dim=0)


def gaussian_dictionary(measurements: int, unknowns: int, seed: int) -> Float[Tensor, "m n"]:
    """Independent N(0, 1/m) entries. Its columns are not yet of unit length."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(measurements, unknowns, generator=generator) / math.sqrt(measurements)


def ill_conditioned_dictionary(measurements: int, unknowns: int, condition: float, seed: int) -> Float[Tensor, "m n"]:
    """A Gaussian dictionary whose singular values were set to a geometric series from `condition` down to 1.

    The columns are not yet of unit length, and scaling them changes the condition number.
    """
    dictionary = gaussian_dictionary(measurements, unknowns, seed).double()
    left, values, right = torch.linalg.svd(dictionary, full_matrices=False)
    values = torch.logspace(0, -math.log10(condition), len(values), dtype=values.dtype)
    values *= math.sqrt(unknowns) / values.norm()
    return ((left * values) @ right).float()


def coherent_dictionary(measurements: int, unknowns: int, correlation: float, seed: int) -> Float[Tensor, "m n"]:
    """Gaussian columns of which each is correlated with the one before it. They are not yet of unit length."""
    fresh = gaussian_dictionary(measurements, unknowns, seed)
    columns = [fresh[:, 0]]
    for column in fresh.T[1:]:
        columns.append(correlation * columns[-1] + math.sqrt(1 - correlation**2) * column)
    return torch.stack(columns, dim=1)


def perturbed_dictionary(dictionary: Float[Tensor, "m n"], size: float, seed: int) -> Float[Tensor, "m n"]:
    """Unit columns again, after noise of `size` times a column's length was added to each."""
    noise = gaussian_dictionary(len(dictionary), dictionary.shape[1], seed).to(dictionary)
    return unit_columns(dictionary + size * noise)


def sparse_signals(count: int, unknowns: int, sparsity: float, generator: torch.Generator) -> Float[Tensor, "b n"]:
    """Every entry is nonzero with probability `sparsity`, and then N(0, 1)."""
    support = torch.rand(count, unknowns, generator=generator) < sparsity
    return torch.randn(count, unknowns, generator=generator) * support


def measure(
    dictionary: Float[Tensor, "m n"], signals: Float[Tensor, "b n"], snr_db: float, generator: torch.Generator
) -> Float[Tensor, "b m"]:
    """A x with white noise at `snr_db` of each instance's own measurements; none if that is infinite."""
    clean = signals @ dictionary.T
    if math.isinf(snr_db):
        return clean
    deviation = clean.std(dim=-1, correction=0, keepdim=True) * 10 ** (-snr_db / 20)
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    return clean + deviation * noise


def coherence(dictionary: Float[Tensor, "m n"]) -> float:
    """The largest |cosine| between two columns."""
    columns = unit_columns(dictionary)
    cosines = (columns.T @ columns).abs().fill_diagonal_(0)
    return cosines.max().item()


def lipschitz(dictionary: Float[Tensor, "m n"]) -> float:
    """The largest eigenvalue of A^T A, and a thousandth more, as in the authors' code: 1 over it is a safe step.

    Of A A^T where that is smaller: it has the same one, in half the time of singular values.
    """
    A = dictionary.double()
    gram = A @ A.T if len(A) <= A.shape[1] else A.T @ A
    return 1.001 * torch.linalg.eigvalsh(gram)[-1].item()


def optimum(instances: Instances) -> Float[Tensor, " b"]:
    """The least value of each objective, in float64; on average at most `OPTIMUM_GAP` of it too high."""
    instances = instances.to(torch.float64)
    return instances.objective(minimiser(instances))


def minimiser(instances: Instances) -> Float[Tensor, "b n"]:
    """Where each objective is least, in float64. Raises `RuntimeError` if a duality gap stays open.

    FISTA that drops its momentum where it points uphill (O'Donoghue and Candes, 2015). It soon knows which entries are
    not zero, and a linear system then gives their values. Instances whose gap is closed are not iterated any further;
    the last few, which are far slower, end when their part of the mean is closed.
    """
    instances = instances.to(torch.float64)
    step = 1 / lipschitz(instances.dictionary)
    found = instances.start
    values, gaps = torch.zeros_like(found[:, 0]), torch.zeros_like(found[:, 0])
    rows = torch.arange(len(found), device=found.device)
    # `rows` says which instances are still iterated.
    x = ahead = instances.start
    age = torch.ones_like(x[:, :1])
    for iteration in range(OPTIMUM_ITERATIONS):
        if iteration % POLISHED_EVERY == 0:
            polished = polish(instances, x)
            values[rows] = instances.objective(polished)
            gaps[rows] = values[rows] - dual(instances, polished)
            found[rows] = polished
            if gaps.sum() <= OPTIMUM_GAP * values.sum():
                return found
            is_open = gaps[rows] > OPTIMUM_GAP * values[rows]
            rows, x, ahead, age = rows[is_open], x[is_open], ahead[is_open], age[is_open]
            instances = replace(instances, measurements=instances.measurements[is_open])
        moved = ahead + step * instances.residual(ahead) @ instances.dictionary
        new = moved.sign() * (moved.abs() - step * instances.weight).clamp(min=0)
        uphill = ((ahead - new) * (new - x)).sum(dim=-1, keepdim=True) > 0
        next_age = torch.where(uphill, 1.0, (1 + (1 + 4 * age.square()).sqrt()) / 2)
        ahead = new + torch.where(uphill, 0.0, (age - 1) / next_age) * (new - x)
        x, age = new, next_age
    raise RuntimeError(f"the Lasso optimum was not found within {OPTIMUM_ITERATIONS} iterations")


def polish(instances: Instances, x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """The least point among those with the zeros and the signs of x, where that lowers the objective; x elsewhere."""
    A, b = instances.dictionary, instances.measurements
    support = (x != 0).to(x)
    # Rows and columns of entries that are zero become those of the identity, so that these stay zero.
    gram = support[:, :, None] * (A.T @ A) * support[:, None, :] + torch.diag_embed(1 - support)
    # A system without a single solution gives what is not lower, or not a number.
    solved, _ = torch.linalg.solve_ex(gram, support * (b @ A - instances.weight * x.sign()))
    lower = instances.objective(solved) < instances.objective(x)
    return torch.where(lower[:, None], solved, x)


def dual(instances: Instances, x: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """A lower bound on the optimum: the dual objective at the residual of x, scaled until it is feasible."""
    residual = instances.residual(x)
    slope = (residual @ instances.dictionary).abs().amax(dim=-1, keepdim=True)
    feasible = residual * (instances.weight / slope.clamp(min=instances.weight))
    b = instances.measurements
    return 0.5 * (b.square().sum(dim=-1) - (b - feasible).square().sum(dim=-1))
