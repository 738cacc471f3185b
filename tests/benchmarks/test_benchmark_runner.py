"""What the runner costs, how fast small cells go through it, and whether its two lanes disturb each other."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.grid import Cell, expand
from bench.record import Record
from bench.runner import Options, Progress, run
from bench.store import Store
from bench.suite import parse_suite

Figure = Callable[[str, float, str, str], None]


def cells_of(grid: list[dict[str, Any]], budget: str, seeds: int, stages: list[str]) -> list[Cell]:
    suite = {"title": "t", "budget": budget, "seeds": seeds, "stages": stages, "grid": grid}
    return expand(parse_suite(suite, "bench", "bench"), registry.load())


class Watch:
    """When the first trial began, and when each ended."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.ended: list[float] = []

    def __call__(self, progress: Progress, record: Record | None) -> None:
        if self.began is None and progress.running:
            self.began = time.perf_counter()
        if record:
            assert record.status == "ok", record.failure
            self.ended.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        assert self.began
        return self.ended[-1] - self.began


@pytest.mark.parametrize("number", [1_000, 10_000])
@pytest.mark.timeout(600)
def test_overhead_of_a_trivial_cell_on_warm_workers(
    benchmark: Any, figure: Figure, tmp_path: Path, number: int
) -> None:
    cells = cells_of([{"task": "toy", "methods": ["sample-mean"]}], "smoke", number, ["fit", "evaluate"])
    watch, store = Watch(), Store.open(tmp_path, create=True)
    benchmark.pedantic(run, args=(cells, store, "trivial", Options(), watch), rounds=1)
    warm = np.diff(watch.ended[20:])
    figure(f"overhead per trivial cell, Ray, two warm workers, of {number:,}", 1000 * warm.mean(), "ms", "at most 5 ms")
    tenth = len(warm) // 10
    figure(
        f"  growth: the last tenth of {number:,} over the first",
        warm[-tenth:].mean() / warm[:tenth].mean(),
        "x",
        "1: no growth",
    )


@pytest.mark.timeout(600)
def test_1_000_small_lasso_cells(benchmark: Any, figure: Figure, tmp_path: Path) -> None:
    """LASSO 250 x 500: ISTA and FISTA, 16 and 100 steps, 250 seeds; one instance each, as benchmarks of solvers do."""
    settings = {
        "measurements": 250,
        "unknowns": 500,
        "test_instances": 1,
        "validation_instances": 1,
        "steps": [16, 100],
    }
    methods = [{"ista": {"weights": [[0.1]]}}, {"fista": {"weights": [[0.1]]}}]
    grid = [{"task": "l2o", "datasets": ["sparse"], "settings": settings, "methods": methods}]
    cells = cells_of(grid, "small", 250, ["fit", "evaluate"])
    assert len(cells) == 1_000
    watch, store = Watch(), Store.open(tmp_path, create=True)
    benchmark.pedantic(run, args=(cells, store, "lasso", Options(workers=2), watch), rounds=1)
    figure("1,000 LASSO cells of 250 x 500, two workers, after start-up", watch.seconds, "s", "at most 10 s")


@pytest.mark.timeout(900)
def test_a_busy_work_lane_leaves_latencies_alone(benchmark: Any, figure: Figure, tmp_path: Path) -> None:
    """The same profiles three times: twice on an otherwise idle run (A/A), once among trials that only work."""
    methods = ["ista", "fista"]
    measured = cells_of([{"task": "l2o", "methods": methods}], "small", 4, ["fit", "evaluate", "profile"])
    # Other seeds, so that no cell is the same; each works for a second or so on one core.
    working = cells_of([{"task": "l2o", "methods": methods}], "small", 24, ["fit", "evaluate"])[2 * 4 :]
    mixed = [cell for pair in zip(working[::5], measured, strict=False) for cell in pair]
    mixed += [cell for cell in (*measured, *working) if cell not in mixed]

    def latencies(name: str, cells: list[Cell]) -> np.ndarray:
        store = Store.open(tmp_path / name, create=True)
        run(cells, store, name, Options(workers=2))
        by_key = {record.key: record for record in store.records()}
        return np.array([by_key[cell.key].costs["latency_ms"].value for cell in measured])

    first, second = latencies("idle", measured), latencies("idle-again", measured)
    busy = benchmark.pedantic(latencies, args=("busy", mixed), rounds=1)
    noise, effect = np.log(second / first), np.log(busy / np.sqrt(first * second))
    # The noise of one run against another, for a mean of as many; the busy run is held against two.
    figure("A/A: latency of one idle run against another", 100 * math.expm1(noise.mean()), "%", "the noise")
    figure("  its standard deviation from trial to trial", 100 * noise.std(ddof=1), "%", "the noise")
    figure("latency of profiles among busy work against idle", 100 * math.expm1(effect.mean()), "%", "within the noise")
    figure("  its standard deviation from trial to trial", 100 * effect.std(ddof=1), "%", "within the noise")
