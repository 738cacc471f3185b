"""The noise floor, the bootstrap, rank correlations, and paired tests of many rows at once."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats import (
    association,
    bootstrap_interval,
    correlation,
    noise_floor,
    paired_difference,
    paired_differences,
)

FINITE = st.floats(-1e3, 1e3)


# The noise floor ------------------------------------------------------------------------------------------------------


def test_the_noise_floor_worked_by_hand():
    # 1, 2, 3, 4: variance 5/3; over means of 4 seeds the difference has 2 * 5/3 / 4 = 5/6; t(0.975, 3) = 3.182.
    noise = noise_floor([[1.0, 2.0, 3.0, 4.0]], 4)
    assert noise.floor == pytest.approx(3.182 * math.sqrt(5 / 6), rel=1e-3)
    assert (noise.seeds, noise.methods) == (4, 1)


def test_methods_are_pooled_by_their_degrees_and_one_with_three_seeds_says_nothing():
    # Variances 5/3 (3 degrees) and 0 (4 degrees): 5 / 7; t(0.975, 7) = 2.365; over 5 seeds 2 * 5/7 / 5.
    noise = noise_floor([[1.0, 2.0, 3.0, 4.0], [7.0] * 5, [0.0, 100.0, 200.0]], 5)
    assert noise.floor == pytest.approx(2.365 * math.sqrt(2 / 7), rel=1e-3)
    assert noise.methods == 2


def test_three_seeds_measure_no_noise():
    assert noise_floor([[1.0, 2.0, 3.0]], 3) is None
    assert noise_floor([], 5) is None


@given(st.lists(FINITE, min_size=4, max_size=8).filter(lambda values: len(values) % 2 == 0))
def test_the_floor_is_what_all_splits_of_the_seeds_into_halves_say(values):
    half = len(values) // 2
    whole = sum(values)
    squares = []
    for places in itertools.combinations(range(len(values)), half):
        part = sum(values[place] for place in places)
        squares.append(((part - (whole - part)) / half) ** 2)
    t = stats.t.ppf(0.975, len(values) - 1)
    # The splits compare means over half the seeds, the floor means over as many as asked for.
    expected = t * math.sqrt(sum(squares) / len(squares) * half / len(values))
    assert noise_floor([values], len(values)).floor == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_two_runs_of_one_method_differ_by_less_than_the_floor_95_times_in_100():
    random = np.random.default_rng(0)
    runs = random.normal(size=(4000, 3, 5))
    inside = [abs(a.mean() - b.mean()) < noise_floor([c], 5).floor for a, b, c in runs]
    # 95 % of 4,000 with a standard error of 0.34 %: within three of them.
    assert np.mean(inside) == pytest.approx(0.95, abs=0.0103)


def test_a_value_that_is_not_finite_has_no_noise():
    with pytest.raises(ValueError, match="must be finite"):
        noise_floor([[1.0, 2.0, 3.0, math.nan]], 4)


# The bootstrap --------------------------------------------------------------------------------------------------------


def test_the_bootstrap_of_a_mean_is_near_the_normal_interval_and_the_same_every_time():
    values = np.random.default_rng(0).normal(10, 2, 200).tolist()
    low, high = bootstrap_interval(values)
    half = 1.96 * np.std(values) / math.sqrt(200)
    assert (low, high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=0.12 * half)
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(values, seed=1) != (low, high)


def test_the_bootstrap_of_a_skewed_sample_reaches_further_into_the_tail_than_percentiles():
    values = np.random.default_rng(3).exponential(size=15)
    drawn = np.random.default_rng(0).choice(values, size=(20_000, 15)).mean(axis=1)
    low, high = bootstrap_interval(values.tolist())
    assert low > np.quantile(drawn, 0.025) + 0.01
    assert high > np.quantile(drawn, 0.975) + 0.05


def test_equal_values_have_an_interval_without_width():
    assert bootstrap_interval([3.0, 3.0, 3.0]) == (3.0, 3.0)


def test_where_bca_has_no_jackknife_percentiles_take_its_place():
    # Leaving one out never moves the median of these.
    values = [1.0, 5.0, 5.0, 5.0, 5.0, 9.0]
    drawn = np.random.default_rng(0).choice(values, size=(20_000, 6))
    assert bootstrap_interval(values, np.median) == tuple(np.quantile(np.median(drawn, axis=1), [0.025, 0.975]))


def test_one_value_has_no_bootstrap():
    with pytest.raises(ValueError, match="two values or more, got 1"):
        bootstrap_interval([1.0])


# Rank correlation -----------------------------------------------------------------------------------------------------


def test_spearman_and_kendall_worked_by_hand():
    # Ranks 1 2 3 4 5 against 2 1 4 3 5: squared differences 1 1 1 1 0, so 1 - 6 * 4 / (5 * 24) = 0.8.
    # Of ten pairs two are out of order: (8 - 2) / 10 = 0.6.
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [20.0, 10.0, 40.0, 30.0, 50.0]
    assert association(x, y).value == pytest.approx(0.8)
    assert association(x, y, "kendall").value == pytest.approx(0.6)
    assert association(x, y).n == 5
    assert correlation(x, y) == pytest.approx(0.8)
    assert correlation(x, y, "kendall") == pytest.approx(0.6)


def test_a_correlation_of_many_points_has_an_interval_that_holds_it():
    random = np.random.default_rng(0)
    x = random.normal(size=40)
    found = association(x.tolist(), (x + random.normal(size=40)).tolist())
    assert -1 <= found.low < found.value < found.high <= 1
    assert 0.3 < found.high - found.low < 0.7


def test_three_points_have_a_correlation_and_no_interval():
    found = association([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert (found.value, found.low, found.high) == (pytest.approx(0.5), None, None)


def test_so_few_distinct_values_that_resamples_are_often_constant_have_no_interval():
    # One of four differs: (3/4)^4 = 32 % of all resamples are constant.
    found = association([1.0, 1.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0])
    assert (found.low, found.high) == (None, None)


def test_a_constant_side_has_no_order_to_agree_with():
    assert association([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]) is None
    assert correlation([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]) is None


def test_a_correlation_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="got 3 and 2 values"):
        association([1.0, 2.0, 3.0], [1.0, 2.0])


# Three points: no bootstrap, so that a hundred examples take no time.
DISTINCT = st.lists(st.integers(-50, 50), min_size=3, max_size=3, unique=True)


@given(DISTINCT, st.randoms(use_true_random=False))
def test_a_correlation_is_symmetric_and_blind_to_monotone_transforms(values, random):
    other = values[:]
    random.shuffle(other)
    there = association(values, other)
    assert association(other, values).value == pytest.approx(there.value)
    assert association([math.exp(v / 20) for v in values], other).value == pytest.approx(there.value)
    assert association([-v for v in values], other).value == pytest.approx(-there.value)


# Paired tests of many rows at once ------------------------------------------------------------------------------------


@given(
    st.integers(1, 8).flatmap(
        lambda seeds: st.lists(
            st.lists(st.one_of(st.none(), FINITE, st.just(0.1)), min_size=seeds, max_size=seeds), min_size=1, max_size=6
        )
    )
)
def test_many_rows_at_once_are_what_one_at_a_time_would_be(table):
    values = np.array([[np.nan if v is None else v for v in row] for row in table])
    for row, found in zip(table, paired_differences(values, values[0]), strict=True):
        pairs = [(a, b) for a, b in zip(row, table[0], strict=True) if a is not None and b is not None]
        if not pairs:
            assert found is None
            continue
        expected = plain_difference([a - b for a, b in pairs], max(abs(v) for pair in pairs for v in pair))
        assert found.n == len(pairs)
        assert [found.mean, found.low, found.high, found.p] == [
            value if value is None else pytest.approx(value, rel=1e-6, abs=1e-9) for value in expected
        ]


def plain_difference(differences, largest):
    """Mean, low, high and p, straight from the textbook."""
    n, mean = len(differences), float(np.mean(differences))
    if n == 1:
        return mean, None, None, None
    if max(differences) - min(differences) <= max(1e-150, 1e-12 * largest):
        p = 2.0 ** (1 - n) if abs(mean) > 1e-12 * largest else 1.0
        return mean, mean, mean, p if n >= 5 else None
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    half = stats.t.ppf(0.975, n - 1) * error
    return mean, mean - half, mean + half, 2 * stats.t.sf(abs(mean) / error, n - 1) if n >= 5 else None


def test_wilcoxons_p_worked_by_hand():
    # Differences 1 2 3 4 -5 have distinct sizes; ranks of the negative: 5, of the positive: 10. Of the 32 ways to give
    # signs, those with a smaller sum of at most 5 are 10 on each side (partitions of 0 to 5 into distinct parts of at
    # most 5: 1, 1, 1, 2, 2, 3), so p = 20 / 32.
    found = paired_difference([11.0, 12.0, 13.0, 14.0, 5.0], [10.0] * 5, "wilcoxon")
    assert found.p == pytest.approx(20 / 32)
    assert found.mean == 1.0
    assert found.low == paired_difference([11.0, 12.0, 13.0, 14.0, 5.0], [10.0] * 5).low


def test_wilcoxon_leaves_out_what_rounding_alone_made_differ():
    first = [0.1 + 0.2, 1.0, 2.0, 3.0, 4.0, 5.0]
    second = [0.3, 0.0, 0.0, 0.0, 0.0, 0.0]
    # Five of one sign: 2 / 32.
    assert paired_difference(first, second, "wilcoxon").p == pytest.approx(1 / 16)


def test_wilcoxon_of_equal_methods_is_one_and_below_five_pairs_there_is_none():
    assert paired_difference([1.0] * 5, [1.0] * 5, "wilcoxon").p == 1.0
    assert paired_difference([1.0, 2.0, 4.0, 9.0], [0.0] * 4, "wilcoxon").p is None
