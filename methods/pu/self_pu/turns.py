"""Students, and what each of them sees in an epoch.

b images of a batch, u its unlabelled images, l those learned from, o these and the labelled positives
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bench.training import Memory
from methods.pu.self_pu.selection import rest


@dataclass(frozen=True)
class Student:
    """A network, what trains it, and what it was told to trust."""

    net: nn.Module
    teacher: nn.Module
    optimizer: torch.optim.Optimizer
    trusted: Memory
    """`indices` of trusted images and their pseudo-`labels`; `prior`, the share of positives in the rest."""
    top: float
    """Its pace: the share of the unlabelled images that it would trust at full pace."""


@dataclass(frozen=True)
class View:
    """A student's scores of a batch, whose first images are labelled positives, and what it learns from there."""

    student: Student
    images: Float[Tensor, "b c h w"]
    values: Float[Tensor, " b"]
    positives: int
    learned: Int64[Tensor, " l"]
    """Places among the unlabelled images; it trusts the others."""
    weights: Float[Tensor, "l 2"] | None

    def own(self, values: Float[Tensor, " b"]) -> Float[Tensor, " o"]:
        """Those of the labelled positives and of what is learned from, of any network's scores of this batch."""
        unlabelled = len(values) - self.positives
        if len(self.learned) == unlabelled:
            return values
        positive, others = values.tensor_split([self.positives])
        return torch.cat([positive, others[self.learned]])


def trusted_batches(student: Student, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over the trusted images: their indices and labels."""
    trusted = student.trusted
    for places in shuffled(len(trusted.indices), seed).split(size):
        if len(places):
            yield trusted.indices[places], trusted.labels[places]


def turns(
    students: Sequence[Student], together: bool, unlabelled: int, size: int, seed: int
) -> Iterator[list[tuple[Student, Tensor, Tensor]]]:
    """One pass over what is not trusted: for each student a batch of indices and the places it learns from.

    All follow one random order, less what is trusted. Together, students see the same batches, of what either does
    not trust, so that each has the other's scores for nothing; otherwise each has batches of its own.
    """
    order = shuffled(unlabelled, seed)
    lefts = []
    for student in students:
        left = torch.zeros(unlabelled, dtype=torch.bool)
        left[rest(unlabelled, student.trusted.indices.cpu())] = True
        lefts.append(left)
    if together:
        for indices in order[torch.stack(lefts).any(0)[order]].split(size):
            yield [
                (student, indices, left[indices].nonzero().squeeze(1))
                for student, left in zip(students, lefts, strict=True)
            ]
        return
    for batches in itertools.zip_longest(*(order[left[order]].split(size) for left in lefts)):
        yield [
            (student, indices, torch.arange(len(indices)))
            for student, indices in zip(students, batches, strict=True)
            if indices is not None
        ]


def shuffled(number: int, seed: int) -> Tensor:
    """0 to number - 1 in a random order that depends on the seed alone."""
    return torch.randperm(number, generator=torch.Generator().manual_seed(seed))
