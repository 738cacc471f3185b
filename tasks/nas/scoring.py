"""How good an architecture is among all of its space, and how well scores order architectures.

a architectures, s scored architectures, n images, c channels, h w pixels, k classes
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from scipy import stats
from torch import Tensor, nn

from bench.measure.macs import MacsCounter
from bench.measure.mode import evaluating
from bench.stats import association, correlation

Kind = Literal["kendall", "spearman"]

PIECE = 500
"""Images classified at once."""


def standing(accuracies: Float[Tensor, " a"], number: int) -> tuple[float, float]:
    """The share, in %, of all architectures that are no better than this one, and how much the best is better."""
    own = accuracies[number]
    return float(stats.percentileofscore(accuracies.numpy(), own.item(), "weak")), (accuracies.max() - own).item()


def agreement(
    scores: Sequence[float],
    accuracies: Sequence[float],
    parameters: Sequence[float],
    connected: Sequence[bool],
    kinds: Sequence[Kind],
) -> dict[str, float]:
    """Rank correlations of scores with test accuracies, with the ends of their 95 % intervals.

    `kendall_parameters` is the number of parameters' correlation on the same architectures, `kendall_connected` the
    scores' without architectures that let nothing through. What does not exist, as for equal scores, is left out.
    """
    found: dict[str, float] = {}
    for kind in kinds:
        told = association(scores, accuracies, kind)
        if told is not None:
            found[kind] = told.value
            if told.low is not None and told.high is not None:
                found |= {f"{kind}_low": told.low, f"{kind}_high": told.high}
    alive = [place for place, on in enumerate(connected) if on]
    parts: dict[str, tuple[Sequence[float], Sequence[float]]] = {"kendall_parameters": (parameters, accuracies)}
    if len(alive) > 1:
        parts["kendall_connected"] = ([scores[place] for place in alive], [accuracies[place] for place in alive])
    for name, (values, truth) in parts.items():
        value = correlation(values, truth, "kendall")
        if value is not None:
            found[name] = value
    return found


def costs(network: nn.Module, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Parameters, and multiply-adds of convolutions and linear layers for one image; no network is run."""
    network = network.to("meta")
    with evaluating(network), MacsCounter() as counter:
        network(torch.empty(1, *shape, device="meta"))
    return sum(parameter.numel() for parameter in network.parameters()), counter.macs


def accuracy(network: nn.Module, images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"]) -> float:
    """The share of images that a network calls by their class, in %; in eval mode, where the network lies."""
    device = next(network.parameters()).device
    with evaluating(network):
        called = torch.cat([network(piece.to(device)).argmax(dim=1) for piece in images.split(PIECE)])
    return 100 * (called.cpu() == labels.cpu()).double().mean().item()


def by_metric(test: Mapping[str, Float[Tensor, " a"]], number: int) -> dict[str, float]:
    """Accuracy and percentile of an architecture on every data set of its table, and regret on the first."""
    found: dict[str, float] = {}
    for metric, accuracies in test.items():
        percentile, regret = standing(accuracies, number)
        found |= {metric: accuracies[number].item(), metric.replace("accuracy", "percentile"): percentile}
        found.setdefault("regret", regret)
    return found
