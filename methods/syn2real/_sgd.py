"""Stochastic gradient descent with the step size inside the momentum buffer.

The released code of ASG (Chen and others, ICML 2020) for classification, and of CSG (ICLR 2021) for scenes too; the
form of Sutskever, Martens, Dahl and Hinton (ICML 2013).

    buffer <- momentum buffer + lr (gradient + weight decay weights);    weights <- weights - buffer

`torch.optim.SGD` differs as soon as the step size changes: it stops a group at once whose step size becomes 0, this one
lets it roll on, by momentum / (1 - momentum) times its buffer in the end.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT


class RollingSGD(torch.optim.Optimizer):
    """Each group may have a step size, momentum and weight decay of its own."""

    def __init__(self, params: ParamsT, lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Moves what has a gradient; returns what the closure, if there is one, returned."""
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group["lr"], group["momentum"], group["weight_decay"])
        return result

    def _move(self, parameter: Tensor, lr: float, momentum: float, weight_decay: float) -> None:
        state = self.state[parameter]
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(parameter)
        buffer = state["buffer"].mul_(momentum).add_(parameter.grad, alpha=lr)
        buffer.add_(parameter, alpha=lr * weight_decay)
        parameter.sub_(buffer)
