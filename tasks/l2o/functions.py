"""Analytic functions, drawn from a seed: quadratics, Lasso with a matrix an instance, Rastrigin's, Rosenbrock's.

Open-L2O (Chen et al., JMLR 2022), figure 7 and its code. All but Rosenbrock's are one form,

    f(x) = a ||W x - y||^2 + l ||x||_1 - c^T cos(2 pi x) + d        `LeastSquares`

    quadratic           a = 1, W and y uniform in [0, 1)
    quadratic-normal    a = 1/2, W and y normal (L2O-Scale's)
    lasso-dense         a = 1/2, l = 0.005, W and y uniform in [0, 1); not the Lasso of figure 6, which shares one W
    rastrigin           a = 1/2, W, y and c / 10 normal, d = 10 n; c may be negative, so that 0 is not the minimum

Dimensions: b functions, n unknowns.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.l2o.optimisees import Optimisees

RASTRIGIN_AMPLITUDE = 10.0
LASSO_WEIGHT = 0.005


@dataclass(frozen=True)
class LeastSquares:
    """a ||W x - y||^2 + l ||x||_1 - c^T cos(2 pi x) + d, with W, y and c of each function's own."""

    start: Float[Tensor, "b n"]
    matrix: Float[Tensor, "b n n"]
    target: Float[Tensor, "b n"]
    cosines: Float[Tensor, "b n"]
    factor: float
    weight: float
    offset: float

    stochastic: ClassVar[bool] = False

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.start.shape[1],)

    def value(self, x: Float[Tensor, "b n"], step: int = 0) -> Float[Tensor, " b"]:  # noqa: ARG002
        return self._value(x, self._misfit(x))

    def value_and_gradient(
        self,
        x: Float[Tensor, "b n"],
        step: int = 0,  # noqa: ARG002 -- the same at every step
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b n"]]:
        x = x.detach()
        misfit = self._misfit(x)
        gradient = (
            2 * self.factor * torch.einsum("bij,bi->bj", self.matrix, misfit)
            + self.weight * x.sign()
            + 2 * math.pi * self.cosines * torch.sin(2 * math.pi * x)
        )
        return self._value(x, misfit), gradient

    def _misfit(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return torch.einsum("bij,bj->bi", self.matrix, x) - self.target

    def _value(self, x: Float[Tensor, "b n"], misfit: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
        return (
            self.factor * misfit.square().sum(dim=-1)
            + self.weight * x.abs().sum(dim=-1)
            - (self.cosines * torch.cos(2 * math.pi * x)).sum(dim=-1)
            + self.offset
        )

    def scaled(self, factor: float) -> "LeastSquares":
        """The same functions times `factor`."""
        return replace(
            self,
            cosines=factor * self.cosines,
            factor=factor * self.factor,
            weight=factor * self.weight,
            offset=factor * self.offset,
        )

    def repeated(self, times: int) -> "LeastSquares":
        parts = {name: getattr(self, name) for name in ("start", "matrix", "target", "cosines")}
        return replace(self, **{name: part.repeat_interleave(times, dim=0) for name, part in parts.items()})

    def to(self, target: torch.device | torch.dtype) -> "LeastSquares":
        return replace(
            self,
            start=self.start.to(target),
            matrix=self.matrix.to(target),
            target=self.target.to(target),
            cosines=self.cosines.to(target),
        )


@dataclass(frozen=True)
class Rosenbrock:
    """factor ((1 - x_1)^2 + 100 (x_2 - x_1^2)^2): one function, from many starts."""

    start: Float[Tensor, "b 2"]
    factor: float = 1.0

    stochastic: ClassVar[bool] = False
    sizes: ClassVar[tuple[int, ...]] = (2,)

    def value(self, x: Float[Tensor, "b 2"], step: int = 0) -> Float[Tensor, " b"]:  # noqa: ARG002
        first, second = x.unbind(dim=-1)
        return self.factor * ((1 - first).square() + 100 * (second - first.square()).square())

    def value_and_gradient(
        self, x: Float[Tensor, "b 2"], step: int = 0
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b 2"]]:
        x = x.detach()
        first, second = x.unbind(dim=-1)
        valley = second - first.square()
        gradient = torch.stack([-2 * (1 - first) - 400 * first * valley, 200 * valley], dim=-1)
        return self.value(x, step), self.factor * gradient

    def scaled(self, factor: float) -> "Rosenbrock":
        return replace(self, factor=factor * self.factor)

    def repeated(self, times: int) -> "Rosenbrock":
        return replace(self, start=self.start.repeat_interleave(times, dim=0))

    def to(self, target: torch.device | torch.dtype) -> "Rosenbrock":
        return replace(self, start=self.start.to(target))


# Distributions of functions -------------------------------------------------------------------------------------------


@runtime_checkable
class Family(Protocol):
    """A distribution of functions: what training draws from, and what is drawn at the end."""

    def draw(self, count: int, seed: int) -> Optimisees:
        """Functions that depend on the family and the seed alone."""

    def to(self, target: torch.device) -> "Family":
        """The same distribution, with what it holds on another device."""


Kind = Literal["quadratic", "quadratic-normal", "lasso-dense", "rastrigin", "rosenbrock"]

START_DEVIATION: dict[Kind, float] = {
    "quadratic": 0.01,
    "quadratic-normal": 0.01,
    "lasso-dense": 0.01,
    "rastrigin": 1.0,
    "rosenbrock": 1.0,
}
"""Of the normal start: 0.01 and 1 as in Open-L2O's code; that of the other three is not given there."""


@dataclass(frozen=True)
class Functions:
    """Functions of one kind. Shifted away from what was trained on by the last two fields."""

    kind: Kind
    unknowns: int
    spread: float = 1.0
    """Starts are drawn this many times as far from zero as usual."""
    scale: float = 1.0
    """The functions, and so their gradients, are this many times as large."""

    def draw(self, count: int, seed: int) -> LeastSquares | Rosenbrock:
        # Drawn on the CPU, so that every device sees the same functions.
        generator = torch.Generator().manual_seed(seed)
        n = self.unknowns
        start = self.spread * START_DEVIATION[self.kind] * torch.randn(count, n, generator=generator)
        if self.kind == "rosenbrock":
            return Rosenbrock(start).scaled(self.scale)
        drawn = torch.randn if self.kind in ("rastrigin", "quadratic-normal") else torch.rand
        matrix = drawn(count, n, n, generator=generator)
        target = drawn(count, n, generator=generator)
        cosines, offset = torch.zeros(count, n), 0.0
        if self.kind == "rastrigin":
            cosines = RASTRIGIN_AMPLITUDE * torch.randn(count, n, generator=generator)
            offset = RASTRIGIN_AMPLITUDE * n
        factor = 1.0 if self.kind == "quadratic" else 0.5
        weight = LASSO_WEIGHT if self.kind == "lasso-dense" else 0.0
        return LeastSquares(start, matrix, target, cosines, factor, weight, offset).scaled(self.scale)

    def to(self, target: torch.device) -> "Functions":  # noqa: ARG002 -- it holds nothing
        return self
