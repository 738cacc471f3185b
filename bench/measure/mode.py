"""The mode in which a solution is measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def evaluating(solution: Any) -> Iterator[None]:
    """Puts a network into eval mode, and afterwards every part of it back into its own."""
    modes = {part: part.training for part in solution.modules()} if isinstance(solution, nn.Module) else {}
    for part in modes:
        part.training = False
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
