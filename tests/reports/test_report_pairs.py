"""Two rows of a board against each other: the numbers that a page carries for its reader to pick from."""

import json

import pytest
from record_factory import board_of, cost, failed, percent, profile, record

from reports.pairs import ROWS, embedded, pairs
from reports.sheet import sheet

PLENTY = 10_000


def carried(records, most=PLENTY):
    found = pairs(sheet(board_of(records)), {record.key: record for record in records}, most)
    return found, json.loads(found.script) if found.script else None


def two_methods(n=5):
    """`far` minus `near` is 10, 10.1, 10.2 and so on; the board has `near` first."""
    records = [record("near", seed, error=1.0) for seed in range(n)]
    return [*records, *(record("far", seed, error=11.0 + seed / 10) for seed in range(n))]


def test_the_difference_is_the_upper_row_minus_the_lower_one_over_the_seeds_of_both():
    # -10, -10.1, -10.2, -10.3, -10.4: mean -10.2, deviation 0.1581; t(0.975) with 4 degrees of freedom is 2.7764, and
    # 2.7764 x 0.1581 / sqrt(5) = 0.196.
    _, told = carried(two_methods())
    assert [row["label"] for row in told["rows"]] == ["near", "far"]
    assert told["columns"] == ["error (%)"]
    assert told["pairs"]["0-1"] == [["−10.20", "−10.40 to −10.00", "5", "p < 0.001"]]


def test_fewer_than_five_pairs_have_an_interval_and_no_p_and_one_has_neither():
    assert carried(two_methods(3))[1]["pairs"]["0-1"][0][2:] == ["3", ""]
    assert carried(two_methods(1))[1]["pairs"]["0-1"] == [["−10.00", "", "1", ""]]


def test_a_seed_that_one_of_the_two_lacks_is_no_pair():
    records = [*two_methods(3), record("near", 7, error=2.0), failed("far", 7)]
    difference, _, n, _ = carried(records)[1]["pairs"]["0-1"][0]
    assert (difference, n) == ("−10.10", "3")


def test_what_a_failed_trial_left_behind_is_no_value():
    records = [*two_methods(3), record("near", 7, error=2.0), failed("far", 7, metrics={"error": percent(99.0)})]
    assert carried(records)[1]["pairs"]["0-1"][0][2] == "3"


def test_costs_are_in_the_unit_of_their_column_and_have_no_p():
    records = [record("a", seed, error=1.0, costs=profile(1.0 + seed, 2e6)) for seed in range(5)]
    records += [record("b", seed, error=2.0, costs=profile(4.0 + seed, 5e6)) for seed in range(5)]
    _, told = carried(records)
    found = dict(zip(told["columns"], told["pairs"]["0-1"], strict=True))
    assert found["latency (ms)"] == ["−3.00", "−3.00 to −3.00", "5", ""]
    assert found["MACs (M)"] == ["−3.00", "−3.00 to −3.00", "5", ""]
    assert found["energy (J)"] == []


def test_a_difference_above_zero_has_its_sign():
    records = [record("a", error=1.0, costs={"macs": cost(5.0, "MAC")})]
    records += [record("b", error=2.0, costs={"macs": cost(2.0, "MAC")})]
    assert carried(records)[1]["pairs"]["0-1"][1][0] == "+3.00"


def test_only_ranked_rows_can_be_picked_and_not_more_than_the_page_says():
    records = [record(f"m{index:02d}", error=float(index)) for index in range(ROWS + 3)] + [failed("broken")]
    found, told = carried(records)
    assert (found.rows, len(told["rows"]), len(told["pairs"])) == (12, 12, 66)
    assert found.told == "The first 12 rows can be picked; `allwin compare` tells the differences of any two."


def test_a_row_without_a_result_cannot_be_picked():
    found, told = carried([record("a", error=1.0), record("b", error=2.0), failed("broken")])
    assert (found.rows, list(told["pairs"])) == (2, ["0-1"])


def test_pairs_that_would_make_the_page_too_large_are_left_out_with_a_word():
    found, told = carried(two_methods(), most=0)
    assert told is None
    assert (found.rows, found.count) == (0, 0)
    assert "too large" in found.told


def test_a_single_row_has_nothing_to_be_compared_with():
    found, told = carried([record("alone")])
    assert told is None
    assert found.told == ""


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--", "<SCRIPT"])
def test_no_text_can_end_the_block_that_carries_it(text):
    assert "<" not in embedded({text: [text]})
    assert json.loads(embedded({text: [text]})) == {text: [text]}
