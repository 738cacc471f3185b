"""What frames the figures of L2O: staying at the start, and the global minimum against exhaustive searches."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import Lasso

from bench import Unsupported
from bench.run import Run
from methods.l2o.global_minimum import GlobalMinimum, Oracle, moves, reduced
from methods.l2o.stand_still import StandStill
from tasks.l2o import L2O
from tasks.l2o.functions import Functions, LeastSquares
from tasks.l2o.lasso import Instances, gaussian_dictionary, sparse_signals, unit_columns

TASK = L2O(
    validation_instances=16,
    test_instances=16,
    functions=16,
    function_steps=20,
    networks=1,
    training_steps=2,
    minibatch=8,
    pooling=2,
    measurements=10,
    unknowns=20,
)


def run() -> Run:
    return Run(seed=0)


def least(functions: LeastSquares, starts: int = 32, rounds: int = 20, seed: int = 0) -> torch.Tensor:
    """The values that the oracle finds, in double precision."""
    exact = functions.to(torch.float64)
    return exact.value(Oracle(starts, rounds, seed).search(exact))


# Start ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sparse", "rastrigin-2", "mlp-mnist5k", "cs-photos"])
def test_start_stays_where_each_function_starts(name):
    problem, _ = TASK.load(name, "smoke", 0)
    optimisees = problem.optimisees(3, 0)
    points = list(StandStill().fit(problem, run())(optimisees, 4))
    assert len(points) == 4
    assert all(torch.equal(x, optimisees.start) for x in points)


def test_start_recovers_nothing_at_exactly_zero_db():
    problem, held_out = TASK.load("sparse", "smoke", 0)
    metrics = TASK.evaluate(StandStill().fit(problem, run()), held_out).metrics
    assert set(metrics.values()) == {0.0}


# The global minimum ---------------------------------------------------------------------------------------------------


def exhaustive(matrix: np.ndarray, target: np.ndarray, cosines: np.ndarray) -> float:
    """The least value of a Rastrigin function of two unknowns without its offset, wherever it may be.

    A value below that of some point bounds ||W x - y||, and with it x: an ellipse, of which each cell is searched.
    """

    def f(x: np.ndarray) -> float:
        return float(0.5 * ((matrix @ x - target) ** 2).sum() - cosines @ np.cos(2 * np.pi * x))

    centre = np.linalg.solve(matrix, target)
    # f(x) <= f(centre) needs ||W x - y||^2 / 2 <= f(centre) + |c_1| + |c_2|.
    radius = math.sqrt(2 * (f(centre) + np.abs(cosines).sum()))
    first, second = np.abs(np.linalg.inv(matrix) * radius) @ np.ones(2)
    offset = np.where(cosines > 0, 0.0, 0.5)
    cells = np.stack(
        np.meshgrid(
            np.arange(math.floor(centre[0] - first) - 1, math.ceil(centre[0] + first) + 2) + offset[0],
            np.arange(math.floor(centre[1] - second) - 1, math.ceil(centre[1] + second) + 2) + offset[1],
        ),
        axis=-1,
    ).reshape(-1, 2)
    shifts = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 11)] * 2), axis=-1).reshape(-1, 2)
    best = np.full(len(cells), np.inf)
    where = np.zeros_like(cells)
    for shift in shifts:
        x = cells + shift
        values = 0.5 * ((x @ matrix.T - target) ** 2).sum(1) - np.cos(2 * np.pi * x) @ cosines
        lower = values < best
        best, where = np.where(lower, values, best), np.where(lower[:, None], x, where)
    # A grid of a tenth is off by at most curvature / 2 times 0.05^2 in each unknown: the 40 best cells are refined.
    return min(minimize(f, where[place], tol=1e-12).fun for place in np.argsort(best)[:40])


def test_with_two_unknowns_it_agrees_with_an_exhaustive_search():
    functions = Functions("rastrigin", 2).draw(24, 3).to(torch.float64)
    found = least(functions) - 20
    for row, parts in enumerate(zip(functions.matrix, functions.target, functions.cosines, strict=True)):
        assert found[row].item() == pytest.approx(exhaustive(*(part.numpy() for part in parts)), abs=1e-6)


def test_functions_whose_minimum_is_known_because_their_cosines_and_quadratics_agree():
    generator = torch.Generator().manual_seed(0)
    n = 6
    matrix = torch.randn(8, n, n, generator=generator, dtype=torch.float64)
    cosines = 10 * torch.rand(8, n, generator=generator, dtype=torch.float64)
    whole = torch.randint(-9, 10, (8, n), generator=generator).double()
    # W x = y at a vector of whole numbers, where all cosines are 1: no function is lower anywhere than -sum c.
    target = torch.einsum("bij,bj->bi", matrix, whole)
    start = torch.zeros(8, n, dtype=torch.float64)
    for scale in (1.0, 10.0):
        functions = LeastSquares(start, matrix, target, cosines, 0.5, 0.0, 0.0).scaled(scale)
        assert torch.allclose(least(functions), -scale * cosines.sum(dim=1), atol=1e-9 * scale)


def test_with_ten_unknowns_two_searches_from_other_points_mostly_agree_and_are_flat_there():
    functions = Functions("rastrigin", 10).draw(12, 0).to(torch.float64)
    one, other = (least(functions, 64, 40, seed) for seed in (0, 1))
    assert ((one - other).abs() < 1e-6).sum() >= 11
    x = Oracle(64, 40, 0).search(functions)
    assert functions.value_and_gradient(x)[1].abs().max() < 1e-6
    # No cheaper search finds less.
    assert (one <= least(functions, 4, 2) + 1e-9).all()


@pytest.mark.parametrize("kind", ["quadratic", "quadratic-normal"])
def test_quadratics_reach_nothing_and_their_least_squares(kind):
    functions = Functions(kind, 10).draw(16, 0).to(torch.float64)
    x = Oracle(1, 1, 0).search(functions)
    expected = [
        np.linalg.lstsq(W.numpy(), y.numpy())[0] for W, y in zip(functions.matrix, functions.target, strict=True)
    ]
    assert torch.allclose(x, torch.tensor(np.array(expected)), rtol=1e-6, atol=1e-8)
    assert functions.value(x).max() < 1e-15


def test_a_lasso_with_matrices_of_its_own_agrees_with_scikit_learn():
    functions = Functions("lasso-dense", 10, scale=10.0).draw(6, 0).to(torch.float64)
    found = functions.value(Oracle(1, 1, 0).search(functions))
    solver = Lasso(alpha=0.005 / 10, fit_intercept=False, tol=1e-12, max_iter=1_000_000)
    points = [
        solver.fit(W.numpy(), y.numpy()).coef_.copy() for W, y in zip(functions.matrix, functions.target, strict=True)
    ]
    assert found.numpy() == pytest.approx(functions.value(torch.tensor(np.array(points))).numpy(), rel=1e-5)
    assert (found <= functions.value(torch.tensor(np.array(points))) * (1 + 1e-9)).all()


def test_the_lasso_family_and_rosenbrock_have_their_own_minima():
    dictionary = unit_columns(gaussian_dictionary(5, 10, 0))
    signals = sparse_signals(4, 10, 0.3, torch.Generator().manual_seed(0))
    instances = Instances(dictionary, signals @ dictionary.T, 0.005)
    (x,) = Oracle(1, 1, 0)(instances, 1)
    slope = (instances.residual(x) @ dictionary).abs()
    # The conditions of optimality: |A^T r| is the weight where x is not zero, and at most that elsewhere.
    assert slope.max().item() <= 0.005 + 1e-5
    assert slope[x != 0].numpy() == pytest.approx(0.005, abs=1e-5)
    rosenbrock = Functions("rosenbrock", 2).draw(3, 0)
    assert Oracle(1, 1, 0)(rosenbrock, 2).tolist() == [[[1.0, 1.0]] * 3] * 2


def test_networks_and_signals_have_no_known_minimum():
    for name, reason in (("mlp-mnist5k", "network is not known"), ("sparse", "signal is asked for")):
        problem, _ = TASK.load(name, "smoke", 0)
        with pytest.raises(Unsupported, match=reason):
            GlobalMinimum().fit(problem, run())


def test_no_optimiser_ends_below_it_and_every_iterate_is_there():
    problem, held_out = TASK.load("rastrigin-2", "smoke", 0)
    evaluation = TASK.evaluate(GlobalMinimum(starts=32, rounds=20).fit(problem, run()), held_out)
    curve = evaluation.curves["loss"].y
    assert curve[1:] == pytest.approx([curve[-1]] * 20)
    assert curve[-1] < 10 < curve[0]
    assert evaluation.metrics["scaled_loss"] < 10


def test_a_reduced_basis_spans_the_whole_vectors_and_no_vector_gets_shorter_by_another():
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(5, 6, 6, generator=generator, dtype=torch.float64)
    gram = W.mT @ W
    basis = reduced(gram)
    assert torch.equal(basis, basis.round())
    assert torch.linalg.det(basis).abs().numpy() == pytest.approx(1)
    products = basis @ gram @ basis.mT
    lengths = products.diagonal(dim1=1, dim2=2)
    ratios = (products / lengths[:, None, :]).abs() - 2 * torch.eye(6)
    assert ratios.max() <= 0.5 + 1e-6
    assert (lengths.sum(1) < gram.diagonal(dim1=1, dim2=2).sum(1)).all()


def test_moves_are_the_vectors_of_a_basis_and_sums_of_two_in_both_directions():
    found = {tuple(move) for move in moves(torch.eye(3)[None].double())[0].tolist()}
    every = {tuple(float(part) for part in v) for v in np.ndindex(3, 3, 3)}
    signed = {tuple(part - 1 for part in v) for v in every}
    assert found == {v for v in signed if 1 <= sum(map(abs, v)) <= 2}
