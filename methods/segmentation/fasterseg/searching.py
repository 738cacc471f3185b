"""One step of the search: losses of the supernet, its passes, and what an epoch decides.

b images, k classes, h w pixels
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from methods.segmentation._losses import ohem
from methods.segmentation._recipe import shrunk
from methods.segmentation.fasterseg.architecture import Architecture, Drawn, Mixture
from methods.segmentation.fasterseg.derivation import EXITS, WIDTHS, Keying, Scale, derive, objective
from methods.segmentation.fasterseg.latency import expected_ms
from methods.segmentation.fasterseg.operators import OPS
from methods.segmentation.fasterseg.prices import Prices, Zconv2Price, latency_ms, released_prices
from methods.segmentation.fasterseg.supernet import Supernet
from tasks.segmentation import score
from tasks.segmentation.scoring import mean_iou

PAIRS = ((32, 16), (32, 8))
"""The exits that a derived network may have. The released code kept the first for both of its networks."""


@dataclass(frozen=True)
class Hard:
    """OHEM's two numbers."""

    threshold: float
    least: float


def heads_loss(maps: Sequence[Tensor], labels: Int[Tensor, "b h w"], hard: Hard) -> Float[Tensor, ""]:
    """The sum over the supernet's heads, at an eighth: each label is the one at the corner of its cell."""
    small = shrunk(labels, maps[0])
    return torch.stack([ohem(logits, small, hard.threshold, hard.least) for logits in maps]).sum()


def pretraining_loss(
    supernet: Supernet,
    architectures: dict[str, Architecture],
    images: Float[Tensor, "b 3 h w"],
    labels: Int[Tensor, "b h w"],
    hard: Hard,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Even operators and ways; widths full, thinnest and twice at random.

    The full pass is the teacher's, where there is one, so that its stem and heads learn too; the others the student's.
    """
    passes: list[tuple[str, Drawn]] = [
        ("teacher" if "teacher" in architectures else "student", "full"),
        ("student", "thinnest"),
        ("student", "random"),
        ("student", "random"),
    ]
    losses = [
        heads_loss(supernet(images, name, architectures[name].uniform(drawn, generator)), labels, hard)
        for name, drawn in passes
    ]
    return torch.stack(losses).sum()


def weights_loss(
    supernet: Supernet,
    architectures: dict[str, Architecture],
    images: Float[Tensor, "b 3 h w"],
    labels: Int[Tensor, "b h w"],
    hard: Hard,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """The teacher at full width; the student with sampled widths, and with its operators and ways full and thinnest."""
    passes: list[tuple[str, Drawn]] = [(name, "sampled") for name in reversed(architectures)]
    passes += [("student", "full"), ("student", "thinnest")]
    losses = [
        heads_loss(supernet(images, name, architectures[name].mixture(drawn, generator)), labels, hard)
        for name, drawn in passes
    ]
    return torch.stack(losses).sum()


class Fused(nn.Module):
    """A network of the supernet with two exits, for scoring."""

    def __init__(self, supernet: Supernet, network: str, mixture: Mixture, exits: tuple[int, int]) -> None:
        super().__init__()
        self.supernet = supernet
        self.network, self.mixture, self.exits = network, mixture, exits

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        return self.supernet.fused(images, self.network, self.mixture, self.exits)


@dataclass(frozen=True)
class Candidate:
    """A pair of exits as a search judges it."""

    exits: tuple[int, int]
    miou: float
    """Of the supernet, as a share."""
    latency_ms: float
    """By the table."""
    objective: float


def candidates(
    supernet: Supernet,
    network: str,
    architecture: Architecture,
    judged: tuple[Tensor, Tensor],
    classes: int,
    latencies: Sequence[float],
) -> list[Candidate]:
    """Both pairs of exits, with the supernet's mIoU at the likeliest widths; the latencies are those of `PAIRS`."""
    mixture = architecture.mixture("likeliest", torch.Generator())
    found = []
    for exits, ms in zip(PAIRS, latencies, strict=True):
        miou = mean_iou(score(Fused(supernet, network, mixture, exits), *judged, classes))
        found.append(Candidate(exits, miou, ms, objective(miou, ms)))
    return found


@dataclass(frozen=True)
class Pricing:
    """A table as a search uses it."""

    prices: Prices
    zconv2: Zconv2Price
    keying: Keying

    @functools.cached_property
    def of_cells(self) -> tuple[Tensor, float]:
        """All cells, and the student's stem."""
        return self.prices.tensor(self.zconv2), self.prices.fixed["student"].stem

    def latencies(self, architecture: Architecture, scale: Scale, network: str, *, skips: bool = True) -> list[float]:
        """Of the networks that would be derived now, by pair of exits."""
        logits = architecture.logits().detached()
        genotypes = (derive(logits, exits, scale, skips=skips, keying=self.keying) for exits in PAIRS)
        return [latency_ms(genotype, self.prices, scale, network, self.zconv2) for genotype in genotypes]


def in_published_units(prices: Prices, architecture: Architecture) -> Prices:
    """Scaled so that the supernet costs at the start of a search what it cost the authors: 25.9 ms for 16 columns.

    So the weight of the latency term and the speeds that move it mean the same on any device.
    """
    even = architecture.uniform("full", torch.Generator())
    started = [
        expected_ms(table.tensor(), table.fixed["student"].stem, even).item() for table in (released_prices(), prices)
    ]
    return prices.scaled(started[0] / started[1])


def shares(architecture: Architecture) -> dict[str, float]:
    """Where a search has got to: the mean share of each way and operator that matters, and the mean width, of 12."""
    alpha = torch.cat([rows.detach().softmax(-1) for rows in architecture.alpha]).mean(0).tolist()
    beta = [rows.detach().softmax(-1)[:, 0].mean().item() for rows in architecture.beta]
    found = {f"share_{op}": share for op, share in zip(OPS, alpha, strict=True)}
    found |= {f"share_into_{stride}": share for stride, share in zip(EXITS[1:], beta, strict=True)}
    if architecture.widths:
        gamma = torch.cat([rows.detach().softmax(-1) for rows in architecture.gamma])
        found["mean_width"] = (gamma @ gamma.new_tensor(WIDTHS)).mean().item()
    return found
