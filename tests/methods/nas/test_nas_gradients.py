"""DARTS's gradient against the exact one of the unrolled objective; GDAS's sample; what a distribution stands for."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from methods.nas._choices import Preferences, derived, entropy
from methods.nas.darts import first_order, second_order
from methods.nas.gdas import hard_sample, temperature
from tasks.nas.darts import DARTS
from tasks.nas.spaces import groups
from tasks.nas.tabular import NAS_BENCH_201


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


# DARTS ----------------------------------------------------------------------------------------------------------------


class Quadratic:
    """train = w^T A w / 2 + a^T B w, search = |w - c|^2 / 2 + d^T a + a^T E w, with a flattened matrix of preferences.

    One step on, w' = w - xi (A w + B^T a + drift), so by hand the gradient of the search loss by a is
    d + E w' - xi B (w' - c + E^T a).
    """

    def __init__(self) -> None:
        square = normal(1, 4, 4)
        self.A, self.B, self.E = square @ square.T, normal(2, 6, 4), normal(3, 6, 4)
        self.c, self.d = normal(4, 4), normal(5, 6)
        self.w, self.a = normal(6, 4).requires_grad_(), normal(7, 2, 3).requires_grad_()
        self.drift = normal(8, 4)

    def train(self, weights, preferences: Tensor) -> Tensor:
        w, a = weights["w"], preferences.flatten()
        return 0.5 * w @ self.A @ w + a @ self.B @ w

    def search(self, weights, preferences: Tensor) -> Tensor:
        w, a = weights["w"], preferences.flatten()
        return 0.5 * (w - self.c).square().sum() + self.d @ a + a @ self.E @ w

    def by_hand(self, step_size: float, drift: Tensor) -> Tensor:
        w, a = self.w.detach(), self.a.detach().flatten()
        ahead = w - step_size * (self.A @ w + self.B.T @ a + drift)
        return (self.d + self.E @ ahead - step_size * self.B @ (ahead - self.c + self.E.T @ a)).reshape(2, 3)


@pytest.mark.parametrize("step_size", [0.5, 0.025])
@pytest.mark.parametrize("drifts", [False, True])
def test_the_second_order_is_the_exact_gradient_of_an_unrolled_quadratic(step_size, drifts):
    toy = Quadratic()
    drift = toy.drift if drifts else torch.zeros(4, dtype=torch.float64)
    slope, loss = second_order(toy.train, toy.search, {"w": toy.w}, toy.a, step_size, {"w": drift}, 0.01)
    # The training loss is linear in the weights' product with the preferences, so the finite difference is exact.
    torch.testing.assert_close(slope, toy.by_hand(step_size, drift), rtol=1e-9, atol=1e-9)
    ahead = toy.w - step_size * (toy.A @ toy.w + toy.B.T @ toy.a.flatten() + drift)
    assert loss.item() == pytest.approx(toy.search({"w": ahead}, toy.a).item())


def test_the_first_order_is_the_second_with_a_step_of_zero_and_not_otherwise():
    toy = Quadratic()
    zero = {"w": torch.zeros(4, dtype=torch.float64)}
    first, _ = first_order(toy.search, {"w": toy.w}, toy.a)
    second, _ = second_order(toy.train, toy.search, {"w": toy.w}, toy.a, 0.0, zero, 0.01)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, toy.by_hand(0.0, zero["w"]), rtol=1e-12, atol=1e-12)
    other, _ = second_order(toy.train, toy.search, {"w": toy.w}, toy.a, 0.1, zero, 0.01)
    assert (other - first).abs().max() > 0.1


def test_on_a_network_the_second_order_nears_autograd_through_the_step_with_the_square_of_the_radius():
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.copy_(normal(20 + number, *parameter.shape))
    preferences = normal(30, 1, 3).requires_grad_()

    def loss_on(images: Tensor, labels: Tensor):
        # Preferences weight the inputs.
        return lambda weights, a: cross_entropy(functional_call(net, dict(weights), images * a.softmax(-1)), labels)

    train = loss_on(normal(31, 8, 3), torch.tensor([0, 1] * 4))
    search = loss_on(normal(32, 8, 3), torch.tensor([1, 1, 0, 0] * 2))
    weights = dict(net.named_parameters())
    slopes = torch.autograd.grad(train(weights, preferences), list(weights.values()), create_graph=True)
    ahead = {name: w - 0.5 * slope for (name, w), slope in zip(weights.items(), slopes, strict=True)}
    (exact,) = torch.autograd.grad(search(ahead, preferences), preferences)
    nothing = {name: torch.zeros_like(w) for name, w in weights.items()}
    wide, narrow = (
        (second_order(train, search, weights, preferences, 0.5, nothing, radius)[0] - exact).abs().max().item()
        for radius in (1e-2, 1e-3)
    )
    first, _ = first_order(search, weights, preferences)
    assert (first - exact).abs().max() > 0.01
    assert wide < 1e-3
    assert wide / narrow == pytest.approx(100, rel=0.05)  # central differences


def test_the_look_ahead_leaves_the_weights_as_they_are_and_no_gradient_behind():
    toy = Quadratic()
    before = toy.w.detach().clone()
    second_order(toy.train, toy.search, {"w": toy.w}, toy.a, 0.1, {"w": toy.drift}, 0.01)
    assert torch.equal(toy.w.detach(), before)
    assert toy.w.grad is None
    assert toy.a.grad is None


# GDAS -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [10.0, 0.1])
def test_a_hard_sample_is_one_hot_to_the_bit(tau):
    logits = torch.randn(6, 5, generator=generator(1))
    for seed in range(20):
        drawn = hard_sample(logits, tau, generator(seed))
        assert set(drawn.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(drawn.sum(dim=-1), torch.ones(6))


@pytest.mark.parametrize("tau", [10.0, 0.5])
def test_operators_are_drawn_as_often_as_the_softmax_says_whatever_the_temperature(tau):
    probabilities = np.array([0.05, 0.1, 0.15, 0.3, 0.4])
    logits = torch.from_numpy(np.log(probabilities)).float().repeat(8000, 1)
    counts = hard_sample(logits + 3.0, tau, generator(2)).sum(dim=0).numpy()
    # A true sampler is rejected once in 1,000 seeds.
    assert chisquare(counts, 8000 * probabilities).pvalue > 1e-3


def test_the_gradient_of_a_hard_sample_is_that_of_the_relaxed_one():
    logits = torch.randn(6, 5, generator=generator(3), dtype=torch.float64, requires_grad=True)
    towards = normal(4, 6, 5)
    drawn = hard_sample(logits, 2.0, generator(5))
    (slope,) = torch.autograd.grad((drawn * towards).sum(), logits)
    # The softmax with the same noise, in numpy: the noise comes back out of the generator.
    noise = -np.log(torch.empty(6, 5, dtype=torch.float64).exponential_(generator=generator(5)).numpy())
    values = logits.detach().numpy()
    soft = np.exp((values - np.log(np.exp(values).sum(1, keepdims=True)) + noise) / 2)
    soft /= soft.sum(1, keepdims=True)
    assert (drawn.argmax(1).numpy() == soft.argmax(1)).all()
    pull = towards.numpy()
    # d soft_k / d z_j = soft_k (delta_kj - soft_j) / tau with z = log_softmax(logits); the second softmax adds
    # nothing, as the rows of that matrix add up to zero.
    expected = soft * (pull - (soft * pull).sum(1, keepdims=True)) / 2
    np.testing.assert_allclose(slope.numpy(), expected, atol=1e-12)


def test_the_temperature_falls_along_a_line_from_its_first_to_its_last_value():
    assert [temperature(progress, 10.0, 0.1) for progress in (0.0, 0.5, 1.0)] == pytest.approx([10.0, 5.05, 0.1])


# Distributions --------------------------------------------------------------------------------------------------------


def test_preferences_begin_near_the_uniform_distribution():
    probabilities = Preferences(NAS_BENCH_201, generator()).probabilities()
    assert probabilities.shape == (6, 5)
    assert (probabilities - 0.2).abs().max() < 0.002
    assert probabilities.std() > 1e-5
    assert entropy(probabilities).item() == pytest.approx(math.log(5), abs=1e-5)


def test_the_entropy_of_one_certain_and_one_even_edge_is_half_of_log_two():
    assert entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).item() == pytest.approx(math.log(2) / 2)


def test_in_nas_bench_201_each_edge_takes_its_likeliest_operator_none_included():
    logits = torch.full((6, 5), 0.1)
    likely = (3, 0, 1, 4, 2, 3)
    logits[range(6), likely] = 0.6
    assert derived(NAS_BENCH_201, logits).choice == likely


def test_in_darts_a_node_keeps_its_two_most_likely_edges_and_none_is_never_chosen():
    probabilities = torch.full((28, 8), 0.01)
    probabilities[:, 0] = 0.9  # `none`, by far the likeliest
    expected = [0] * 28
    for number, edges in enumerate(groups(DARTS)):
        first, second = edges[number % len(edges)], edges[(number + 1) % len(edges)]
        probabilities[first, 5], probabilities[second, 3] = 0.08, 0.05
        expected[first], expected[second] = 5, 3
        for other in edges:
            if other not in (first, second):
                probabilities[other, 2] = 0.04
    assert derived(DARTS, probabilities).choice == tuple(expected)
