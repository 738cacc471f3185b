"""RMSProp: steps relative to a running root mean square of the gradient.

Tieleman and Hinton, 2012. As a baseline of Open-L2O (Chen et al., JMLR 2022), figures 6 to 8.

The benchmark's own starts its mean square at one, as TensorFlow did, and so stands still for a hundred steps and more
where gradients are small; here it starts at zero unless asked otherwise.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from bench import Fraction, NonNegative, Positive, Presets, Run, method
from methods.l2o._classic import tune
from methods.l2o._rules import Descent, RMSPropRule
from tasks.l2o import Problem


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class RMSProp:
    """Steps relative to a running root mean square of the gradient; step size chosen by validation."""

    lrs: tuple[Positive, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Candidates for the step size, chosen by validation; that of the benchmark's figures is not published."""
    decay: Fraction = 0.9
    eps: Positive = 1e-10
    accumulator: NonNegative = 0.0
    """What the mean square starts at; in the figures of Open-L2O 1, of gradients 128 times smaller: here 16,384."""

    presets: ClassVar[Presets] = {}

    def build(self, problem: Problem) -> Descent:  # noqa: ARG002 -- the same for every problem
        return Descent(RMSPropRule(self.decay, self.eps, self.accumulator), self.lrs[0])

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        return tune(partial(Descent, RMSPropRule(self.decay, self.eps, self.accumulator)), self.lrs, "lr", problem, run)
