"""L2O-Swarm: attraction and entropy by hand, symmetries of the particles, and which of them is reported."""

import math
from dataclasses import replace

import pytest
import torch

from methods.l2o._learned import Seen
from methods.l2o.l2o_swarm import (
    PARTICLES,
    Kept,
    L2OSwarm,
    Swarm,
    SwarmSolver,
    attraction,
    distances,
    entropy,
    finite,
)
from tasks.l2o import L2O
from tasks.l2o.functions import Functions

RASTRIGIN = Functions("rastrigin", 3).draw(5, 3)
FLOCK = RASTRIGIN.repeated(PARTICLES)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def seen(x: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor) -> Seen:
    return Seen(x, value, gradient, (x.shape[1],))


def test_the_number_of_parameters_is_that_by_hand():
    # Attention among features: ten weights for a feature, 10 x 20 for the hidden units, ten biases, ten scores;
    # between particles: 10 x 20 for who asks and for who is asked; an LSTM of two inputs; the output.
    features, particles = 10 + 200 + 10 + 10, 200 + 200
    lstm = 80 * (2 + 20) + 80 + 80 * (20 + 20) + 80
    expected = features + particles + lstm + 21
    assert sum(parameter.numel() for parameter in Swarm(False, 1.0, generator()).parameters()) == expected == 5771


def test_distances_are_mean_squares_over_coordinates():
    x = torch.tensor([[[0.0, 0.0], [3.0, 1.0], [0.0, 2.0]]])
    assert torch.allclose(distances(x), torch.tensor([[[0.0, 5.0, 2.0], [5.0, 0.0, 5.0], [2.0, 5.0, 0.0]]]))


def test_a_particle_is_drawn_to_those_that_are_better_and_more_to_near_ones():
    # On a line, at 0, 1 and 3; the first is best, the last worst.
    x = torch.tensor([[[0.0], [1.0], [3.0]]])
    pull = attraction(x, torch.tensor([[0.0, 1.0, 2.0]])).flatten().tolist()
    # The last is 3 and 2 from them: weights e^-9 and e^-4.
    far = math.exp(-9) / (math.exp(-9) + math.exp(-4))
    assert pull == pytest.approx([0.0, 1.0, far * 3 + (1 - far) * 2], abs=1e-5)


def test_a_particle_that_is_not_a_number_draws_no_other():
    x = torch.tensor([[[0.0], [1.0]]])
    assert attraction(x, finite(torch.tensor([[math.nan, 1.0]]))).flatten().tolist() == [-1.0, 0.0]


def test_the_features_of_two_steps_by_hand():
    net = Swarm(False, 0.5, generator())
    x, state = net.begin(FLOCK, generator())
    gradient = torch.full_like(x, 4.0)
    values = torch.arange(20.0)
    features, kept = net.features(seen(x, values, gradient), Kept(*state[:3]))
    # At first: the gradient, none before, and every particle is at its best.
    assert (features[..., 0] == 2.0).all()
    assert (features[..., 1] == 0.0).all()
    assert (features[..., 2] == 0.0).all()
    # Then even rows get better, odd ones worse.
    worse = torch.arange(20) % 2 == 1
    features, kept = net.features(seen(x + 1, values + torch.where(worse, 0.5, -0.5), -gradient), kept)
    assert (features[..., 0] == -2.0).all()
    assert torch.allclose(features[..., 1], torch.tensor(1.8))
    assert torch.allclose(features[..., 2], worse[:, None] * torch.ones(20, 3), atol=1e-6)
    assert torch.equal(kept.least, torch.where(worse, values, values - 0.5))


