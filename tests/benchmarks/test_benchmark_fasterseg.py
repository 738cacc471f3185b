"""How well FasterSeg's table tells the latency of networks. Run by `tox -e bench`; skipped by the tests.

Supernet of the paper's columns and channels, one image of 128 x 256, one thread; needs a quiet machine.
"""

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from methods.segmentation.fasterseg.architecture import Architecture
from methods.segmentation.fasterseg.derivation import FULL, Scale
from methods.segmentation.fasterseg.latency import regulariser
from methods.segmentation.fasterseg.measuring import (
    Geometry,
    agreement_of,
    assembled,
    clock,
    groups,
    random_network,
    rank_correlation,
    timed,
    timing_rules,
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


@pytest.mark.timeout(900)
def test_the_table_tells_the_latency_of_random_networks(benchmark: Any, figure: Figure) -> None:
    rules = timing_rules(2, 0.05, 20)
    device = torch.device("cpu")
    tables = []

    def measure_all() -> None:
        tables.append(assembled({name: timed(name, GEOMETRY, "cpu", rules) for name in groups(GEOMETRY)}, GEOMETRY))

    benchmark.pedantic(measure_all, rounds=1)
    meter, draw = clock(device, timing_rules(3, 1.0, 20)), torch.Generator().manual_seed(0)
    pairs = [
        agreement_of(random_network(LAYERS, GEOMETRY.scale, draw), tables[0], GEOMETRY, "student", meter)
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
    benchmark.pedantic(
        lambda: regulariser("decoupled", architecture, prices, stem, draw).backward(), rounds=10, warmup_rounds=2
    )
    figure("decoupled latency term of the published supernet", 1e3 * benchmark.stats.stats.median, "ms", "below 100 ms")
