"""Gradient descent with one step size; on networks, stochastic.

Cauchy, 1847; Robbins and Monro, 1951. As a baseline of Open-L2O (Chen et al., JMLR 2022), figures 6 to 8.

Differs from the benchmark: gradients are those of each function, where its are of the mean over 128 functions, so that
its step sizes are 128 times as large as ours.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from bench import Positive, Presets, Run, method
from methods.l2o._classic import tune
from methods.l2o._rules import Descent, GradientRule
from tasks.l2o import Problem


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class SGD:
    """Gradient descent with one step size, chosen by validation."""

    lrs: tuple[Positive, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Candidates for the step size, chosen by validation; that of the benchmark's figures is not published."""

    presets: ClassVar[Presets] = {}

    def build(self, problem: Problem) -> Descent:  # noqa: ARG002 -- the same for every problem
        return Descent(GradientRule(), self.lrs[0])

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        return tune(partial(Descent, GradientRule()), self.lrs, "lr", problem, run)
