"""Shrinkage: soft thresholds, support selection, and the choice of the largest entries."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.l2o._thresholds import (
    least_of_the_largest,
    select_support,
    selected,
    selection_percents,
    shrink,
    soft_threshold,
)

Z = torch.tensor([[3.0, -2.0, 0.5, 1.5, -0.1]])
THETA = torch.tensor(1.0)


def test_a_soft_threshold_moves_entries_towards_zero_and_no_further():
    assert soft_threshold(Z, THETA).tolist() == [[2.0, -1.0, 0.0, 0.5, 0.0]]


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (0.0, [2.0, -1.0, 0.0, 0.5, 0.0]),  # soft threshold
        (40.0, [3.0, -2.0, 0.0, 0.5, 0.0]),  # two of five entries pass
        (100.0, [3.0, -2.0, 0.0, 1.5, 0.0]),  # hard threshold
    ],
)
def test_the_largest_entries_above_the_threshold_pass_unshrunk(percent, expected):
    assert select_support(Z, THETA, percent).tolist() == [expected]


def test_each_instance_selects_its_own_entries():
    z = torch.tensor([[4.0, 3.0], [20.0, 30.0]])
    assert select_support(z, THETA, 50.0).tolist() == [[4.0, 2.0], [19.0, 30.0]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**20), st.floats(0, 100), st.floats(0.01, 2))
def test_support_selection_is_odd_equivariant_and_supported_above_the_threshold(seed, percent, theta):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(4, 30, generator=generator)
    order = torch.randperm(30, generator=generator)
    selected = select_support(z, torch.tensor(theta), percent)
    assert torch.equal(select_support(-z, torch.tensor(theta), percent), -selected)
    assert torch.equal(select_support(z[:, order], torch.tensor(theta), percent), selected[:, order])
    assert torch.equal(selected != 0, z.abs() > theta)


def test_a_selected_entry_gives_the_threshold_no_gradient():
    theta = torch.tensor(1.0, requires_grad=True)
    select_support(Z, theta, 40.0).abs().sum().backward()
    # Two of the three surviving entries are selected; the third loses theta.
    assert theta.grad.item() == -1


def test_the_selection_grows_by_the_rate_up_to_the_limit():
    assert selection_percents(12, 1.2, 13.0) == pytest.approx(
        [1.2, 2.4, 3.6, 4.8, 6.0, 7.2, 8.4, 9.6, 10.8, 12.0, 13.0, 13.0]
    )


def test_a_threshold_below_zero_moves_entries_away_from_zero_which_stays():
    z = torch.tensor([[1.0, -0.5, 0.0]])
    assert soft_threshold(z, torch.tensor(-0.25)).tolist() == [[1.25, -0.75, 0.0]]


def test_each_instance_may_have_a_threshold_of_its_own():
    z = torch.tensor([[3.0, -1.0], [3.0, -1.0]])
    assert soft_threshold(z, torch.tensor([[2.0], [0.5]])).tolist() == [[1.0, 0.0], [2.5, -0.5]]


def test_what_is_not_a_number_stays_so():
    z = torch.tensor([[float("nan"), 2.0]])
    found = shrink(z, THETA, None)
    assert found[0, 0].isnan()
    assert found[0, 1] == 1.0


def test_slopes_are_one_where_an_entry_survives_and_minus_its_sign_for_the_threshold():
    z, theta = Z.clone().requires_grad_(), THETA.clone().requires_grad_()
    (soft_threshold(z, theta) * torch.tensor([[1.0, 10.0, 100.0, 1000.0, 1e4]])).sum().backward()
    assert z.grad.tolist() == [[1.0, 10.0, 0.0, 1000.0, 0.0]]
    assert theta.grad.item() == -1 + 10 - 1000


def test_the_largest_entries_are_marked_where_they_are_above_the_threshold():
    assert selected(Z, THETA, 80.0).tolist() == [[True, True, False, True, False]]
    assert selected(Z, THETA, 9.0) is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 30))
def test_the_least_of_the_largest_is_the_one_that_topk_ends_with(seed, count):
    magnitude = torch.randn(7, 30, generator=torch.Generator().manual_seed(seed)).abs()
    magnitude[0] = magnitude[0].round()  # with ties
    before = magnitude.clone()
    assert torch.equal(least_of_the_largest(magnitude, count), magnitude.topk(count).values[:, -1:])
    assert torch.equal(magnitude, before)
