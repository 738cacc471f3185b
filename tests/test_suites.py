"""The suites of the tree: they expand, and the smallest runs whole, with equal metrics on either engine."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import registry
from bench.grid import expand
from bench.measure import UNITS
from bench.store import Store
from bench.suite import load_suite

Allwin = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("name", registry.suite_names())
def test_every_suite_expands_and_skips_nothing_but_absent_data(name: str) -> None:
    cells = expand(load_suite(name), registry.load())
    assert not [cell.title for cell in cells if cell.skip and cell.skip[0] != "missing-data"]


def test_quick_is_a_real_grid() -> None:
    cells = expand(load_suite("quick"), registry.load())
    methods = {task: {c.spec.method for c in cells if c.spec.task == task} for task in ("pu", "l2o")}
    assert all(len(names) >= 4 for names in methods.values())
    assert {cell.spec.seed for cell in cells} == {0, 1, 2}


def test_the_smoke_suite_is_whole_and_equal_on_either_engine(allwin: Allwin, tmp_path: Path) -> None:
    for engine in ("inline", "ray"):
        done = allwin("run", "smoke", "--seeds", "1", "--store", engine, "--engine", engine)
        assert done.returncode == 0, done.stderr
    inline, ray = ({r.key: r for r in Store.open(tmp_path / engine).records()} for engine in ("inline", "ray"))
    assert inline.keys() == ray.keys()
    for key, record in inline.items():
        assert {n: m.value for n, m in record.metrics.items()} == {n: m.value for n, m in ray[key].metrics.items()}
        if record.status == "skipped":
            # It knows the least value of a function; the first data set asks for signals.
            assert record.spec.method == ray[key].spec.method == "global-minimum"
            continue
        assert record.metrics
        for one in (record, ray[key]):
            # A cost has a value, or the reason why it has none; a record cannot say neither.
            assert one.costs.keys() == UNITS.keys()
            assert {"fit_s", "fit_macs", "fit_energy_j", "fit_peak_memory_bytes"} == one.training.keys()
            for name in ("latency_ms", "macs", "parameters", "peak_memory_bytes"):
                assert one.costs[name].value is not None, (one.spec.method, name, one.costs[name].reason)
        assert ray[key].provenance.worker_pid != ray[key].provenance.driver_pid
