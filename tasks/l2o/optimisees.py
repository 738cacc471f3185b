"""What every family of problems offers to an optimiser, and no more.

Dimensions: b functions, n unknowns.
"""

from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Optimisees(Protocol):
    """Functions of n unknowns, to be made small at the same time and apart from each other, each from its start.

    Where they are `stochastic`, training losses, a function is another one at every step: that of minibatch `step`.
    """

    stochastic: ClassVar[bool]

    @property
    def start(self) -> Float[Tensor, "b n"]: ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Lengths of the tensors that x is made of, in their order: n alone where x is a vector."""

    def value(self, x: Float[Tensor, "b n"], step: int) -> Float[Tensor, " b"]: ...

    def value_and_gradient(
        self, x: Float[Tensor, "b n"], step: int
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b n"]]:
        """Both detached: no optimiser here looks at second derivatives."""

    def repeated(self, times: int) -> "Optimisees":
        """Each function `times` times, one row after another: the same function at every step."""

    def to(self, target: torch.device) -> "Optimisees": ...
