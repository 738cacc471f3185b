"""Nesterov's accelerated gradient with a fixed momentum.

Nesterov, 1983; in the form of Sutskever, Martens, Dahl and Hinton, ICML 2013. As a baseline of Open-L2O (Chen et al.,
JMLR 2022), figures 6 to 8.

Differs from the benchmark as gradient descent does, see `sgd`.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from bench import Fraction, Positive, Presets, Run, method
from methods.l2o._classic import tune
from methods.l2o._rules import Descent, NesterovRule
from tasks.l2o import Problem


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class NAG:
    """Nesterov's accelerated gradient, its step size chosen by validation."""

    lrs: tuple[Positive, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Candidates for the step size, chosen by validation; that of the benchmark's figures is not published."""
    momentum: Fraction = 0.9

    presets: ClassVar[Presets] = {}

    def build(self, problem: Problem) -> Descent:  # noqa: ARG002 -- the same for every problem
        return Descent(NesterovRule(self.momentum), self.lrs[0])

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        return tune(partial(Descent, NesterovRule(self.momentum)), self.lrs, "lr", problem, run)
