"""Tensors among arguments of any nesting: finding them, and putting others in their place."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor


def tensors(values: Any) -> Iterator[Tensor]:
    """The tensors among arguments, however nested."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors(value)
    elif isinstance(values, Mapping):
        yield from tensors(tuple(values.values()))


def replaced(values: Any, others: Mapping[int, Tensor]) -> Any:
    """The same arguments with other tensors, by the ids of those that they take the place of."""
    if isinstance(values, Tensor):
        return others.get(id(values), values)
    if isinstance(values, list | tuple):
        return type(values)(replaced(value, others) for value in values)
    if isinstance(values, dict):
        return {name: replaced(value, others) for name, value in values.items()}
    return values
