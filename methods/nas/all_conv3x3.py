"""The cell with a 3x3 convolution on every edge: what a search has to beat, without any search.

On NAS-Bench-201 it is cell 1462, the one with the most parameters, 1,531,546, and it does as well on CIFAR-10 as the
cells that TE-NAS is published to find. In the space of DARTS every node has separable 3x3 convolutions from the cell's
two inputs.
"""

from dataclasses import dataclass
from typing import ClassVar

from bench import Presets, Run, method
from tasks.nas import Found, NASProblem
from tasks.nas.spaces import Architecture, Space, groups

CONVOLUTIONS = ("nor_conv_3x3", "sep_conv_3x3")


def all_convolutions(space: Space) -> Architecture:
    """On all edges that a node may keep, the first ones. Raises `StopIteration` if the space has no 3x3 convolution."""
    operator = next(index for index, name in enumerate(space.operators) if name in CONVOLUTIONS)
    choice = [0] * len(space.edges)
    for edges in groups(space):
        for edge in edges[: space.kept]:
            choice[edge] = operator
    return Architecture(space, tuple(choice))


@method("nas")
@dataclass(frozen=True)
class AllConv3x3:
    """Takes 3x3 convolutions everywhere."""

    presets: ClassVar[Presets] = {}

    def build(self, problem: NASProblem) -> Found:
        return Found(all_convolutions(problem.space))

    def fit(self, problem: NASProblem, run: Run) -> Found:  # noqa: ARG002
        return self.build(problem)
