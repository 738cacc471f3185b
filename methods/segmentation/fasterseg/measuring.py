"""The latency table of the present device, or one of multiply-adds, and how well it tells the latency of networks.

A group of prices is a cell (25 widths of one operator) or what is not searched of one network. Each entry is an
operator in eval mode on one image; it is timed by the harness's own clock, its median kept.

A group is timed once in a process: fits that share the device and the geometry share its prices. So two fits of one
seed are equal to the bit, and within a comparison of methods nobody gains by a luckier clock.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from scipy.stats import spearmanr
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from bench import Run, Workload
from bench.measure.latency import LatencyRules, measure_latency
from bench.measure.macs import MacsCounter
from bench.measure.mode import evaluating
from bench.measure.neighbours import Neighbours
from bench.seeds import derive_seed
from bench.training import Memory
from methods.segmentation.fasterseg.derivation import EXITS, FULL, Logits, Scale, derive
from methods.segmentation.fasterseg.genotype import Genotype
from methods.segmentation.fasterseg.network import DerivedNetwork, Fusion, Head, Stem
from methods.segmentation.fasterseg.operators import OPS, ConvBNReLU, Op, operator
from methods.segmentation.fasterseg.prices import CELLS, Prices, cell_name, latency_ms, prices_from

Table = Literal["measured", "released", "macs"]
"""Where prices come from: timed on the device of the fit; the authors' GTX 1080Ti; or counted, at no device's speed."""

MACS_A_MS = 1e9
"""What a counted table takes for a millisecond: any number would do, since tables are scaled before use."""

FEWEST_CALLS = 5
"""An entry is timed so often, however long that takes: a median of fewer says little on a machine that is not quiet."""

NETWORK_TIMES = 20
"""A whole network is timed for so many times as long as an operator."""

OPS_LEAN = 2.0
WIDTH_LEAN = 4.0
"""How much random networks differ in their leanings, in standard deviations of a single logit."""

Meter = Callable[[Callable[[], nn.Module], tuple[int, ...]], float]
"""Milliseconds of a module on one image of a shape."""


@dataclass(frozen=True)
class Geometry:
    """What a table is made for."""

    size: tuple[int, int]
    """Height and width of the image."""
    classes: int
    networks: tuple[tuple[str, Scale], ...]
    """The networks by name; all share a base."""

    @property
    def scale(self) -> Scale:
        return self.networks[0][1]

    def at(self, stride: int, channels: int) -> tuple[int, ...]:
        """The shape of one image's map."""
        height, width = self.size
        return 1, channels, -(-height // stride), -(-width // stride)


def groups(geometry: Geometry) -> list[str]:
    """The names of all groups: cells, and networks."""
    cells = [cell_name(stride, step, op) for stride, step in CELLS for op in OPS]
    return cells + [name for name, _ in geometry.networks]


def group_prices(group: str, geometry: Geometry, meter: Meter) -> Any:
    """The prices of a group, as plain values."""
    networks = dict(geometry.networks)
    return _fixed(networks[group], geometry, meter) if group in networks else _cell(group, geometry, meter)


def assembled(found: Mapping[str, Any], geometry: Geometry) -> Prices:
    """A table from the prices of all groups."""
    networks = [name for name, _ in geometry.networks]
    cells = {name: prices for name, prices in found.items() if name not in networks}
    return prices_from({"cells": cells, "fixed": {name: found[name] for name in networks}})


def _cell(group: str, geometry: Geometry, meter: Meter) -> list[list[float]]:
    at, by, op = group.split("/")
    stride, step = int(at), int(by)
    (name,) = [each for each in OPS if each == op]
    return [
        [
            meter(functools.partial(_priced, name, inputs, outputs, step), geometry.at(stride, inputs))
            for outputs in wide
        ]
        for inputs, wide in _widths(geometry.scale, stride, step)
    ]


def _widths(scale: Scale, stride: int, step: int) -> Iterator[tuple[int, list[int]]]:
    outputs = [scale.channels(stride * step, width) for width in range(FULL + 1)]
    return ((scale.channels(stride, width), outputs) for width in range(FULL + 1))


def _priced(op: Op, inputs: int, outputs: int, step: int) -> nn.Module:
    """An operator as the supernet has it: its skip can change the width."""
    return ConvBNReLU(inputs, outputs, 1) if op == "skip" and step == 1 else operator(op, inputs, outputs, step)


def _fixed(scale: Scale, geometry: Geometry, meter: Meter) -> dict[str, Any]:
    h8, h16, h32 = (scale.channels(stride, scale.head) for stride in EXITS)
    taps8, taps16 = ([scale.channels(stride, width) for width in range(FULL + 1)] for stride in EXITS[:2])

    def ms(make: Callable[[], nn.Module], stride: int, channels: int) -> float:
        return meter(make, geometry.at(stride, channels))

    return {
        "stem": ms(functools.partial(Stem, scale.stem_channels), 1, 3),
        "arm32": ms(functools.partial(ConvBNReLU, h32, h16, 1), 32, h32),
        "refine16": [ms(functools.partial(ConvBNReLU, h16 + tap, h16), 16, h16 + tap) for tap in taps16],
        "arm16": ms(functools.partial(ConvBNReLU, h16, h8, 1), 16, h16),
        "refine8": [ms(functools.partial(ConvBNReLU, h8 + tap, h8), 8, h8 + tap) for tap in taps8],
        "fusion": ms(functools.partial(Fusion, 2 * h8, False), 8, 2 * h8),
        "head": ms(functools.partial(Head, 2 * h8, geometry.classes), 8, 2 * h8),
    }


def count_ms(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> float:
    """By multiply-adds, on no device."""
    with torch.device("meta"):
        module = make().eval()
        with torch.no_grad(), MacsCounter() as counter:
            module(torch.empty(shape))
    return counter.macs / MACS_A_MS


def clock(device: torch.device, rules: LatencyRules) -> Meter:
    """A meter that times on a device."""

    def ms(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> float:
        # Initial weights are drawn by torch's own generator, which a measurement must not move.
        with torch.random.fork_rng(devices=[]):
            module = make().to(device)
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
        # Within a step whose multiply-adds are counted every operator would be slower.
        with _disable_current_modes(), evaluating(module):
            found = measure_latency(Workload(module, (images,), 1, ""), device, rules)["latency_ms"].value
        assert found is not None
        return found

    return ms


@functools.cache
def timed(group: str, geometry: Geometry, device: str, rules: LatencyRules) -> Any:
    """The prices of a group on a device, timed at the first call of the process."""
    return group_prices(group, geometry, clock(torch.device(device), rules))


def timing_rules(warmup_calls: int, seconds: float, calls: int) -> LatencyRules:
    """For one entry of a table: timed for so long, or so many times if that is sooner."""
    return LatencyRules(
        warmup_calls=warmup_calls,
        warmup_s=0.0,
        warmup_limit_s=10 * seconds,
        settle=False,
        samples=min(FEWEST_CALLS, calls),
        seconds=seconds,
        limit_s=10 * seconds,
        enough_samples=calls,
    )


def counted(geometry: Geometry) -> Prices:
    """A table of multiply-adds."""
    return assembled({group: group_prices(group, geometry, count_ms) for group in groups(geometry)}, geometry)


# How well a table tells the latency of networks -----------------------------------------------------------------------


def random_network(layers: int, scale: Scale, generator: torch.Generator) -> Genotype:
    """A student whose logits are drawn; its exits too.

    Each network leans to some operators, and to wide or to thin layers: drawn without, all would cost much the same.
    """

    def drawn(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator)

    towards_ops = OPS_LEAN * drawn(1, len(OPS))
    towards_wide = WIDTH_LEAN * drawn(1, 1) * torch.linspace(-1, 1, FULL + 1)
    sizes = (layers - 1, layers - 1, layers - 2)
    alpha8, alpha16, alpha32 = (towards_ops + drawn(layers - number, len(OPS)) for number in range(3))
    gamma8, gamma16, gamma32 = (towards_wide + drawn(rows, FULL + 1) for rows in sizes)
    logits = Logits(
        (alpha8, alpha16, alpha32), (drawn(layers - 2, 2), drawn(layers - 3, 2)), (gamma8, gamma16, gamma32)
    )
    other = 16 if torch.rand((), generator=generator) < 0.5 else 8
    return derive(logits, (32, other), scale)


def agreement_of(
    genotype: Genotype, prices: Prices, geometry: Geometry, network: str, meter: Meter
) -> tuple[float, float]:
    """What the table says of a network, and what is measured, in ms."""
    predicted = latency_ms(genotype, prices, dict(geometry.networks)[network], network)
    make = functools.partial(DerivedNetwork, genotype, geometry.classes, auxiliary=False, attention=False)
    return predicted, meter(make, geometry.at(1, 3))


def rank_correlation(pairs: list[tuple[float, float]]) -> float:
    """Spearman's, of what was predicted and what was measured."""
    predicted, measured = zip(*pairs, strict=True)
    return float(spearmanr(predicted, measured).statistic)


def timed_table(
    geometry: Geometry, memory: Memory, run: Run, rules: LatencyRules, *, layers: int, networks: int
) -> None:
    """A table of the run's device, in two phases of a fit: the prices, and random networks whose latency they tell.

    `memory` keeps all of it, and the table as plain values; what the comparison gave is an artefact.
    """
    names = groups(geometry)
    with Neighbours(run.device) as neighbours:
        for step in run.steps(len(names), {"memory": memory}, name="latency"):
            memory.groups[names[step]] = timed(names[step], geometry, str(run.device), rules)
    prices = assembled(memory.groups, geometry)
    memory.table = prices.to_json()
    generator = torch.Generator().manual_seed(derive_seed(run.seed, "fasterseg", "agreement"))
    meter = clock(
        run.device, replace(rules, seconds=NETWORK_TIMES * rules.seconds, limit_s=NETWORK_TIMES * rules.limit_s)
    )
    network, scale = geometry.networks[0]
    drawn = [random_network(layers, scale, generator) for _ in range(networks)]
    for step in run.steps(networks, {"memory": memory}, name="agreement"):
        memory.agreement.append(agreement_of(drawn[step], prices, geometry, network, meter))
    if len(memory.agreement) > 1:
        predicted, measured = zip(*memory.agreement, strict=True)
        told: dict[str, Any] = {"predicted_ms": list(predicted), "measured_ms": list(measured)}
        run.artefact("latency_agreement", told | {"spearman": rank_correlation(memory.agreement)} | neighbours.detail)
