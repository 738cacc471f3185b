"""What 100,000 records cost a reader: from the frame and the records at hand to leaderboards."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_factory import cost, percent, profile, record

from bench.record import Record
from bench.store import Store, Stored, frame_of
from reports.leaderboard import leaderboard

Figure = Callable[[str, float, str, str], None]


def many(boards: int, methods: int, seeds: int) -> list[Record]:
    """Records with a metric, six costs (energy not measured) and two costs of training, details like real ones."""
    detail = {"p5_ms": 1.9, "p95_ms": 2.2, "iqr_ms": 0.1, "warmup_calls": 10, "threads": 1, "contaminated": False}
    costs = {name: one.model_copy(update={"detail": detail}) for name, one in profile(2.0, 1e6).items()}
    base = record(costs=costs, training={"fit_s": cost(1.0, "s"), "fit_macs": cost(1e9, "MAC")})
    noise = np.random.default_rng(0).normal(size=(boards, methods, seeds))
    return [
        base.model_copy(
            update={
                "key": hashlib.sha256(f"{board} {method} {seed}".encode()).hexdigest(),
                "spec": base.spec.model_copy(
                    update={"dataset": f"set-{board}", "method": f"method-{method}", "seed": seed}
                ),
                "metrics": {"error": percent(10 + method / 100 + float(noise[board, method, seed]))},
            }
        )
        for board in range(boards)
        for method in range(methods)
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(("boards", "methods", "seeds"), [(1, 2000, 50), (100, 100, 10)])
@pytest.mark.timeout(600)
def test_leaderboards_of_100_000_records(benchmark: Any, figure: Figure, boards: int, methods: int, seeds: int) -> None:
    records = many(boards, methods, seeds)
    frame, by_key = frame_of(records), {one.key: one for one in records}
    found = benchmark.pedantic(leaderboard, args=(frame, by_key), rounds=3)
    assert (len(found), len(found[0].rows)) == (boards, methods)
    shape = f"{boards} x {methods} rows x {seeds} seeds"
    figure(f"leaderboards of 100,000 records, {shape}", benchmark.stats.stats.median, "s", "at most 3 s")


@pytest.mark.timeout(900)
def test_leaderboards_of_a_store_of_100_000_records(benchmark: Any, figure: Figure, tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)
    for one in many(1, 2000, 50):
        folder = tmp_path / "records" / one.key[:2]
        folder.mkdir(exist_ok=True)
        (folder / f"{one.key}-1.json").write_text(one.model_dump_json())
    store.frame()

    def read() -> int:
        frame = store.frame()
        return len(leaderboard(frame, Stored(store.path, frame))[0].rows)

    assert benchmark.pedantic(read, rounds=3) == 2000
    figure(
        "leaderboard of a store of 100,000 records, its table made", benchmark.stats.stats.median, "s", "at most 3 s"
    )
