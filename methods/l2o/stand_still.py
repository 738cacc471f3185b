"""Stays where it starts. What every optimiser has to beat, and where the curves of Open-L2O's figures begin."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from bench import Presets, Run, method
from tasks.l2o import Problem
from tasks.l2o.optimisees import Optimisees


class Still(nn.Module):
    def forward(self, optimisees: Optimisees, steps: int) -> Iterator[Float[Tensor, "b n"]]:
        return repeat(optimisees.start, steps)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class StandStill:
    """Stays where it starts: what every optimiser has to beat."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: Problem, run: Run) -> nn.Module:  # noqa: ARG002 -- there is nothing to learn
        return Still()
