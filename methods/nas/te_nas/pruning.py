"""Which operator goes next: ranks of changes, and the rules of pruning by importance.

Chen, Gong and Wang, ICLR 2021, section 3.3 and Algorithm 1; how values are rounded and ties are kept is the authors'
code's. A drop is the relative change of an indicator when an operator or an edge is taken away, positive where it
falls.

e edges, o operators
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.nas.spaces import Space

Rule = Literal["rank-sum", "rank-min", "rank-max", "raw"]

Alive = list[list[int]]
"""For each edge the operators that are still there, as indices; `none`, which is 0, never is."""

NONE = 0

COMBINE: Mapping[Rule, Callable[[Sequence[int]], int]] = {"rank-sum": sum, "rank-min": min, "rank-max": max}


class Candidate(NamedTuple):
    """An operator that may be taken off its edge; the operator `WHOLE` stands for the edge itself."""

    edge: int
    operator: int


WHOLE = -1

SIGNIFICANT = 3
"""Digits by which drops are sorted; whether two are equal is asked of the whole numbers, as in the authors' code."""


def everything(space: Space) -> Alive:
    """All operators but `none` on every edge."""
    return [list(range(1, len(space.operators))) for _ in space.edges]


def contestants(alive: Alive) -> list[Candidate]:
    """The operators of all edges that have more than one."""
    return [Candidate(edge, operator) for edge, there in enumerate(alive) if len(there) > 1 for operator in there]


def without(alive: Alive, candidate: Candidate) -> Alive:
    """What is left without a candidate."""
    left = [list(there) for there in alive]
    if candidate.operator == WHOLE:
        left[candidate.edge] = []
    else:
        left[candidate.edge].remove(candidate.operator)
    return left


def operator_weights(alive: Alive, operators: int) -> Float[Tensor, "e o"]:
    """A supernet's weights: on each edge the mean over the operators that are there."""
    weights = torch.zeros(len(alive), operators)
    for edge, there in enumerate(alive):
        if there:
            weights[edge, there] = 1 / len(there)
    return weights


def drop(before: float, after: float, decimals: int) -> float:
    """By which share an indicator falls, rounded."""
    return round((before - after) / before, decimals)


def significant(value: float, digits: int) -> float:
    """A number to so many significant digits."""
    return round(value, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0.0


def dense_ranks(values: Sequence[float], *, descending: bool) -> list[int]:
    """0 for the first in order; equal values share a rank and the next one has one more."""
    order = sorted(range(len(values)), key=lambda i: significant(values[i], SIGNIFICANT), reverse=descending)
    ranks = [0] * len(values)
    for last, this in itertools.pairwise(order):
        ranks[this] = ranks[last] + (values[this] != values[last])
    return ranks


def importances(kappa_drops: Sequence[float] | None, region_drops: Sequence[float] | None, rule: Rule) -> list[float]:
    """How much worse the network is without each candidate: the least important go first.

    Taking away what lowers kappa most, or what loses the fewest regions, has rank 0. One of the two may be left out.
    """
    if rule == "raw":
        signed = [[sign * v for v in drops] for sign, drops in ((-1, kappa_drops), (1, region_drops)) if drops]
        return [sum(each) for each in zip(*signed, strict=True)]
    ranks = []
    if kappa_drops is not None:
        ranks.append(dense_ranks(kappa_drops, descending=True))
    if region_drops is not None:
        ranks.append(dense_ranks(region_drops, descending=False))
    return [float(COMBINE[rule](each)) for each in zip(*ranks, strict=True)]


def order_of(importance: Sequence[float], kappa_drops: Sequence[float] | None) -> list[int]:
    """The candidates' places, least important first; among equals first the one whose removal lowers kappa more."""
    first = dense_ranks(kappa_drops, descending=True) if kappa_drops is not None else [0] * len(importance)
    return sorted(range(len(importance)), key=lambda place: (importance[place], first[place]))


def pruned(alive: Alive, candidates: Sequence[Candidate], order: Sequence[int], number: int) -> Alive:
    """Each edge without its `number` least important candidates, but never without its last operator."""
    left = [list(there) for there in alive]
    for place in order:
        edge, operator = candidates[place]
        if len(left[edge]) > 1 and len(alive[edge]) - len(left[edge]) < number:
            left[edge].remove(operator)
    return left


def choice(alive: Alive) -> tuple[int, ...]:
    """The operator of each edge, `none` where nothing is left."""
    return tuple(there[0] if there else NONE for there in alive)
