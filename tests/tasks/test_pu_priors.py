"""Estimates of the class prior, against mixtures whose prior is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from tasks.pu import PU
from tasks.pu.priors import bbe, gaussian_kernel, km2, mixture_distance, onto_simplex


def mixture(seed: int, share: float, number: int = 300, apart: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Positives around one point of a plane, and unlabelled vectors of which a share is drawn like them."""
    generator = np.random.default_rng(seed)
    positive = generator.standard_normal((number, 2))
    unlabelled = generator.standard_normal((number, 2))
    unlabelled[round(share * number) :, 0] += apart
    return positive, unlabelled


# Best bin -------------------------------------------------------------------------------------------------------------


def test_a_perfect_classifier_leaves_the_share_of_positives():
    # 30 of 100 unlabelled scores are drawn like the labelled ones, all others are below them.
    positive = np.linspace(1, 2, 1000)
    unlabelled = np.concatenate([np.linspace(1, 2, 30), np.linspace(-2, -1, 70)])
    assert bbe(positive, unlabelled) == pytest.approx(0.3, abs=0.02)


def test_the_bin_is_the_one_with_the_least_bound_and_not_the_least_ratio():
    # Of 400 positives one scores 3, the others 1. Above 2 there is that one and no unlabelled score: a ratio of 0,
    # which nobody should believe. Above 0.5 there are all positives and half of the 400 unlabelled.
    positive = np.array([1.0] * 399 + [3.0])
    unlabelled = np.array([1.0] * 200 + [0.0] * 200)
    assert bbe(positive, unlabelled) == pytest.approx(0.5, abs=1e-3)


@given(st.permutations(list(range(12))))
def test_the_order_of_the_scores_does_not_matter(order):
    scores = np.array([0.3, 2.0, 1.0, 0.7, 5.0, 4.0, -1.0, -2.0, 0.1, 3.0, 2.5, -0.5])
    moved = scores[np.array(order)]
    assert bbe(scores[:5], scores) == bbe(scores[:5], moved)


# Kernel means ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_the_nearest_distribution_is_one_and_keeps_the_order(values):
    point = np.array(values)
    nearest = onto_simplex(point)
    assert nearest.sum() == pytest.approx(1)
    assert nearest.min() >= 0
    # The projection takes the same off each entry that stays above zero.
    kept = nearest > 0
    assert np.ptp(point[kept] - nearest[kept]) < 1e-9


def test_a_distribution_is_its_own_nearest():
    assert onto_simplex(np.array([0.2, 0.5, 0.3])).tolist() == pytest.approx([0.2, 0.5, 0.3])


@pytest.mark.parametrize("stretch", [1.5, 3.0])
def test_the_distance_is_the_least_over_all_distributions(stretch):
    positive, unlabelled = mixture(0, 0.4, number=8)
    kernel = gaussian_kernel(np.concatenate([unlabelled, positive]))
    target = np.array([stretch / 8] * 8 + [(1 - stretch) / 8] * 8)

    def squared(weights: np.ndarray) -> float:
        return (target - weights) @ kernel @ (target - weights)

    # SLSQP, another method and another library.
    other = minimize(
        squared,
        np.full(16, 1 / 16),
        method="SLSQP",
        bounds=[(0, 1)] * 16,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    assert mixture_distance(kernel, 8, stretch) == pytest.approx(other.fun**0.5, abs=1e-4)


def test_a_mixture_that_is_not_stretched_is_a_distribution():
    positive, unlabelled = mixture(1, 0.4, number=20)
    # The descent ends within a thousandth, where the distances that matter are a tenth of one and more.
    assert mixture_distance(gaussian_kernel(np.concatenate([unlabelled, positive])), 20, 1.0) < 2e-3


def test_the_width_of_the_kernel_is_the_median_distance():
    # Distances 1, 1 and 2: at the median the kernel is exp(-1/2), at twice that exp(-2).
    kernel = gaussian_kernel(np.array([[0.0], [1.0], [2.0]]))
    assert kernel[0].tolist() == pytest.approx([1, np.exp(-0.5), np.exp(-2)])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_kernel_means_find_the_share_of_well_separated_positives(share):
    assert km2(*mixture(2, share)) == pytest.approx(share, abs=0.1)


# In the task ----------------------------------------------------------------------------------------------------------

TASK = PU(positives=100, validation=0.2, width=0.25)


@pytest.mark.parametrize("name", ["bbe", "km2"])
def test_an_estimate_replaces_the_known_prior_and_its_error_is_a_metric(name):
    problem, held_out = replace(TASK, prior=name).load("mnist5k", "small", 0)
    assert problem.prior != 0.5
    assert held_out.prior_error == pytest.approx(abs(problem.prior - 0.5))
    assert held_out.prior_error < 0.3
    again, _ = replace(TASK, prior=name).load("mnist5k", "small", 0)
    assert again.prior == problem.prior


def test_a_wrong_prior_is_wrong_by_its_factor():
    problem, held_out = replace(TASK, prior_factor=1.5).load("mnist5k", "small", 0)
    assert problem.prior == pytest.approx(0.75)
    assert held_out.prior_error == pytest.approx(0.25)


def test_an_estimate_reads_no_true_label():
    # The same images with other labels behind them give the same estimate: the estimators see images alone.
    from tasks.pu.priors import estimate

    problem, _ = TASK.load("digits", "small", 0)
    first = estimate("bbe", problem.positive, problem.unlabelled, 3)
    assert first == estimate("bbe", problem.positive.clone(), problem.unlabelled.clone(), 3)
    assert first != estimate("bbe", problem.unlabelled[:100], problem.unlabelled, 3)
