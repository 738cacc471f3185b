"""The expected latency of a supernet, the regularisers made of it, and the weight that they are given.

    expectation     along the grid, T(j,l) = beta1 T(j,l-1) + beta0 Tdown(j-1,l-1) + cell(j,l)     `expected_ms`
    decoupled       operators, ways and widths each in a term of their own, weighted by their ranges  `regulariser`
    weight          halved where a derived network is fast, doubled where it is slow                 `next_weight`

Differs from the released code by `accumulation`. There totals are overwritten while they are read: what goes down from
a cell has also paid for the way along it, and what comes from above has left its own column, not the one before; in the
last column, where nothing goes down, it arrives for free. And a stale index mixes all cells with the shares of a 32nd,
at layer 2 with their last row, so that those of a sixteenth have no gradient.

s scales, t strides, o operators, i j widths of input and output
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from methods.segmentation.fasterseg.architecture import Architecture, Mixture

Accumulation = Literal["grid", "in-place", "released"]
"""How the costs of ways are added up: as the formula says; in the released order; that with its stale index too."""

LatencyTerm = Literal["decoupled", "coupled", "none"]

SHARES_OF_THREE = (1 / 500, 497 / 500, 2 / 500)
"""Weights of operators, ways and widths in the code; the paper's text has 0.001, 0.997 and 0.002 (from memory)."""
SHARES_OF_TWO = (1 / 500, 499 / 500)
"""Where widths are not searched."""


def expected_ms(
    prices: Float[Tensor, "s t o i j"], stem_ms: float, mixture: Mixture, accumulation: Accumulation = "grid"
) -> Float[Tensor, ""]:
    """The sum of the expected latencies of the ways to the three exits, each with its stem; heads are left out."""
    layers = len(mixture.alpha[0])
    totals = Totals(along=[prices.new_tensor(stem_ms), None, None], above=[None, None, None])
    for layer in range(layers):
        # What is read: the column before, or in the released order whatever has been written by now.
        before = totals.copy() if accumulation == "grid" else totals
        for scale in range(min(layer, 2) + 1):
            arrived = _arrived(before, mixture, accumulation, scale, layer, before.along[scale])
            kept = arrived + _cell_ms(prices, mixture, scale, layer, 1)
            if accumulation != "grid":
                arrived = _arrived(totals, mixture, accumulation, scale, layer, kept)
            totals.along[scale] = kept
            if scale < 2 and layer < layers - 1:
                totals.above[scale] = arrived + _cell_ms(prices, mixture, scale, layer, 2)
            elif scale == 1 and accumulation != "grid":
                # In the last column there is no way down from a sixteenth, and the released code adds a zero for it.
                totals.above[scale] = arrived
    return torch.stack([exit_ms for exit_ms in totals.along if exit_ms is not None]).sum()


@dataclass
class Totals:
    """What it has cost to get to the cells of a column, by scale: along their scale, and down from it."""

    along: list[Tensor | None]
    above: list[Tensor | None]

    def copy(self) -> "Totals":
        return Totals(list(self.along), list(self.above))


def _arrived(
    totals: Totals, mixture: Mixture, accumulation: Accumulation, scale: int, layer: int, along: Tensor | None
) -> Tensor:
    """What a cell's two inputs have cost, mixed by the shares of the ways into it; on the rims there is only one."""
    above = totals.above[scale - 1] if scale else None
    if scale == 0 or layer == scale:
        only = along if scale == 0 else above
        assert only is not None
        return only
    assert above is not None
    assert along is not None
    looked_up = 2 if accumulation == "released" else scale
    shares = mixture.beta[looked_up - 1][layer - looked_up - 1]
    return shares[0] * above + shares[1] * along


def _cell_ms(prices: Tensor, mixture: Mixture, scale: int, layer: int, stride: int) -> Tensor:
    """A cell's expected cost with its sampled widths, whose scores it is multiplied by."""
    inputs, score_in = mixture.widths.into(scale, layer)
    to = scale + stride - 1
    outputs, score_out = mixture.widths.out_of(to, layer, len(mixture.alpha[0]))
    cost = (mixture.alpha[scale][layer - scale].to(prices) * prices[scale, stride - 1, :, inputs, outputs]).sum()
    for score in (score_in, score_out):
        if score is not None:
            cost = cost * score
    return cost


def regulariser(
    term: LatencyTerm,
    architecture: Architecture,
    prices: Float[Tensor, "s t o i j"],
    stem_ms: float,
    generator: torch.Generator,
    accumulation: Accumulation = "grid",
) -> Float[Tensor, ""]:
    """What is added to the loss of an architecture step, before its weight; zero for `none`."""
    if term == "none":
        return prices.new_zeros(())

    def of(mixture: Mixture) -> Tensor:
        return expected_ms(prices, stem_ms, mixture, accumulation)

    if term == "coupled":
        return of(architecture.mixture("sampled", generator))
    full = architecture.draw("full", generator)
    shares, even = architecture.mixture("full", generator), architecture.uniform("full", generator)
    by_ops = of(Mixture(shares.alpha, even.beta, full))
    by_ways = of(Mixture(even.alpha, shares.beta, full))
    if not architecture.widths:
        ops, ways = SHARES_OF_TWO
        return ops * by_ops + ways * by_ways
    ops, ways, widths = SHARES_OF_THREE
    by_widths = of(Mixture(even.alpha, even.beta, architecture.draw("sampled", generator)))
    return ops * by_ops + ways * by_ways + widths * by_widths


def next_weight(weight: float, fps: tuple[float, float], low: float, high: float) -> float:
    """The weight of the next epoch: half if either derived network reaches `high`, else twice if either is at `low`."""
    if max(fps) >= high:
        return weight / 2
    return weight * 2 if min(fps) <= low else weight
