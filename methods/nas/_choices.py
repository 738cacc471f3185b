"""Distributions over the operators of a cell's edges, and the architectures that they stand for.

DARTS (Liu, Simonyan and Yang, ICLR 2019) and those after it give every edge a softmax over its operators:

    relaxation, Eq. 2          `Preferences`, whose softmax weights the operators of a supernet
    derivation, section 2.4    `derived`

Where a space keeps all edges (NAS-Bench-201), each takes its most likely operator, `none` among them, as in the
benchmark's own code. Where it keeps some for each node (DARTS), `none` cannot be chosen, and a node keeps the edges
whose best operator is the most likely.

e edges, o operators
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.nas.spaces import Architecture, Space, groups


class Preferences(nn.Module):
    """The logits of an operator on an edge, near zero at the start: every operator is about as likely."""

    def __init__(self, space: Space, generator: torch.Generator) -> None:
        super().__init__()
        start = torch.randn(len(space.edges), len(space.operators), generator=generator)
        self.logits = nn.Parameter(1e-3 * start)

    def probabilities(self) -> Float[Tensor, "e o"]:
        return self.logits.softmax(dim=-1)


def entropy(probabilities: Float[Tensor, "e o"]) -> Float[Tensor, ""]:
    """In nats, the mean over the edges: log(o) where nothing is preferred, 0 where all is decided."""
    return torch.special.entr(probabilities).sum(dim=-1).mean()


def derived(space: Space, probabilities: Float[Tensor, "e o"]) -> Architecture:
    """The architecture that a distribution stands for; of equals, the first operator, and the first edges."""
    if space.kept is None:
        return Architecture(space, tuple(probabilities.argmax(dim=-1).tolist()))
    strengths, operators = probabilities[:, 1:].max(dim=-1)  # without `none`, the first
    choice = [0] * len(space.edges)
    for edges in groups(space):
        for edge in sorted(edges, key=strengths.tolist().__getitem__, reverse=True)[: space.kept]:
            choice[edge] = 1 + int(operators[edge])
    return Architecture(space, tuple(choice))
