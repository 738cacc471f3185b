"""Adam: steps of a running mean of the gradient, relative to its root mean square.

Kingma and Ba, ICLR 2015. As a baseline of Open-L2O (Chen et al., JMLR 2022), figures 6 to 8.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from bench import Fraction, Positive, Presets, Run, method
from methods.l2o._classic import tune
from methods.l2o._rules import AdamRule, Descent
from tasks.l2o import Problem


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class Adam:
    """Adam, its step size chosen by validation."""

    lrs: tuple[Positive, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Candidates for the step size, chosen by validation; that of the benchmark's figures is not published."""
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8

    presets: ClassVar[Presets] = {}

    def build(self, problem: Problem) -> Descent:  # noqa: ARG002 -- the same for every problem
        return Descent(AdamRule(self.beta1, self.beta2, self.eps), self.lrs[0])

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        return tune(partial(Descent, AdamRule(self.beta1, self.beta2, self.eps)), self.lrs, "lr", problem, run)
