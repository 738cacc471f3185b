"""The LASSO family of L2O: generators, objective and optimum against what is known of them."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from tasks.l2o import L2O
from tasks.l2o.lasso import (
    OPTIMUM_GAP,
    Instances,
    coherence,
    coherent_dictionary,
    dual,
    gaussian_dictionary,
    ill_conditioned_dictionary,
    lipschitz,
    measure,
    minimiser,
    optimum,
    perturbed_dictionary,
    polish,
    sparse_signals,
    unit_columns,
)
from tasks.l2o.problems import SparseSource
from tasks.l2o.recipes import SPARSE

SMALL = L2O(measurements=25, unknowns=50, steps=4, validation_instances=64, test_instances=64)
NAMES = list(SPARSE)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lasso(measurements: int = 25, unknowns: int = 50, count: int = 8) -> Instances:
    dictionary = unit_columns(gaussian_dictionary(measurements, unknowns, 0).double())
    signals = sparse_signals(count, unknowns, 0.1, generator()).double()
    return Instances(dictionary, signals @ dictionary.T, 0.005)


# The data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_dictionary_has_columns_of_unit_length(name):
    problem, _ = SMALL.load(name, "small", seed=3)
    assert torch.allclose(problem.dictionary.norm(dim=0), torch.ones(problem.dictionary.shape[1]), atol=1e-6)


def test_the_share_of_nonzero_entries_is_the_sparsity_and_they_are_standard_normal():
    signals = sparse_signals(2000, 100, 0.1, generator())
    # Three deviations of a mean of 200,000 coin tosses.
    assert (signals != 0).double().mean().item() == pytest.approx(0.1, abs=3 * math.sqrt(0.1 * 0.9 / 200_000))
    values = signals[signals != 0]
    # Three deviations of the mean and of the variance of 20,000 normal numbers.
    assert values.mean().item() == pytest.approx(0, abs=3 / math.sqrt(20_000))
    assert values.var().item() == pytest.approx(1, abs=3 * math.sqrt(2 / 20_000))


def test_the_entries_of_a_gaussian_dictionary_have_variance_one_over_the_measurements():
    dictionary = gaussian_dictionary(200, 400, seed=0)
    assert dictionary.var().item() == pytest.approx(1 / 200, rel=3 * math.sqrt(2 / 80_000))


@pytest.mark.parametrize("snr_db", [20.0, 40.0])
def test_the_noise_is_as_far_below_each_instances_measurements_as_asked(snr_db):
    dictionary = unit_columns(gaussian_dictionary(250, 500, 0))
    signals = sparse_signals(64, 500, 0.1, generator())
    clean = signals @ dictionary.T
    noise = measure(dictionary, signals, snr_db, generator(1)) - clean
    measured = 10 * (clean.var(dim=-1) / noise.var(dim=-1)).log10()
    assert measured.mean().item() == pytest.approx(snr_db, abs=0.2)
    # One deviation of 10 log10 of a variance of 250 numbers is 0.39 dB: no instance is off by six of them.
    assert (measured - snr_db).abs().max().item() < 2.4


def test_no_noise_is_no_noise_at_all():
    dictionary = unit_columns(gaussian_dictionary(25, 50, 0))
    signals = sparse_signals(8, 50, 0.1, generator())
    assert torch.equal(measure(dictionary, signals, math.inf, generator()), signals @ dictionary.T)


@pytest.mark.parametrize("condition", [5.0, 50.0])
def test_the_ill_conditioned_dictionary_has_the_condition_number_asked_for_and_geometric_singular_values(condition):
    dictionary = ill_conditioned_dictionary(30, 60, condition, seed=0).double()
    values = torch.linalg.svdvals(dictionary)
    assert (values[0] / values[-1]).item() == pytest.approx(condition, rel=1e-4)
    ratios = values[1:] / values[:-1]
    assert ratios.numpy() == pytest.approx(condition ** (-1 / 29), rel=1e-4)
    # So that the columns have a mean square of 1.
    assert values.square().sum().item() == pytest.approx(60, rel=1e-5)


def test_the_ill_conditioned_dictionary_is_more_coherent_than_the_gaussian_one():
    task = replace(SMALL, measurements=64, unknowns=128)
    gaussian, ill = (task.load(name, "small", 0)[0].dictionary for name in ("sparse", "sparse-ill-conditioned"))
    assert coherence(ill) > coherence(gaussian) + 0.1


def test_neighbouring_columns_of_the_coherent_dictionary_are_correlated_as_asked_and_far_ones_hardly():
    dictionary = unit_columns(coherent_dictionary(10_000, 12, 0.7, seed=0))
    cosines = dictionary.T @ dictionary
    # Four deviations of the correlation of 10,000 pairs; columns d apart have 0.7^d.
    assert cosines.diagonal(1).numpy() == pytest.approx(0.7, abs=0.04)
    assert cosines.diagonal(2).numpy() == pytest.approx(0.49, abs=0.04)
    assert cosines[0, 11].item() == pytest.approx(0.7**11, abs=0.04)


def test_the_coherence_of_two_columns_at_sixty_degrees_is_one_half():
    dictionary = torch.tensor([[1.0, -0.5], [0.0, math.sqrt(0.75)]])
    assert coherence(dictionary) == pytest.approx(0.5)
    assert coherence(7 * dictionary) == pytest.approx(0.5)


def test_a_perturbed_dictionary_has_unit_columns_again_each_turned_by_about_the_size():
    dictionary = unit_columns(gaussian_dictionary(1000, 50, 0))
    other = perturbed_dictionary(dictionary, 0.05, seed=1)
    assert torch.allclose(other.norm(dim=0), torch.ones(50), atol=1e-6)
    # Noise of length 0.05 across a unit column turns it by atan 0.05; lengths of 1,000 normal numbers vary by 2 %.
    angles = (dictionary * other).sum(dim=0).acos()
    assert angles.numpy() == pytest.approx(math.atan(0.05), rel=0.1)


def test_the_weight_of_a_louder_source_is_in_its_signals_alone():
    dictionary = unit_columns(gaussian_dictionary(25, 50, 0))
    plain, loud = (SparseSource(dictionary, 0.005, 0.1, math.inf, amplitude) for amplitude in (1.0, 10.0))
    one, ten = plain.draw(32, 7), loud.draw(32, 7)
    assert torch.equal(ten.signals, 10 * one.signals)
    assert torch.allclose(ten.instances.measurements, 10 * one.instances.measurements, rtol=1e-5)
    assert ten.instances.weight == 0.005


def test_a_seed_gives_the_same_problem_twice_and_another_seed_another():
    first, second, other = (SMALL.load("sparse-snr20", "small", seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first.dictionary, second.dictionary)
    assert torch.equal(first.validation.instances.measurements, second.validation.instances.measurements)
    assert not torch.equal(first.dictionary, other.dictionary)
    assert not torch.equal(first.validation.signals, other.validation.signals)


def test_the_data_sets_of_a_seed_share_dictionary_and_signals_so_that_only_the_noise_differs():
    (clean, clean_test), (noisy, noisy_test) = (SMALL.load(name, "small", 1) for name in ("sparse", "sparse-snr20"))
    assert torch.equal(clean.dictionary, noisy.dictionary)
    one, other = clean_test.test.samples, noisy_test.test.samples
    assert torch.equal(one.signals, other.signals)
    assert not torch.equal(one.instances.measurements, other.instances.measurements)


def test_validation_test_and_training_samples_are_different_signals():
    problem, held_out = SMALL.load("sparse", "small", 0)
    parts = [problem.validation.signals, held_out.test.samples.signals, problem.draw(64, 0).signals]
    # About one signal in two hundred is zero.
    rows = [tuple(row.tolist()) for part in parts for row in part if row.any()]
    assert len(rows) == len(set(rows)) > 180


def test_what_an_optimiser_is_given_holds_no_signal():
    assert {field.name for field in fields(Instances)} == {"dictionary", "measurements", "weight"}


def test_samples_depend_on_the_seed_of_their_draw_and_on_nothing_drawn_before():
    problem, _ = SMALL.load("sparse-snr20", "small", 0)
    first = problem.draw(16, 5)
    torch.rand(3)
    problem.draw(16, 6)
    again = problem.draw(16, 5)
    assert torch.equal(first.signals, again.signals)
    assert torch.equal(first.instances.measurements, again.instances.measurements)
    assert not torch.equal(first.signals, problem.draw(16, 6).signals)
    assert torch.equal(problem.optimisees(16, 5).measurements, first.instances.measurements)


def test_the_two_lasso_data_sets_have_their_own_sizes_whatever_the_settings_say():
    assert {name: tuple(SMALL.load(name, "small", 0)[0].dictionary.shape) for name in NAMES} == {
        "sparse": (25, 50),
        "sparse-snr20": (25, 50),
        "sparse-snr40": (25, 50),
        "sparse-quarter": (25, 50),
        "sparse-ill-conditioned": (25, 50),
        "sparse-coherent": (25, 50),
        "lasso-5x10": (5, 10),
        "lasso-25x50": (25, 50),
    }


@pytest.mark.parametrize(("name", "sparsity"), [("sparse", 0.1), ("sparse-quarter", 0.25), ("lasso-25x50", 0.1)])
def test_a_data_set_has_the_sparsity_of_its_recipe_or_else_that_of_the_settings(name, sparsity):
    problem, _ = SMALL.load(name, "small", 0)
    share = (problem.draw(2000, 0).signals != 0).double().mean().item()
    # Four deviations of a mean of 100,000 coin tosses.
    assert share == pytest.approx(sparsity, abs=4 * math.sqrt(sparsity * (1 - sparsity) / 100_000))


# The objective --------------------------------------------------------------------------------------------------------


def test_the_objective_of_a_hand_worked_instance():
    instances = Instances(torch.eye(2), torch.tensor([[1.0, 3.0]]), 0.5)
    # Residual (1 - 2, 3 + 1) = (-1, 4): 17 / 2. l1 norm 2 + 1, times one half.
    assert instances.objective(torch.tensor([[2.0, -1.0]])).tolist() == [8.5 + 1.5]


def test_the_gradient_agrees_with_automatic_differentiation():
    instances = lasso()
    x = torch.randn(8, 50, generator=generator(), dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(instances.objective(x).sum(), x)
    assert torch.allclose(instances.gradient(x.detach()), expected, atol=1e-12)
    value, gradient = instances.value_and_gradient(x, 3)
    assert torch.equal(value, instances.objective(x.detach()))
    assert torch.allclose(gradient, expected, atol=1e-12)
    assert not gradient.requires_grad


def test_where_an_entry_is_zero_its_norm_counts_as_flat():
    instances = Instances(torch.eye(2), torch.tensor([[1.0, 3.0]]), 0.5)
    assert instances.gradient(torch.zeros(1, 2)).tolist() == [[-1.0, -3.0]]


def test_the_optimum_agrees_with_the_coordinate_descent_of_scikit_learn():
    instances = lasso()
    # Its objective is ours over the number of measurements.
    solver = Lasso(alpha=instances.weight / 25, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = [
        solver.fit(instances.dictionary.numpy(), b.numpy()).coef_.copy() for b in instances.measurements if b.any()
    ]
    kept = instances.measurements.abs().sum(dim=-1) > 0
    values = replace(instances, measurements=instances.measurements[kept]).objective(torch.tensor(np.array(expected)))
    assert optimum(instances)[kept].numpy() == pytest.approx(values.numpy(), rel=1e-7)


def test_the_optimum_of_an_identity_dictionary_is_that_of_a_soft_threshold():
    instances = Instances(torch.eye(2).double(), torch.tensor([[3.0, 0.2]]).double(), 0.5)
    # x = (2.5, 0): residual (0.5, 0.2), so (0.25 + 0.04) / 2, and 0.5 * 2.5.
    assert optimum(instances).item() == pytest.approx(0.145 + 1.25, rel=1e-9)
    assert minimiser(instances)[0].tolist() == pytest.approx([2.5, 0.0], abs=1e-9)


@pytest.mark.parametrize(("shape", "amplitude"), [((5, 10), 1.0), ((25, 50), 1.0), ((25, 50), 10.0)])
def test_optima_are_within_their_gap_of_a_lower_bound_whatever_their_place_in_the_batch(shape, amplitude):
    instances = lasso(*shape, count=64)
    instances = replace(instances, measurements=amplitude * instances.measurements)
    x = minimiser(instances)
    values = instances.objective(x)
    assert (values >= dual(instances, x) * (1 - 1e-12)).all()
    assert (values - dual(instances, x)).sum() <= OPTIMUM_GAP * values.sum()
    # Each instance is done at its own time; alone it has the same optimum.
    alone = [optimum(replace(instances, measurements=b[None])).item() for b in instances.measurements[:8]]
    assert values[:8].numpy() == pytest.approx(alone, rel=1e-6)


def test_the_dual_of_any_point_is_below_the_objective_of_any_other():
    instances = lasso()
    points = torch.randn(2, 8, 50, generator=generator(1), dtype=torch.float64)
    assert (dual(instances, points[0]) < instances.objective(points[1])).all()
    # Feasible without scaling at x = 0 where |A^T b| is at most the weight: there the bound is tight.
    tiny = replace(instances, measurements=1e-4 * instances.measurements)
    zero = torch.zeros(8, 50).double()
    assert torch.allclose(dual(tiny, zero), tiny.objective(zero), rtol=1e-12)


def test_a_point_of_the_right_signs_is_polished_into_the_optimum_and_a_hopeless_one_is_left():
    instances = Instances(torch.eye(2).double(), torch.tensor([[3.0, 0.2]]).double(), 0.5)
    assert polish(instances, torch.tensor([[1.0, 0.0]]).double()).tolist() == [[2.5, 0.0]]
    # More entries than measurements: the system has no single solution, and x stays or the objective falls.
    wide = lasso(5, 10)
    x = torch.ones(8, 10).double()
    assert (wide.objective(polish(wide, x)) <= wide.objective(x)).all()


def test_instances_of_nothing_have_an_optimum_of_nothing():
    instances = replace(lasso(), measurements=torch.zeros(3, 25).double())
    assert optimum(instances).tolist() == [0.0, 0.0, 0.0]


def test_the_lipschitz_constant_is_a_thousandth_above_the_largest_squared_singular_value():
    dictionary = torch.diag(torch.tensor([3.0, 2.0]))
    assert lipschitz(dictionary) == pytest.approx(9.009)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12))
def test_the_lipschitz_constant_agrees_with_numpys_norm_of_wide_and_tall_dictionaries(measurements, unknowns):
    dictionary = gaussian_dictionary(measurements, unknowns, 0)
    assert lipschitz(dictionary) == pytest.approx(1.001 * np.linalg.norm(dictionary.double().numpy(), 2) ** 2)