def test_gradients_of_networks_are_on_a_logarithmic_scale():
    net = Swarm(True, 0.5, generator())
    gradient = torch.tensor([[1.0, -math.exp(-5), 0.0]])
    # asinh(z) is log(2 z) for a large z.
    expected = [(math.log(2) + 5) / 5, -math.asinh(1) / 5, 0.0]
    assert net.scaled(gradient)[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_attention_among_features_is_their_mean_where_all_scores_are_equal():
    net = Swarm(False, 1.0, generator())
    features, hidden = torch.randn(6, 4, generator=generator()), torch.randn(6, 20, generator=generator())
    weighed = net.weighed(features, hidden)
    assert (weighed <= features.amax(dim=1)).all()
    assert (weighed >= features.amin(dim=1)).all()
    assert not torch.allclose(weighed, features.mean(dim=1), atol=1e-3)
    with torch.no_grad():
        net.score.zero_()
    assert torch.allclose(net.weighed(features, hidden), features.mean(dim=1), atol=1e-6)


def test_gradients_are_mixed_within_a_function_and_by_distance():
    net = Swarm(False, 1.0, generator())
    with torch.no_grad():
        net.asking.zero_()
    # Three particles at one place and one far away, for each of two functions.
    x = torch.tensor([0.0, 0.0, 0.0, 100.0] * 2)[:, None]
    gradient = torch.arange(8.0)[:, None]
    mixed = net.mixed(gradient, x, torch.zeros(8, 20))
    assert torch.allclose(mixed, torch.tensor([1.0, 1.0, 1.0, 3.0, 5.0, 5.0, 5.0, 7.0]))


def test_the_entropy_of_two_points_by_hand():
    points = torch.tensor([[[0.0], [2.0]]])
    # One of them has a share of 3/4 where its value is lower by log 3; the kernel between them is e^-2.
    kernel = math.exp(-2)
    found = entropy(points, torch.tensor([[0.0, math.log(3)]]), 1.0, 1.0).item()
    expected = -(0.75 * math.log(0.75 + 0.25 * kernel) + 0.25 * math.log(0.25 + 0.75 * kernel))
    assert found == pytest.approx(expected, rel=1e-5)
    # No sharpness: equal shares. All at one place: what is known is known.
    equal = entropy(points, torch.tensor([[0.0, 9.0]]), 1e-9, 1.0).item()
    assert equal == pytest.approx(-math.log(0.5 + 0.5 * kernel), rel=1e-5)
    assert entropy(torch.ones(1, 5, 3), torch.randn(1, 5), 1.0, 1.0).item() == pytest.approx(0.0, abs=1e-6)


def test_the_entropy_falls_as_points_move_together_and_its_weight_scales_the_penalty():
    points = torch.randn(2, 8, 3, generator=generator())
    values = torch.zeros(2, 8)
    assert entropy(0.5 * points, values, 1.0, 1.0).mean() < entropy(points, values, 1.0, 1.0).mean()
    # Two steps of four particles of one function are eight points.
    method = L2OSwarm(entropy_weight=0.25)
    path, level = torch.randn(2, 4, 3, generator=generator()), torch.randn(2, 4, generator=generator())
    expected = 0.25 * entropy(path.view(1, 8, 3), level.view(1, 8), 1.0, 1.0)
    assert method.penalty(path, level).item() == pytest.approx(expected.item())


def test_the_first_particle_starts_where_all_optimisers_do_and_the_others_apart():
    x, _ = Swarm(False, 1.0, generator()).begin(FLOCK, generator())
    x = x.view(5, PARTICLES, 3)
    assert torch.equal(x[:, 0], RASTRIGIN.start)
    away = (x - x[:, :1])[:, 1:]
    # As far as a start is from zero: 45 numbers of deviation 1, give or take.
    assert away.std().item() == pytest.approx(RASTRIGIN.start.square().mean().sqrt().item(), rel=0.25)
    problem, _ = L2O(**L2O.presets["smoke"]).load("lasso-5x10", "smoke", 0)
    x, _ = Swarm(False, 1.0, generator()).begin(problem.optimisees(50, 0).repeated(PARTICLES), generator())
    assert x.view(50, PARTICLES, 10)[:, 1:].std().item() == pytest.approx(0.01, rel=0.1)


class Jump(torch.nn.Module):
    """Moves the particles of each function as far as told, at every step."""

    def __init__(self, moves: list[float]) -> None:
        super().__init__()
        self.moves = torch.tensor(moves)

    def begin(self, optimisees, generator):
        return torch.zeros_like(optimisees.start), ()

    def step(self, seen, state):
        return self.moves.repeat(len(seen.x) // PARTICLES)[:, None].expand_as(seen.x), state


def test_the_best_particle_of_each_iteration_is_given():
    # |x - y|^2 with y = 2 and y = -3: the particles are at -k, 0, k and NaN after k steps.
    eye = torch.eye(1).expand(2, -1, -1)
    target = torch.tensor([[2.0], [-3.0]])
    parabolas = replace(
        Functions("quadratic", 1).draw(2, 0), matrix=eye, target=target, cosines=torch.zeros(2, 1), factor=1.0
    )
    found = torch.stack(list(SwarmSolver(Jump([-1.0, 0.0, 1.0, math.nan]))(parabolas, 5)))[..., 0]
    assert found.T.tolist() == [[1.0, 2.0, 3.0, 0.0, 0.0], [-1.0, -2.0, -3.0, -4.0, -5.0]]


def test_with_output_weights_of_zero_every_particle_stays():
    net = Swarm(False, 1.0, generator())
    with torch.no_grad():
        net.outer.zero_()
    x, _ = net.begin(FLOCK, torch.Generator().manual_seed(0))
    values = RASTRIGIN.repeated(PARTICLES).value(x).view(5, PARTICLES)
    best = x.view(5, PARTICLES, 3)[torch.arange(5), values.argmin(dim=1)]
    with torch.no_grad():
        assert all(torch.equal(iterate, best) for iterate in SwarmSolver(net)(RASTRIGIN, 4))


def test_the_order_of_the_particles_does_not_matter():
    net = Swarm(False, 1.0, generator())
    x, state = net.begin(FLOCK, generator())
    order = torch.cat(
        [PARTICLES * function + torch.randperm(PARTICLES, generator=generator()) for function in range(5)]
    )
    moved = FLOCK.value_and_gradient(x)
    with torch.no_grad():
        plain, _ = net.step(seen(x, *moved), state)
        turned, _ = net.step(seen(x[order], *(part[order] for part in moved)), state)
    assert torch.allclose(turned, plain[order], atol=1e-6)
