"""The leaderboards, which are worked out in columns, against a plain reading of the same rules, cell by cell."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_factory import boards_of, cost, failed, percent, record, skipped
from scipy import stats

METHODS, DATASETS, SEEDS = ("a", "b", "c"), ("x", "y"), tuple(range(6))


@st.composite
def stores(draw):
    """Records of a small grid with holes: failed, skipped and missing trials, costs now and then, older code."""
    records = []
    for method in METHODS:
        for dataset in DATASETS:
            for seed in SEEDS:
                fate = draw(st.sampled_from(["ok", "ok", "ok", "ok", "failed", "skipped", "absent", "twice"]))
                where = {"dataset": dataset, "ended": "2026-11-23T06:00:00+00:00"}
                if fate == "failed":
                    records.append(failed(method, seed, draw(st.sampled_from(["oom", "nan"])), **where))
                elif fate == "skipped":
                    records.append(skipped(method, seed, **where))
                elif fate != "absent":
                    records.append(trial(draw, method, seed, **where))
                if fate == "twice":
                    older = where | {"source": "old", "ended": "2026-11-22T06:00:00+00:00"}
                    records.append(trial(draw, method, seed, **older))
    return draw(st.permutations(records))


def trial(draw, method, seed, **where):
    error = draw(st.one_of(st.integers(0, 4).map(float), st.floats(0, 100)))
    seen = draw(st.sampled_from(["measured", "not measured", "not tried"]))
    energy = {
        "measured": {"energy_j": cost(draw(st.floats(0.1, 9)), "J")},
        "not measured": {"energy_j": cost(None, "J", draw(st.sampled_from(["no zones", "too short"])))},
        "not tried": {},
    }[seen]
    return record(method, seed, metrics={"error": percent(error)}, costs=energy, **where)


def plain_boards(records):
    """Data set -> method -> what its row should say."""
    latest = {}
    for one in sorted(records, key=lambda one: (one.ended, one.key)):
        latest[one.spec.dataset, one.spec.method, one.spec.seed] = one
    boards = {}
    for (dataset, method, seed), one in latest.items():
        boards.setdefault(dataset, {}).setdefault(method, {})[seed] = one
    return {dataset: plain_board(rows) for dataset, rows in boards.items()}


def plain_board(rows):
    seeds = sorted({seed for trials in rows.values() for seed in trials})
    told = {}
    for method, trials in rows.items():
        ok = {seed: one for seed, one in sorted(trials.items()) if one.status == "ok"}
        energies = [one.costs["energy_j"] for one in ok.values() if "energy_j" in one.costs]
        told[method] = {
            "errors": {seed: one.metrics["error"].value for seed, one in ok.items()},
            "energy": [energy.value for energy in energies if energy.value is not None],
            "reasons": {energy.reason for energy in energies if energy.reason},
            "seeds": tuple(ok),
            "failed": tuple(seed for seed, one in sorted(trials.items()) if one.status == "failed"),
            "skipped": tuple(seed for seed, one in sorted(trials.items()) if one.status == "skipped"),
            "not_run": tuple(seed for seed in seeds if seed not in trials),
            "keys": {seed: one.key for seed, one in trials.items()},
        }
    return told


def plain_interval(values):
    """Mean and half width, from the textbook."""
    if len(values) < 2:
        return statistics.fmean(values), None
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), half


def plain_p(differences, largest):
    if len(differences) < 5:
        return None
    if max(differences) - min(differences) <= max(1e-150, 1e-12 * largest):
        return 1.0 if abs(statistics.fmean(differences)) <= 1e-12 * largest else 2.0 ** (1 - len(differences))
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def plain_standings(told):
    """Method -> standing and corrected p. Methods in the order of their means."""
    order = sorted(
        (m for m in told if told[m]["errors"]), key=lambda m: (statistics.fmean(told[m]["errors"].values()), m)
    )
    if not order:
        return {}
    best = max(order, key=lambda method: (len(told[method]["errors"]), -order.index(method)))
    ps, gaps = {}, {}
    for method in order:
        shared = told[method]["errors"].keys() & told[best]["errors"].keys()
        pairs = [(told[method]["errors"][seed], told[best]["errors"][seed]) for seed in sorted(shared)]
        if method != best and pairs:
            gaps[method] = statistics.fmean(a - b for a, b in pairs)
            p = plain_p([a - b for a, b in pairs], max(abs(v) for pair in pairs for v in pair))
            if p is not None:
                ps[method] = p
    corrected, floor = {}, 0.0
    for place, method in enumerate(sorted(ps, key=lambda method: ps[method])):
        floor = max(floor, min(1.0, (len(ps) - place) * ps[method]))
        corrected[method] = floor
    standings = {}
    for method in order:
        if method == best:
            standings[method] = "best" if corrected else "untested", None
        elif method not in corrected:
            standings[method] = "untested", None
        elif corrected[method] >= 0.05:
            standings[method] = "not distinguishable", corrected[method]
        else:
            standings[method] = "behind" if gaps[method] > 0 else "ahead", corrected[method]
    return standings


@settings(max_examples=30, deadline=None)
@given(stores())
def test_boards_are_what_a_plain_reading_of_the_records_gives(records):
    boards = {board.dataset: board for board in boards_of(records)}
    expected = plain_boards(records)
    assert boards.keys() == expected.keys()
    for dataset, told in expected.items():
        board = boards[dataset]
        assert {row.method for row in board.rows} == told.keys()
        standings = plain_standings(told)
        for row in board.rows:
            one = told[row.method]
            assert (row.seeds, row.failed, row.skipped, row.not_run, dict(row.keys)) == tuple(
                one[name] for name in ("seeds", "failed", "skipped", "not_run", "keys")
            )
            if board.ranking:
                assert_cell(row.cells["metric.error"], list(one["errors"].values()))
            if "cost.energy_j" in row.cells and one["seeds"]:
                assert_cell(row.cells["cost.energy_j"], one["energy"])
                missing = len(one["energy"]) < len(one["seeds"])
                assert set(row.cells["cost.energy_j"].reasons) == (one["reasons"] if missing else set())
            if row.method in standings:
                standing, p = standings[row.method]
                assert row.standing == standing
                assert row.p == (p if p is None else pytest.approx(p, rel=1e-6, abs=1e-12))
        ranks = [(row.rank, row.cells["metric.error"].mean) for row in board.rows if row.rank]
        means = sorted(mean for _, mean in ranks)
        assert [rank for rank, _ in ranks] == [means.index(mean) + 1 for _, mean in ranks]


def assert_cell(cell, values):
    if not values:
        assert cell.mean is None
        assert cell.mark
        return
    mean, half = plain_interval(values)
    assert cell.n == len(values)
    assert cell.mean == pytest.approx(mean, rel=1e-9, abs=1e-12)
    assert cell.half_width == (half if half is None else pytest.approx(half, rel=1e-6, abs=1e-7))
