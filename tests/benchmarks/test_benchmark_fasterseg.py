"""How well FasterSeg's table tells the latency of networks. Run by `tox -e bench`; skipped by the tests.

Supernet of the paper's columns and channels, one image of 128 x 256. Times are the process's own, on one thread: others
who use the machine disturb them least.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from methods.segmentation.fasterseg.architecture import Architecture
from methods.segmentation.fasterseg.derivation import FULL, Scale
from methods.segmentation.fasterseg.latency import regulariser
from methods.segmentation.fasterseg.measuring import (
    Geometry,
    Meter,
    agreement_of,
    assembled,
    group_prices,
    groups,
    random_network,
    rank_correlation,
)
from methods.segmentation.fasterseg.prices import released_prices

Figure = Callable[[str, float, str, str], None]

LAYERS = 16
NETWORKS = 20
GEOMETRY = Geometry((128, 256), 19, (("student", Scale(12, 2, 2)), ("teacher", Scale(12, FULL, FULL))))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def own_ms(calls: int) -> Meter:
    """A meter as a fit has one, but by the processor's time."""

    def ms(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> float:
        module, images = make().eval(), torch.rand(shape)
        samples = []
        with torch.no_grad():
            module(images)
            for _ in range(calls):
                started = time.process_time_ns()
                module(images)
                samples.append((time.process_time_ns() - started) / 1e6)
        return statistics.median(samples)

    return ms


@pytest.mark.timeout(900)
def test_the_table_tells_the_latency_of_random_networks(benchmark: Any, figure: Figure) -> None:
    tables = []

    def measure_all() -> None:
        found = {name: group_prices(name, GEOMETRY, own_ms(5)) for name in groups(GEOMETRY)}
        tables.append(assembled(found, GEOMETRY))

    benchmark.pedantic(measure_all, rounds=1)
    draw = torch.Generator().manual_seed(0)
    pairs = [
        agreement_of(random_network(LAYERS, GEOMETRY.scale, draw), tables[0], GEOMETRY, "student", own_ms(7))
        for _ in range(NETWORKS)
    ]
    ratio = statistics.median(measured / predicted for predicted, measured in pairs)
    figure("latency of 20 random networks, predicted to measured: rank", rank_correlation(pairs), "", "above 0.9")
    figure("the same, measured / predicted", ratio, "x", "near 1 x; interpolation is not in the table")
    assert rank_correlation(pairs) > 0.9


def test_the_latency_term(benchmark: Any, figure: Figure) -> None:
    """Of the whole published supernet, forward and back."""
    architecture = Architecture(LAYERS, 2, 2, widths=True)
    table = released_prices()
    prices, stem = table.tensor(), table.fixed["student"].stem
    draw = torch.Generator().manual_seed(0)
    times: list[float] = []

    def once() -> None:
        started = time.process_time()
        regulariser("decoupled", architecture, prices, stem, draw).backward()
        times.append(1e3 * (time.process_time() - started))

    benchmark.pedantic(once, rounds=10, warmup_rounds=2)
    figure("decoupled latency term of the published supernet", statistics.median(times), "ms", "below 100 ms")
