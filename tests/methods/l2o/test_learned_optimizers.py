"""L2O-DM and L2O-RNNprop: published counts, identities and invariances; what every learned optimiser must keep."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.run import Run
from methods.l2o._learned import LSTM, LearnedSolver, Seen, look, truncated_normal
from methods.l2o.l2o_dm import DM, L2ODM, log_and_sign
from methods.l2o.l2o_rnnprop import L2ORNNprop, RNNprop
from methods.l2o.l2o_scale import L2OScale, Scale
from methods.l2o.l2o_swarm import L2OSwarm, Swarm, SwarmSolver
from tasks.l2o import L2O
from tasks.l2o.functions import Functions

QUADRATICS = Functions("quadratic", 6).draw(5, 3)
METHODS = [L2ODM, L2ORNNprop, L2OScale, L2OSwarm]
SMOKE = L2O(**L2O.presets["smoke"])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def silenced(net: nn.Module) -> nn.Module:
    """With output weights of zero."""
    with torch.no_grad():
        net.outer.zero_()
    return net


def run_of(net: nn.Module, optimisees, steps: int) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack(list(LearnedSolver(net)(optimisees, steps)))


# The LSTM -------------------------------------------------------------------------------------------------------------


def test_the_lstm_is_that_of_torch_without_its_second_bias():
    ours = LSTM(3, 20, 2, generator())
    cells = [nn.LSTMCell(3, 20), nn.LSTMCell(20, 20)]
    # torch: input, forget, cell, output; ours: input, forget, output, cell.
    order = torch.cat([torch.arange(0, 40), torch.arange(60, 80), torch.arange(40, 60)])
    with torch.no_grad():
        for cell, weight, bias in zip(cells, ours.weights, ours.biases, strict=True):
            bias += torch.randn(80, generator=generator())
            cell.weight_ih.copy_(weight[order, :-20])
            cell.weight_hh.copy_(weight[order, -20:])
            cell.bias_ih.copy_(bias[order])
            cell.bias_hh.zero_()
        state, theirs = ours.begin(7), [None, None]
        for x in torch.randn(5, 7, 3, generator=generator()):
            found, state = ours(x, state)
            for layer, cell in enumerate(cells):
                theirs[layer] = cell(x, theirs[layer])
                x = theirs[layer][0]
            assert torch.allclose(found, x, atol=1e-6)


def test_forget_gates_start_at_one_and_other_biases_at_zero():
    for bias in LSTM(2, 20, 2, generator()).biases:
        assert bias.tolist() == [0.0] * 20 + [1.0] * 20 + [0.0] * 40


def test_weights_start_normal_and_cut_at_two_deviations():
    weights = truncated_normal(400, 100, generator())
    assert weights.abs().max() <= 0.2
    # A normal variable cut at two deviations has a deviation of 0.880.
    assert weights.std().item() == pytest.approx(0.0880, abs=0.001)


@pytest.mark.parametrize(
    ("net", "expected"),
    [(DM(True, 1.0, generator()), 5141), (DM(False, 1.0, generator()), 5061), (RNNprop(generator()), 6641)],
    ids=["dm-networks", "dm-functions", "rnnprop"],
)
def test_the_number_of_parameters_is_the_published_one(net, expected):
    assert count(net) == expected


# What they do with gradients ------------------------------------------------------------------------------------------


def test_logarithm_and_sign_of_a_gradient():
    gradient = torch.tensor([1.0, -math.exp(-2.5), math.exp(-6), -math.exp(-6), 0.0])
    # log(e^-2.5) / 5 = -1/2; e^-6 is small, and e^5 e^-6 = 1/e.
    expected = [[0, 1], [-0.5, -1], [-1, 1 / math.e], [-1, -1 / math.e], [-1, 0]]
    assert torch.allclose(log_and_sign(gradient), torch.tensor(expected), atol=1e-6)


@pytest.mark.parametrize("net", [DM(True, 1.0, generator()), DM(False, 1.0, generator()), RNNprop(generator())])
def test_with_output_weights_of_zero_nothing_moves(net):
    assert torch.equal(run_of(silenced(net), QUADRATICS, 10), QUADRATICS.start.expand(10, -1, -1))


@pytest.mark.parametrize("net", [DM(True, 1.0, generator()), DM(False, 1.0, generator()), RNNprop(generator())])
def test_the_order_of_the_coordinates_does_not_matter(net):
    order = torch.randperm(6, generator=generator())
    moved = replace(QUADRATICS, start=QUADRATICS.start[:, order], matrix=QUADRATICS.matrix[:, :, order])
    assert torch.allclose(run_of(net, moved, 10), run_of(net, QUADRATICS, 10)[..., order], atol=1e-5)


def test_rnnprop_does_not_see_the_scale_of_a_function_and_dm_does():
    larger = QUADRATICS.scaled(1000.0)
    net = RNNprop(generator())
    assert torch.allclose(run_of(net, larger, 10), run_of(net, QUADRATICS, 10), atol=1e-5)
    for networks in (True, False):
        dm = DM(networks, 1.0, generator())
        assert not torch.allclose(run_of(dm, larger, 10), run_of(dm, QUADRATICS, 10), atol=1e-3)


def test_both_features_of_rnnprop_are_the_sign_of_the_gradient_at_first():
    net = RNNprop(generator())
    gradient = torch.tensor([[3.0, -0.02, 0.0]])
    features, _ = net.features(gradient, net.moments.begin(gradient))
    assert torch.allclose(features, torch.tensor([[1.0, 1.0], [-1.0, -1.0], [0.0, 0.0]]), atol=1e-5)


def test_the_second_features_of_rnnprop_by_hand():
    net = RNNprop(generator())
    first, second = torch.tensor([[1.0]]), torch.tensor([[-1.0]])
    _, kept = net.features(first, net.moments.begin(first))
    features, _ = net.features(second, kept)
    # m = 0.05 (0.95 - 1) / (1 - 0.95^2), v = 1.
    assert features.tolist()[0] == pytest.approx([-0.0025 / 0.0975, -1.0], abs=1e-5)


def test_no_step_of_rnnprop_is_longer_than_a_hundredth():
    net = RNNprop(generator())
    with torch.no_grad():
        net.outer.mul_(1e6)
    iterates = torch.cat([QUADRATICS.start[None], run_of(net, QUADRATICS, 100)])
    lengths = iterates.diff(dim=0).abs()
    assert lengths.max().item() == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize(("networks", "factor"), [(True, 0.01), (False, 1.0)])
def test_an_output_bias_is_the_step_of_dm_times_a_hundredth_on_networks(networks, factor):
    net = silenced(DM(networks, 1.0, generator()))
    with torch.no_grad():
        net.outer_bias.fill_(0.5)
    assert torch.allclose(run_of(net, QUADRATICS, 1)[0] - QUADRATICS.start, torch.tensor(0.5 * factor))


def test_dm_takes_gradients_of_functions_times_their_scale():
    seen = look(QUADRATICS, QUADRATICS.start, 0)
    small, large = DM(False, 0.25, generator()), DM(False, 1.0, generator())
    scaled = Seen(seen.x, seen.value, 0.25 * seen.gradient, seen.sizes)
    _, state = small.begin(QUADRATICS, generator())
    assert torch.equal(small.step(seen, state)[0], large.step(scaled, state)[0])


# All of them ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["lasso-5x10", "rosenbrock-2", "rastrigin-2", "mlp-mnist5k"])
@pytest.mark.parametrize("method", METHODS)
def test_every_family_is_supported(method, dataset):
    problem, held_out = SMOKE.load(dataset, "smoke", 0)
    solution = method(**method.presets["smoke"]).fit(problem, Run(seed=0))
    SMOKE.check(solution, problem)
    metrics = SMOKE.evaluate(solution, held_out).metrics
    assert all(map(math.isfinite, metrics.values()))


@pytest.mark.parametrize("method", METHODS)
def test_an_untrained_solution_is_what_training_starts_with(method):
    problem, _ = SMOKE.load("rastrigin-2", "smoke", 0)
    method = method()
    built, started = method.build(problem), method.solver(problem, generator())
    assert all(torch.equal(a, b) for a, b in zip(built.parameters(), started.parameters(), strict=True))


@pytest.mark.parametrize(
    "solver",
    [
        LearnedSolver(DM(False, 1.0, generator())),
        LearnedSolver(RNNprop(generator())),
        LearnedSolver(Scale(generator())),
        SwarmSolver(Swarm(False, 1.0, generator())),
    ],
)
def test_a_longer_run_begins_as_a_shorter_one(solver):
    with torch.no_grad():
        short, long = (list(solver(QUADRATICS, steps)) for steps in (4, 9))
    assert all(torch.equal(a, b) for a, b in zip(short, long[:4], strict=True))


def test_a_repeated_function_is_the_same_one_at_every_step():
    for dataset in ("lasso-5x10", "rosenbrock-2", "rastrigin-2", "mlp-mnist5k"):
        optimisees = SMOKE.load(dataset, "smoke", 0)[0].optimisees(2, 5)
        repeated = optimisees.repeated(3)
        x = torch.randn(optimisees.start.shape, generator=generator())
        for step in (0, 3):
            for part, other in zip(
                optimisees.value_and_gradient(x, step),
                repeated.value_and_gradient(x.repeat_interleave(3, dim=0), step),
                strict=True,
            ):
                assert torch.allclose(part.repeat_interleave(3, dim=0), other, atol=1e-6)
        assert torch.equal(repeated.start, optimisees.start.repeat_interleave(3, dim=0))
        assert sum(optimisees.sizes) == optimisees.start.shape[1]
