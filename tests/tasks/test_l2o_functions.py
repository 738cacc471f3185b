"""The analytic functions of L2O: values and gradients against automatic differentiation, and known expectations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, rosen, rosen_der

from tasks.l2o.functions import Functions, LeastSquares, Rosenbrock

KINDS = ["quadratic", "quadratic-normal", "lasso-dense", "rastrigin", "rosenbrock"]


def unknowns(kind: str) -> int:
    return 2 if kind == "rosenbrock" else 5


def drawn(kind: str, count: int = 4, seed: int = 0) -> LeastSquares | Rosenbrock:
    return Functions(kind, unknowns(kind)).draw(count, seed).to(torch.float64)


def points(functions: LeastSquares | Rosenbrock, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(functions.start.shape, generator=generator, dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2**20))
def test_closed_gradients_agree_with_automatic_differentiation(kind, seed):
    functions = drawn(kind, seed=seed)
    x = points(functions, seed + 1).requires_grad_()
    value, gradient = functions.value_and_gradient(x, 0)
    (expected,) = torch.autograd.grad(functions.value(x).sum(), x)
    assert torch.allclose(gradient, expected, rtol=1e-10, atol=1e-10)
    assert torch.allclose(value, functions.value(x.detach()))
    assert not value.requires_grad
    assert not gradient.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_closed_gradients_agree_with_finite_differences(kind):
    functions = drawn(kind, count=1)

    def value(x):
        return functions.value(torch.from_numpy(x)[None]).item()

    def gradient(x):
        return functions.value_and_gradient(torch.from_numpy(x)[None], 0)[1][0].numpy()

    x = points(functions, 1)[0].numpy()
    # Steps of 1.5e-8 on second derivatives of up to some thousands.
    assert check_grad(value, gradient, x) < 1e-3


def test_a_hand_worked_function():
    functions = LeastSquares(
        start=torch.zeros(1, 2),
        matrix=torch.tensor([[[1.0, 2.0], [0.0, 1.0]]]),
        target=torch.tensor([[1.0, 1.0]]),
        cosines=torch.tensor([[3.0, -2.0]]),
        factor=0.5,
        weight=0.25,
        offset=20.0,
    )
    # W x - y = (1/2 + 2 - 1, 1 - 1) = (3/2, 0); l1 norm 3/2; cos pi = -1 and cos 2 pi = 1.
    expected = 0.5 * 2.25 + 0.25 * 1.5 - (3.0 * -1.0 + -2.0 * 1.0) + 20.0
    assert functions.value(torch.tensor([[0.5, 1.0]])).item() == pytest.approx(expected)


def test_rastrigin_without_its_cosines_is_a_quadratic_and_ten_an_unknown():
    functions = drawn("rastrigin")
    flat = LeastSquares(
        functions.start, functions.matrix, functions.target, torch.zeros_like(functions.cosines), 0.5, 0.0, 50.0
    )
    x = points(functions, 1)
    for row, (matrix, target) in enumerate(zip(flat.matrix, flat.target, strict=True)):
        residual = matrix.numpy() @ x[row].numpy() - target.numpy()
        assert flat.value(x)[row].item() == pytest.approx(0.5 * residual @ residual + 10 * 5)
    # By whole steps the cosines do not change, so functions differ from their quadratics by the same.
    gap = functions.value(x) - flat.value(x)
    assert torch.allclose(functions.value(x + 3) - flat.value(x + 3), gap, atol=1e-9)
    # And at whole numbers by the sum of the amplitudes.
    whole = x.round()
    assert torch.allclose(flat.value(whole) - functions.value(whole), functions.cosines.sum(dim=-1))


@pytest.mark.parametrize(
    ("kind", "unknowns", "expected"),
    [
        # (n^2 + n) / 2 + 10 n: the starts of figure 7.
        ("rastrigin", 2, 23.0),
        ("rastrigin", 10, 155.0),
        # Start (almost) 0, so E ||y||^2 = n / 3 for uniform y.
        ("quadratic", 10, 10 / 3),
        ("lasso-dense", 10, 10 / 6),
        # Half of E ||y||^2 = n, and W adds 1e-4 n^2 / 2.
        ("quadratic-normal", 10, 5.005),
        # E (1 - x)^2 = 2; E (y - x^2)^2 = 1 + 3 = 4, times 100.
        ("rosenbrock", 2, 402.0),
    ],
)
def test_the_start_costs_what_the_distribution_says(kind, unknowns, expected):
    functions = Functions(kind, unknowns).draw(20_000, 0)
    values = functions.value(functions.start).double()
    # Four deviations of the mean; 0.01 for what the small starts of the uniform kinds add (0.4 % of a slope, squared).
    assert values.mean().item() == pytest.approx(expected, abs=4 * values.std().item() / math.sqrt(20_000) + 0.01)


def test_the_parts_of_each_kind_are_distributed_as_published():
    count = 4000
    for kind, mean, variance, deviation in [
        ("quadratic", 0.5, 1 / 12, 0.01),
        ("lasso-dense", 0.5, 1 / 12, 0.01),
        ("quadratic-normal", 0.0, 1.0, 0.01),
        ("rastrigin", 0.0, 1.0, 1.0),
    ]:
        functions = Functions(kind, 5).draw(count, 0)
        for part, size in ((functions.matrix, 25 * count), (functions.target, 5 * count)):
            assert part.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / size))
            assert part.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2 / size))
        assert functions.start.std().item() == pytest.approx(deviation, rel=4 * math.sqrt(0.5 / (5 * count)))
    assert functions.cosines.std().item() == pytest.approx(10, rel=4 * math.sqrt(0.5 / (5 * count)))
    assert (functions.factor, functions.weight, functions.offset) == (0.5, 0.0, 50.0)
    lasso = Functions("lasso-dense", 5).draw(1, 0)
    assert (lasso.factor, lasso.weight, lasso.offset) == (0.5, 0.005, 0.0)
    assert Functions("quadratic", 5).draw(1, 0).factor == 1.0


def test_rosenbrock_is_scipys_and_least_at_one_and_one():
    functions = drawn("rosenbrock", count=6)
    x = points(functions, 1)
    value, gradient = functions.value_and_gradient(x)
    assert value.numpy() == pytest.approx([rosen(row) for row in x.numpy()])
    for row, slope in zip(x.numpy(), gradient.numpy(), strict=True):
        assert slope == pytest.approx(rosen_der(row))
    least, flat = functions.value_and_gradient(torch.ones(6, 2).double())
    assert least.tolist() == [0.0] * 6
    assert flat.tolist() == [[0.0, 0.0]] * 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaled_function_has_scaled_values_and_gradients_and_the_same_start(kind):
    functions = drawn(kind)
    x = points(functions, 1)
    value, gradient = functions.value_and_gradient(x, 0)
    for scaled in (
        functions.scaled(10.0),
        Functions(kind, unknowns(kind), scale=10.0).draw(4, 0).to(torch.float64),
        functions.scaled(4.0).scaled(2.5),
    ):
        ten_times, steeper = scaled.value_and_gradient(x, 0)
        assert torch.allclose(ten_times, 10 * value, rtol=1e-6)
        assert torch.allclose(steeper, 10 * gradient, rtol=1e-6)
        assert torch.equal(scaled.start, functions.start)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wider_family_starts_further_out_on_the_same_functions(kind):
    usual, wide = (Functions(kind, unknowns(kind), spread=spread).draw(4, 0) for spread in (1.0, 5.0))
    assert torch.allclose(wide.start, 5 * usual.start)
    x = torch.ones_like(usual.start)
    assert torch.equal(wide.value(x), usual.value(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_depends_on_its_seed_and_on_nothing_else(kind):
    family = Functions(kind, unknowns(kind))
    first = family.draw(4, 1)
    torch.rand(7)
    family.draw(9, 2)
    again = family.draw(4, 1)
    assert torch.equal(first.start, again.start)
    x = torch.ones_like(first.start)
    assert torch.equal(first.value(x), again.value(x))
    assert not torch.equal(first.start, family.draw(4, 2).start)
