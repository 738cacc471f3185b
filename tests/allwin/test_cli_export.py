"""`allwin export` and `allwin compare`, on stores of records at hand."""

import csv
import io
import json
import re

import pandas as pd
import pytest
from click.testing import CliRunner
from record_factory import cost, record

from allwin.cli import group
from bench.errors import UserError
from bench.store import Store


@pytest.fixture
def store(tmp_path):
    """Two methods with five seeds on two data sets; on one of two machines `fast` takes half the time."""
    kept = Store.open(tmp_path / "store", create=True)
    for dataset in ("x", "y"):
        for seed in range(5):
            for method, error, latency in (("fast", 12.0, 1.0), ("good", 10.0, 2.0)):
                costs = {"latency_ms": cost(latency + seed / 100, "ms")}
                kept.add(record(method, seed, error=error + seed % 2 / 10, dataset=dataset, costs=costs))
    kept.add(record("fast", 0, dataset="x", hardware="H200", costs={"latency_ms": cost(0.001, "ms")}))
    return kept.path


def told(*words):
    done = CliRunner().invoke(group, list(map(str, words)))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_csv_goes_to_standard_output_with_a_line_for_each_row_of_each_board(store):
    rows = list(csv.DictReader(io.StringIO(told("export", "--store", store, "--format", "csv"))))
    assert sorted((row["dataset"], row["hardware"][:4], row["method"]) for row in rows) == [
        ("x", "H200", "fast"),
        ("x", "Xeon", "fast"),
        ("x", "Xeon", "good"),
        ("y", "Xeon", "fast"),
        ("y", "Xeon", "good"),
    ]


def test_a_file_holds_what_standard_output_would(store, tmp_path):
    out = tmp_path / "table.tex"
    assert told("export", "--store", store, "--format", "latex", "--out", out) == ""
    assert out.read_text() == told("export", "--store", store, "--format", "latex")
    assert out.read_text().count("\\begin{tabular}") == 3


def test_markdown_has_every_board_and_the_order_over_data_sets(store):
    text = told("export", "--store", store, "--format", "markdown")
    headings = re.findall(r"(?m)^## (.*)$", text)
    assert len(headings) == 4
    assert headings[-1].endswith("over 2 data sets")


def test_parquet_is_the_table_of_trials(store, tmp_path):
    out = tmp_path / "frame.parquet"
    told("export", "--store", store, "--format", "parquet", "--out", out)
    frame = pd.read_parquet(out)
    assert len(frame) == 21
    assert frame["metric.error"].dtype == float
    assert "path" not in frame


def test_what_cannot_be_written_is_one_line_with_its_mend(store, tmp_path):
    with pytest.raises(UserError, match="it is not text; name a file with --out FILE"):
        told("export", "--store", store, "--format", "parquet")
    with pytest.raises(UserError, match="cannot be written .*; name a file in a folder that is there"):
        told("export", "--store", store, "--format", "csv", "--out", tmp_path / "absent" / "x.csv")


def test_two_methods_are_compared_on_every_data_set_with_effect_interval_pairs_and_p(store):
    pairs = json.loads(told("compare", "fast", "good", "--metric", "error", "--store", store, "--json"))
    assert [pair["dataset"] for pair in pairs] == ["x", "y"]
    # Always 2 above: no spread, so the sign test of five pairs.
    first = pairs[0]
    assert (first["n"], first["test"], first["better"], first["ratio"]) == (5, "t", "good", None)
    assert [first["difference"], first["low"], first["high"], first["p"]] == pytest.approx([2.0, 2.0, 2.0, 1 / 16])


def test_costs_are_paired_inside_one_hardware_group_and_told_as_a_ratio_too(store):
    pairs = json.loads(told("compare", "fast", "good", "--store", store, "--json"))
    assert [(pair["kind"], pair["metric"], pair["hardware"]) for pair in pairs] == [
        ("metric", "error", "Xeon 6973P, 2 cores"),
        ("cost", "latency_ms", "Xeon 6973P, 2 cores"),
    ] * 2
    # Latencies 1.00 to 1.04 against 2.00 to 2.04: the H200's microsecond is of another group.
    assert pairs[1]["ratio"] == pytest.approx(5.1 / 10.1)
    assert pairs[1]["better"] == "fast"


def test_wilcoxons_test_may_take_the_place_of_the_t_test(tmp_path):
    kept = Store.open(tmp_path / "store", create=True)
    for seed, gap in enumerate([1.0, 2.0, 3.0, 4.0, -5.0]):
        kept.add(record("a", seed, error=10.0 + gap))
        kept.add(record("b", seed, error=10.0))
    (pair,) = json.loads(told("compare", "a", "b", "--test", "wilcoxon", "--store", kept.path, "--json"))
    # Worked out in test_stats_noise.
    assert (pair["p"], pair["better"]) == (pytest.approx(20 / 32), "undecided")
    table = told("compare", "a", "b", "--store", kept.path)
    assert "95 % interval" in table
    assert "undecided" in table
