"""What is searched, as parameters: operators (alpha), ways through the grid (beta), widths (gamma), for one network.

Operators and ways are softmax mixtures. A width is drawn, by the straight-through Gumbel-softmax of Jang, Gu and Poole
(ICLR 2017) at temperature 1: what passes is multiplied by its score, which is 1 forward and carries the gradient.

r rows of a scale's logits, o operators or widths
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from methods.segmentation.fasterseg.derivation import FULL, WIDTHS, Logits, entering
from methods.segmentation.fasterseg.operators import OPS

Drawn = Literal["sampled", "likeliest", "full", "thinnest", "random"]
"""Where widths come from: drawn by their logits, with a gradient; the likeliest; all full or thinnest; drawn evenly."""

START = 1e-3
"""All logits, at first."""


@dataclass(frozen=True)
class Widths:
    """A width for what enters each layer of each scale."""

    chosen: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    scores: tuple[Tensor, Tensor, Tensor] | None = None
    """Of the chosen, each 1, with the gradient of the draw."""
    stem: int = FULL
    """Of what enters layer 0."""
    head: int = FULL
    """Of what leaves the last layer."""

    def into(self, scale: int, layer: int) -> tuple[int, Tensor | None]:
        """What enters a layer, and its score."""
        if layer == 0:
            return self.stem, None
        row = entering(scale, layer)
        return self.chosen[scale][row], None if self.scores is None else self.scores[scale][row]

    def out_of(self, scale: int, layer: int, layers: int) -> tuple[int, Tensor | None]:
        """What leaves a layer for the next one of the `scale` it then has, and its score."""
        if layer == layers - 1:
            return self.head, None
        return self.into(scale, layer + 1)


@dataclass(frozen=True)
class Mixture:
    """One way to run a supernet."""

    alpha: tuple[Tensor, Tensor, Tensor]
    """Shares of the operators, by scale."""
    beta: tuple[Tensor, Tensor]
    """Shares of the two ways into a cell, from above and along, at a sixteenth and at a 32nd."""
    widths: Widths


def gumbel_one_hot(logits: Float[Tensor, "r o"], generator: torch.Generator) -> Float[Tensor, "r o"]:
    """A draw from the softmax of each row: one-hot forward, and backward the gradient of the softened draw."""
    uniform = torch.rand(logits.shape, generator=generator).clamp_(min=torch.finfo(torch.float32).tiny)
    noise = -torch.log(-torch.log(uniform)).to(logits)
    soft = (logits.log_softmax(-1) + noise).softmax(-1)
    hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())


class Architecture(nn.Module):
    """The logits of one network over a grid of so many columns."""

    def __init__(self, layers: int, stem: int, head: int, *, widths: bool) -> None:
        super().__init__()
        columns = len(WIDTHS) if widths else 1
        sizes = {
            "alpha": [(layers - scale, len(OPS)) for scale in range(3)],
            "beta": [(layers - scale - 1, 2) for scale in (1, 2)],
            "gamma": [(layers - 1, columns), (layers - 1, columns), (layers - 2, columns)],
        }
        self.alpha, self.beta, self.gamma = (
            nn.ParameterList(nn.Parameter(torch.full(size, START)) for size in sizes[name]) for name in sizes
        )
        self.stem, self.head, self.widths = stem, head, widths

    def logits(self) -> Logits:
        """All of them."""
        return Logits(tuple(self.alpha), tuple(self.beta), tuple(self.gamma))  # type: ignore[arg-type]

    def mixture(self, drawn: Drawn, generator: torch.Generator) -> Mixture:
        """The shares as they are now, and widths."""
        alpha, beta = (tuple(part.softmax(-1) for part in parts) for parts in (self.alpha, self.beta))
        return Mixture(alpha, beta, self.draw(drawn, generator))  # type: ignore[arg-type]

    def uniform(self, drawn: Drawn, generator: torch.Generator) -> Mixture:
        """Even shares, and widths."""
        alpha, beta = (
            tuple(torch.full_like(part, 1 / part.shape[-1], requires_grad=False) for part in parts)
            for parts in (self.alpha, self.beta)
        )
        return Mixture(alpha, beta, self.draw(drawn, generator))  # type: ignore[arg-type]

    def draw(self, drawn: Drawn, generator: torch.Generator) -> Widths:
        """Widths; a network whose widths are not searched is full."""
        scores: list[Tensor] = []
        chosen: list[list[int]] = []
        for gamma in self.gamma:
            rows = len(gamma)
            if not self.widths or drawn == "full":
                chosen.append([FULL] * rows)
            elif drawn == "thinnest":
                chosen.append([0] * rows)
            elif drawn == "likeliest":
                chosen.append(gamma.argmax(-1).tolist())
            elif drawn == "random":
                chosen.append(torch.randint(len(WIDTHS), (rows,), generator=generator).tolist())
            else:
                one_hot = gumbel_one_hot(gamma, generator)
                picked = one_hot.argmax(-1)
                chosen.append(picked.tolist())
                scores.append(one_hot.gather(-1, picked[:, None])[:, 0])
        first, second, third = (tuple(rows) for rows in chosen)
        return Widths((first, second, third), tuple(scores) if scores else None, self.stem, self.head)  # type: ignore[arg-type]

    def entropies(self) -> dict[str, Tensor]:
        """Mean entropy of the rows of each kind, in nats."""
        parts = {"alpha": self.alpha, "beta": self.beta} | ({"gamma": self.gamma} if self.widths else {})
        return {
            name: torch.cat([torch.special.entr(part.softmax(-1)).sum(-1) for part in group]).mean()
            for name, group in parts.items()
        }
