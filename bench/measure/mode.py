"""The mode in which a solution is measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def evaluating(solution: Any) -> Iterator[None]:
    """Eval mode and no gradients, for a while; afterwards every part of a network is back in its own mode."""
    modes = {part: part.training for part in solution.modules()} if isinstance(solution, nn.Module) else {}
    for part in modes:
        part.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training
