"""Ranks over data sets, against the worked examples of Demšar (JMLR 7, 2006)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats import average_ranks, cliques, critical_difference, rank_test, ranks

HIGH = ("high",)

# Demšar's Table 6: AUC of C4.5 without and with two parameters tuned (m, cf, both) on 14 data sets. Two values of
# `voting` are printed alike (0.975) but ranked 2 and 3; a digit more is added to the first.
AUC = [
    (0.763, 0.768, 0.771, 0.798),
    (0.599, 0.591, 0.590, 0.569),
    (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657),
    (0.882, 0.888, 0.886, 0.898),
    (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685),
    (0.583, 0.583, 0.563, 0.625),
    (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000),
    (0.940, 0.962, 0.965, 0.962),
    (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.9751, 0.975),
    (0.957, 0.978, 0.946, 0.970),
]
# Ties, as t³ - t for t equal values: three pairs of 6 each, four equal of 60; over n k (k² - 1) = 14 * 4 * 15.
UNTIED = 1 - (3 * 6 + 60) / (14 * 4 * 15)


def test_the_average_ranks_of_demsars_table_are_his():
    assert average_ranks(AUC, HIGH * 14) == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)


def test_friedmans_statistic_of_demsars_table_is_his_9_28_once_corrected_for_ties():
    # He prints the statistic without the correction for ties, by which scipy divides.
    assert rank_test(AUC, HIGH * 14).statistic * UNTIED == pytest.approx(9.28, abs=5e-3)


def test_friedmans_p_of_demsars_table_is_the_tail_of_chi_squared_at_three_degrees():
    assert rank_test(AUC, HIGH * 14).p == pytest.approx(stats.chi2.sf(9.28 / UNTIED, 3), abs=2e-4)
    assert rank_test(AUC, HIGH * 14).differ


def test_the_critical_difference_of_demsars_table_is_his_1_25():
    # 2.569 sqrt(4 * 5 / (6 * 14)).
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)
    assert rank_test(AUC, HIGH * 14).critical == critical_difference(4, 14)


@pytest.mark.parametrize(
    ("methods", "printed"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_critical_values_are_those_of_demsars_table_5(methods, printed):
    blocks = 7
    q = critical_difference(methods, blocks) / math.sqrt(methods * (methods + 1) / (6 * blocks))
    # His last digit is now cut, now rounded.
    assert q == pytest.approx(printed, abs=1e-3)


def test_ranks_worked_by_hand():
    # Low is good: 1 < 2 < 5; then high is good and two share ranks 1 and 2.
    assert ranks([(2.0, 1.0, 5.0), (0.9, 0.9, 0.1)], ("low", "high")).tolist() == [[2, 1, 3], [1.5, 1.5, 3]]


def test_two_methods_or_one_data_set_have_average_ranks_and_no_test():
    for table in ([(1.0, 2.0), (1.0, 2.0)], [(1.0, 2.0, 3.0)]):
        test = rank_test(table, ("low",) * len(table))
        assert test.average == tuple(range(1, len(table[0]) + 1))
        assert (test.p, test.statistic, test.critical, test.differ) == (None, None, None, False)


def test_methods_that_are_alike_everywhere_are_not_told_apart():
    test = rank_test([(1.0, 1.0, 1.0), (2.0, 2.0, 2.0)], ("low", "low"))
    assert (test.statistic, test.p, test.differ) == (0.0, 1.0, False)


def test_a_block_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="every block needs a value of every method"):
        ranks([(1.0, 2.0), (1.0,)], ("low", "low"))
    with pytest.raises(ValueError, match="must be finite"):
        ranks([(1.0, math.nan)], ("low",))


def test_a_critical_difference_needs_methods_and_blocks():
    with pytest.raises(ValueError, match="two methods and one block, got 1 and 5"):
        critical_difference(1, 5)


def test_cliques_worked_by_hand():
    # 1, 2 and 3 in reach of 2 < 2.5; 3 and 5 too; 2 and 5 are 3 apart; 8 stands alone.
    assert cliques([1.0, 2.0, 3.0, 5.0, 8.0], 2.5) == [(0, 1, 2), (2, 3)]


def test_ranks_apart_by_exactly_the_critical_difference_are_told_apart():
    assert cliques([1.0, 3.0], 2.0) == []
    assert cliques([1.0, 3.0], 2.0001) == [(0, 1)]


def test_cliques_name_places_as_given_and_leave_out_sets_inside_others():
    assert cliques([3.0, 1.0, 2.0], 5.0) == [(1, 2, 0)]


TABLES = st.integers(3, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(-20, 20), min_size=k, max_size=k), min_size=2, max_size=7)
)


@given(TABLES)
def test_ranks_of_a_block_always_sum_to_the_same(table):
    methods = len(table[0])
    assert ranks(table, ["low"] * len(table)).sum(axis=1).tolist() == [methods * (methods + 1) / 2] * len(table)


@given(TABLES)
def test_a_monotone_transform_of_a_block_changes_nothing(table):
    better = ["high"] * len(table)
    assert rank_test([[math.exp(v / 10) for v in block] for block in table], better) == rank_test(table, better)


@given(TABLES)
def test_turning_the_direction_round_mirrors_the_ranks(table):
    up, down = (np.array(average_ranks(table, [way] * len(table))) for way in ("high", "low"))
    assert up + down == pytest.approx(np.full(len(table[0]), len(table[0]) + 1))


@given(TABLES, st.permutations(range(7)))
def test_the_order_of_the_data_sets_is_of_no_account(table, order):
    shuffled = [table[place] for place in order if place < len(table)]
    low = ["low"] * len(table)
    assert rank_test(shuffled, low).average == pytest.approx(rank_test(table, low).average)
    assert rank_test(shuffled, low).p == pytest.approx(rank_test(table, low).p)


@given(st.lists(st.floats(1, 9), min_size=2, max_size=9), st.floats(0.1, 5))
def test_two_methods_share_a_clique_exactly_if_they_are_nearer_than_the_critical_difference(average, critical):
    found = cliques(average, critical)
    for i in range(len(average)):
        for j in range(i):
            together = any({i, j} <= set(group) for group in found)
            assert together == (abs(average[i] - average[j]) < critical)
