"""The mean of the draws by gradient descent."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from allwin_toy.task import Guess, ToyProblem
from bench import Count, NonNegative, Positive, Presets, Run, Search, method
from bench.training import Batches, Memory, descend


@method("toy", paper="cauchy")
@dataclass(frozen=True)
class Descent:
    """Least squares, one batch after another."""

    steps: Count = 200
    lr: Positive = 0.1
    momentum: NonNegative = 0.0
    loss: Literal["square", "absolute"] = "square"
    pause_s: NonNegative = 0.0
    """Slept before each step, so that a test can interrupt."""

    presets: ClassVar[Presets] = {"smoke": {"steps": 20}}
    search: ClassVar[Search] = {"lr": "log(1e-3, 0.5)"}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        import time

        net = Guess(torch.randn((), generator=run.generator))
        optimizer = torch.optim.SGD(net.parameters(), self.lr, self.momentum)
        draws = Batches(problem.draws, 5, run)
        memory = Memory(noise=0.0)
        for step in run.steps(self.steps, {"net": net, "optimizer": optimizer, "draws": draws, "memory": memory}):
            time.sleep(self.pause_s)
            gap = next(draws) - net.value + memory.noise
            loss = gap.square().mean() if self.loss == "square" else gap.abs().mean()
            descend(optimizer, loss)
            memory.noise = 0.01 * torch.rand((), generator=run.generator).item()
            run.log(step, loss=loss)
        return net
