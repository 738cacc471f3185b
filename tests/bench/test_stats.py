import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import half_widths, holm, mean_interval, paired_difference, pareto

FINITE = st.floats(-1e6, 1e6)


def test_the_interval_of_1_2_3_is_2_plus_minus_2_484():
    # Deviation 1 (ddof 1), n 3: t(0.975, 2 degrees) = 4.303 of any table, over the root of 3.
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert interval.n == 3


def test_two_values_reach_6_353_times_their_distance_to_either_side():
    # Deviation d / sqrt(2), over sqrt(2) once more: d / 2, times t(0.975, 1 degree) = 12.706.
    assert mean_interval([0.0, 1.0]).half_width == pytest.approx(12.706 / 2, rel=1e-4)


def test_one_value_has_a_mean_and_no_interval():
    interval = mean_interval([7.0])
    assert (interval.mean, interval.half_width, interval.n) == (7.0, None, 1)


def test_half_widths_of_single_values_are_blank_and_not_zero():
    widths = half_widths([1.0, math.nan], [3, 1])
    assert widths[0] == pytest.approx(2.484, rel=1e-3)
    assert math.isnan(widths[1])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_and_never_dropped(bad):
    with pytest.raises(ValueError, match="must be finite"):
        mean_interval([1.0, bad])
    with pytest.raises(ValueError, match="must be finite"):
        paired_difference([1.0, bad], [1.0, 2.0])
    with pytest.raises(ValueError, match="must be finite"):
        pareto([(1.0, bad)], ("low", "low"))


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])
    with pytest.raises(ValueError, match="no values"):
        paired_difference([], [])


def test_a_paired_difference_worked_by_hand():
    # Differences 1, 2, 3, 4, 5: mean 3, deviation sqrt(2.5), standard error sqrt(0.5), so t = 3 / 0.7071 = 4.243.
    # t(0.975, 4) = 2.776: 3 -+ 1.963. The two-sided p of t = 4.243 at 4 degrees is 0.0132.
    difference = paired_difference([11.0, 22.0, 33.0, 44.0, 55.0], [10.0, 20.0, 30.0, 40.0, 50.0])
    assert difference.mean == 3.0
    assert difference.low == pytest.approx(3 - 2.776 * math.sqrt(0.5), rel=1e-3)
    assert difference.high == pytest.approx(3 + 2.776 * math.sqrt(0.5), rel=1e-3)
    assert difference.p == pytest.approx(0.0132, abs=1e-4)
    assert difference.n == 5


def test_pairing_finds_what_the_spread_between_seeds_hides():
    # Both methods move by 10 from seed to seed; the second is better by 0.9 .. 1.1 on each.
    first = [10.0, 20.0, 30.0, 40.0, 50.0]
    second = [9.0, 19.1, 28.9, 39.05, 48.95]
    difference = paired_difference(first, second)
    assert difference.p is not None
    assert difference.p < 0.001
    assert mean_interval(first).half_width > 15


def test_four_pairs_give_an_interval_and_no_p():
    difference = paired_difference([1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0])
    assert difference.p is None
    # Mean 2.5, deviation 1.291, over 2: 0.6455; t(0.975, 3) = 3.182.
    assert difference.low == pytest.approx(2.5 - 3.182 * 0.6455, rel=1e-3)


def test_one_pair_gives_neither_interval_nor_p():
    difference = paired_difference([2.0], [1.0])
    assert (difference.mean, difference.low, difference.high, difference.p) == (1.0, None, None, None)


def test_equal_methods_are_not_told_apart():
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    difference = paired_difference(values, values)
    assert (difference.mean, difference.low, difference.high, difference.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_difference_is_judged_by_its_sign_alone():
    # Five of five on one side: 2 / 2**5. A t test would divide by a spread of rounding errors and call p zero.
    first = [0.1, 0.2, 0.3, 0.4, 0.7]
    difference = paired_difference([value + 0.1 for value in first], first)
    assert difference.p == pytest.approx(1 / 16)
    assert difference.low == difference.high == pytest.approx(0.1)


def test_differences_that_cancel_have_a_mean_of_zero_to_the_digit():
    # 0.1 + 0.2 - 0.3 is 5.6e-17 in floating point.
    difference = paired_difference([0.1, 0.2, -0.3], [0.0, 0.0, 0.0])
    assert difference.mean == 0.0
    assert difference.low == pytest.approx(-difference.high)
    assert difference.high > 0.5


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_difference([1.0, 2.0], [1.0])


@given(st.lists(st.tuples(FINITE, FINITE), min_size=5, max_size=8))
def test_swapping_the_two_sides_turns_the_interval_round(pairs):
    first, second = zip(*pairs, strict=True)
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.low == pytest.approx(-back.high, rel=1e-9, abs=1e-9)
    assert there.p == pytest.approx(back.p)


def test_holm_worked_by_hand():
    # 0.01 x 4 = 0.04; 0.02 x 3 = 0.06; 0.03 x 2 = 0.06; 0.04 x 1 = 0.04, lifted to 0.06 that stands before it.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_stops_at_one_and_leaves_a_single_p_alone():
    assert holm([0.7, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match=r"in 0 \.\. 1"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(ps):
    corrected = holm(ps)
    assert all(after >= before for before, after in zip(ps, corrected, strict=True))
    by_p = [corrected[index] for index in sorted(range(len(ps)), key=lambda index: ps[index])]
    assert by_p == sorted(by_p)


def test_the_front_keeps_what_is_cheaper_or_better_than_all_others():
    # Accuracy high, latency low: (92, 5) is beaten by (93, 4); the others each win somewhere.
    points = [(90.0, 1.0), (93.0, 4.0), (92.0, 5.0), (95.0, 9.0)]
    assert pareto(points, ("high", "low")) == [True, True, False, True]


def test_a_tie_in_one_direction_is_lost_by_the_other():
    assert pareto([(90.0, 1.0), (90.0, 2.0)], ("high", "low")) == [True, False]


def test_equal_points_share_the_front():
    assert pareto([(1.0, 1.0), (1.0, 1.0)], ("low", "low")) == [True, True]


def test_a_point_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match="needs 2 coordinates, got 3"):
        pareto([(1.0, 2.0, 3.0)], ("low", "low"))


def test_the_front_of_many_points_is_found_across_all_of_them():
    # Points on a falling line beat none of each other; the same moved up by one are each beaten by the one below.
    line = [(float(x), float(1000 - x)) for x in range(300)]
    above = [(x, y + 1) for x, y in line]
    assert pareto([*above, *line], ("low", "low")) == [False] * 300 + [True] * 300


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=12))
def test_every_point_off_the_front_is_beaten_by_one_on_it(points):
    on_front = pareto(points, ("low", "low"))
    front = [point for point, on in zip(points, on_front, strict=True) if on]
    assert front
    for point, on in zip(points, on_front, strict=True):
        assert on or any(a <= point[0] and b <= point[1] and (a, b) != point for a, b in front)
