"""What the harness itself costs. Run by `tox -e bench`; skipped by the tests."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from record_factory import percent, record

from bench import registry
from bench.grid import Cell, expand
from bench.keys import digest
from bench.record import Measurement
from bench.runner import plan
from bench.store import Store
from bench.suite import parse_suite

Figure = Callable[[str, float, str, str], None]


def trivial_cells(number: int) -> list[Cell]:
    """Cells whose work is next to nothing: what they take is the harness."""
    grid = [{"task": "toy", "methods": ["sample-mean"]}]
    suite = {"title": "t", "budget": "smoke", "seeds": number, "stages": ["fit", "evaluate"], "grid": grid}
    return expand(parse_suite(suite, "trivial", "trivial"), registry.load())


def test_planning_10_000_cells(benchmark: Any, figure: Figure, tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)

    def planned() -> int:
        return len(plan(trivial_cells(10_000), store).to_run)

    assert benchmark.pedantic(planned, rounds=3) == 10_000
    figure("planning 10,000 cells", benchmark.stats.stats.median, "s", "at most 2 s")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """100,000 records as JSON files."""
    store = Store.open(tmp_path_factory.mktemp("large"), create=True)
    one = record(costs={"latency_ms": Measurement(value=1.0, unit="ms", detail={"samples": [1.234] * 200})})
    text = one.model_dump_json(indent=1)
    for number in range(100_000):
        own = digest(str(number))
        folder = store.path / "records" / own[:2]
        folder.mkdir(exist_ok=True)
        (folder / f"{own}-1.json").write_text(text.replace(one.key, own).replace('"seed": 0', f'"seed": {number}'))
    return store


@pytest.mark.timeout(900)
@pytest.mark.parametrize("state", ["from the derived table", "from the files alone"])
def test_loading_100_000_records(benchmark: Any, figure: Figure, large: Store, state: str) -> None:
    def prepare() -> None:
        if state == "from the files alone":
            (large.path / "frame.parquet").unlink(missing_ok=True)

    large.frame()
    assert len(benchmark.pedantic(large.frame, setup=prepare, rounds=2)) == 100_000
    figure(f"loading 100,000 records, {state}", benchmark.stats.stats.median, "s", "at most 3 s")


def test_a_page_of_1_000_cells(benchmark: Any, figure: Figure, tmp_path: Path) -> None:
    from reports.build import write_report

    methods, datasets, seeds = [f"method-{n}" for n in range(20)], [f"set-{n}" for n in range(10)], range(5)
    records = [
        record(method, seed, dataset=dataset, metrics={"error": percent(5 + number / 10 + seed / 10)})
        for number, (method, dataset) in enumerate(itertools.product(methods, datasets))
        for seed in seeds
    ]
    assert len(records) == 1_000
    paths = benchmark.pedantic(write_report, args=(records, tmp_path, "A thousand cells", {}), rounds=1)
    figure("report of 1,000 cells", benchmark.stats.stats.median, "s", "at most 10 s")
    figure("its HTML", paths.index.stat().st_size / 1e6, "MB", "at most 2 MB")


@pytest.mark.parametrize("words", [["--help"], ["list"]])
def test_a_glance(benchmark: Any, figure: Figure, words: list[str]) -> None:
    benchmark.pedantic(
        lambda: subprocess.run([sys.executable, "-m", "allwin", *words], check=True, capture_output=True), rounds=5
    )
    figure(f"allwin {' '.join(words)}", benchmark.stats.stats.median, "s", "under 0.5 s")
