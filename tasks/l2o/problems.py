"""What `fit` is given: sparse vectors to recover, or functions to make small. Neither holds anything of the test.

Dimensions: b instances, m measurements, n unknowns, p entries of a target, k iterations.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.l2o.functions import Family
from tasks.l2o.lasso import Instances, measure, sparse_signals
from tasks.l2o.optimisees import Optimisees
from tasks.l2o.recipes import Goal
from tasks.l2o.scoring import final_values, last


@runtime_checkable
class Solution(Protocol):
    """What a method returns: an `nn.Module` that is called so, and gives iterates 1 to `steps`, one after another.

    An iterator computes them while it is read, so that a long run needs no memory; a tensor of all will do as well.
    """

    def __call__(self, optimisees: Any, steps: int) -> Iterable[Float[Tensor, "b n"]]: ...


@runtime_checkable
class Problem(Protocol):
    """What optimisers of any kind of function need to know. The data sets of the LASSO family offer more."""

    @property
    def steps(self) -> int:
        """Iterations after which a solution is scored."""

    @property
    def trains_networks(self) -> bool: ...

    def optimisees(self, count: int, seed: int) -> Optimisees:
        """Functions to learn from, which depend on the problem and the seed alone, on the problem's device."""

    def validation_loss(self, solution: Solution) -> float:
        """What to select by, lower is better: it ranks as the first metric does, on functions set aside for it."""

    def to(self, device: torch.device) -> "Problem": ...


# Functions ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FunctionProblem:
    """A distribution of functions, and some that are set aside for validation."""

    family: Family
    steps: int
    validation: Optimisees

    @property
    def trains_networks(self) -> bool:
        return self.validation.stochastic

    def optimisees(self, count: int, seed: int) -> Optimisees:
        return self.family.draw(count, seed).to(self.validation.start.device)

    def validation_loss(self, solution: Solution) -> float:
        """The mean of the last values; infinite if an iterate is not finite."""
        return final_values(solution, self.validation, self.steps).mean().item()

    def to(self, device: torch.device) -> "FunctionProblem":
        return replace(self, validation=self.validation.to(device))


# The LASSO family -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Samples:
    """Instances, and what they were measured from: sparse vectors, or patches that these compose."""

    instances: Instances
    signals: Float[Tensor, "b p"]

    def to(self, device: torch.device) -> "Samples":
        return replace(self, instances=self.instances.to(device), signals=self.signals.to(device))


@runtime_checkable
class Source(Protocol):
    """A distribution of samples."""

    def draw(self, count: int, seed: int) -> Samples: ...


@dataclass(frozen=True)
class SparseSource:
    """Sparse vectors seen through a dictionary."""

    dictionary: Float[Tensor, "m n"]
    weight: float
    sparsity: float
    snr_db: float
    amplitude: float = 1.0
    """Deviation of an entry that is not zero."""

    def draw(self, count: int, seed: int) -> Samples:
        # Drawn on the CPU, so that every device sees the same samples.
        generator = torch.Generator().manual_seed(seed)
        signals = sparse_signals(count, self.dictionary.shape[1], self.sparsity, generator).to(self.dictionary)
        signals = self.amplitude * signals
        measurements = measure(self.dictionary, signals, self.snr_db, generator)
        return Samples(Instances(self.dictionary, measurements, self.weight), signals)


@dataclass(frozen=True)
class SparseProblem:
    """The dictionary, the distribution of samples, and validation samples."""

    dictionary: Float[Tensor, "m n"]
    weight: float
    """Of the l1 norm in the objective."""
    source: Source
    goal: Goal
    steps: int
    """Iterations after which a solution is scored."""
    validation: Samples
    synthesis: Float[Tensor, "p n"] | None = None
    """Composes the target from x; None where x is the target."""

    @property
    def trains_networks(self) -> bool:
        return False

    def draw(self, count: int, seed: int) -> Samples:
        """Samples that depend on the problem and the seed alone, on the dictionary's device."""
        return self.source.draw(count, seed).to(self.dictionary.device)

    def optimisees(self, count: int, seed: int) -> Instances:
        return self.draw(count, seed).instances

    def target(self, x: Float[Tensor, "*k b n"]) -> Float[Tensor, "*k b p"]:
        """What x says that was measured."""
        return x if self.synthesis is None else x @ self.synthesis.T

    def loss(self, x: Float[Tensor, "b n"], samples: Samples) -> Float[Tensor, ""]:
        """What to train and to select on: a sum over instances that ranks solutions as the first metric does."""
        if self.goal == "objective":
            return samples.instances.objective(x).sum()
        return 0.5 * (self.target(x) - samples.signals).square().sum()

    def validation_loss(self, solution: Solution) -> float:
        """The loss of the last iterate, for each validation sample."""
        with torch.no_grad():
            x = last(solution(self.validation.instances, self.steps))
        return self.loss(x, self.validation).item() / len(self.validation.signals)

    def to(self, device: torch.device) -> "SparseProblem":
        return replace(
            self,
            dictionary=self.dictionary.to(device),
            validation=self.validation.to(device),
            synthesis=None if self.synthesis is None else self.synthesis.to(device),
        )


def device_of(solution: nn.Module) -> torch.device:
    """Where a solution's tensors are; one without any computes wherever its instances are, so on the CPU."""
    for tensor in (*solution.parameters(), *solution.buffers()):
        return tensor.device
    return torch.device("cpu")
