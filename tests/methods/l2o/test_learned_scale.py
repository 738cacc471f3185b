"""L2O-Scale: a count by hand, first inputs by hand, unit updates, invariances, and limits of the step size."""

import itertools
import math

import pytest
import torch
from torch import nn

from methods.l2o._learned import LearnedSolver, Seen, look
from methods.l2o.l2o_scale import GRU, Part, Scale, clipped, over_coordinates, over_tensors
from tasks.l2o import L2O
from tasks.l2o.functions import Functions, LeastSquares

RASTRIGIN = Functions("rastrigin", 6).draw(5, 3)
SIZES = (4, 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Tensors(LeastSquares):
    """Functions of six numbers, which are two tensors of four and two."""

    sizes = SIZES


QUADRATICS = Functions("quadratic", 6).draw(3, 3)
TWO = Tensors(**vars(QUADRATICS))


def seen(gradient: torch.Tensor) -> Seen:
    return Seen(torch.zeros_like(gradient), torch.zeros(len(gradient)), gradient, SIZES)


GRADIENTS = torch.randn(4, 3, 6, generator=generator(1))


def test_the_number_of_parameters_is_that_by_hand():
    # A GRU of f inputs and z units has 3 z (f + z) weights, 3 z biases, and z for its first state.
    coordinate = 30 * (12 + 10) + 30 + 10
    tensor = 60 * (22 + 20) + 60 + 20
    whole = 60 * (20 + 20) + 60 + 20
    # What 20 units say to the 30 gates of a coordinate, twice, and to the 60 of a tensor.
    biases = 2 * 30 * (20 + 1) + 60 * (20 + 1)
    # Direction without a bias; two decays and a change of the step size with one; four gradients; momentum, offset.
    output = 10 + 3 * 11 + 4 + 2
    assert coordinate + tensor + whole + biases + output == 8349
    assert sum(parameter.numel() for parameter in Scale(generator()).parameters()) == 8349


def test_a_gru_with_a_bias_is_that_of_torch():
    ours, theirs = GRU(3, 5, generator()), nn.GRUCell(3, 5)
    bias = torch.randn(15, generator=generator())
    with torch.no_grad():
        # torch resets what the weights of the candidate made of the state, ours the state itself: the same for a
        # reset gate that is open, which a large bias makes it.
        bias[:5] += 100
        weights = torch.cat([ours.gates, ours.candidate])
        theirs.weight_ih.copy_(weights[:, :3])
        theirs.weight_hh.copy_(weights[:, 3:])
        theirs.bias_ih.copy_(ours.bias + bias)
        theirs.bias_hh.zero_()
        x, state = torch.randn(7, 3, generator=generator()), torch.randn(7, 5, generator=generator())
        assert torch.allclose(ours(x[None], state[None], bias[None, None])[0], theirs(x, state), atol=1e-6)
        # And a reset gate that is shut: the state is forgotten by the candidate.
        bias[:5] -= 200
        keep = (torch.cat([x, state], dim=1) @ ours.gates[5:].T + ours.bias[5:10] + bias[5:10]).sigmoid()
        candidate = (x @ ours.candidate[:, :3].T + ours.bias[10:] + bias[10:]).tanh()
        expected = keep * state + (1 - keep) * candidate
        assert torch.allclose(ours(x[None], state[None], bias[None, None])[0], expected, atol=1e-6)


def test_levels_are_summed_up_and_told_by_tensor():
    x = torch.arange(12.0).view(1, 6, 2)
    assert over_tensors(x, SIZES).tolist() == [[[3.0, 4.0], [9.0, 10.0]]]
    assert over_coordinates(torch.tensor([[[1.0], [2.0]]]), SIZES).flatten().tolist() == [1, 1, 1, 1, 2, 2]


def test_every_function_has_the_units_of_each_level():
    net = Scale(generator())
    _, state = net.begin(TWO, generator())
    for gradient in GRADIENTS:
        _, state = net.step(seen(gradient), state)
        part = Part(*state)
        assert part.coordinates.shape == (3, 6, 10)
        assert part.tensors.shape == (3, 2, 20)
        assert part.whole.shape == (3, 1, 20)


def test_the_first_inputs_are_those_of_the_sign_of_the_gradient():
    net = Scale(generator())
    _, state = net.begin(TWO, generator())
    gradient = GRADIENTS[0]
    inputs, _, _, _ = net.inputs(gradient, Part(*state))
    one = math.asinh(1)
    assert torch.allclose(inputs[..., :4], one * gradient.sign()[..., None].expand(-1, -1, 4), atol=1e-5)
    assert torch.allclose(inputs[..., 4:7], torch.tensor(one**2), atol=1e-5)
    assert torch.allclose(inputs[..., 7:11], torch.tensor(0.0), atol=1e-5)
    log_lr = Part(*state).log_lr
    assert torch.allclose(inputs[..., 11], log_lr - log_lr.mean(dim=1, keepdim=True))


def test_the_second_inputs_by_hand():
    net = Scale(generator())
    _, state = net.begin(TWO, generator())
    half = torch.full((3, 6), 0.5)
    part = Part(*state)._replace(
        input_decay=half, scale_decay=half, means=torch.full((3, 6, 4), 2.0), squares=torch.full((3, 6, 4), 4.0)
    )
    inputs, _, means, squares = net.inputs(torch.zeros(3, 6), part)
    decays = [0.5, 0.5**0.5, 0.5**0.25, 0.5**0.125]
    expected = [2 * decay for decay in decays]
    mean_squares = [2 + 0.5 * mean**2 for mean in expected]
    scaled = [math.asinh(mean / square**0.5) for mean, square in zip(expected, mean_squares, strict=True)]
    logs = [math.log(square) for square in mean_squares]
    products = [a * b for a, b in itertools.pairwise(scaled)]
    assert means[0, 0].tolist() == pytest.approx(expected, rel=1e-5)
    assert squares[0, 0].tolist() == pytest.approx(mean_squares, rel=1e-5)
    assert inputs[0, 0, :11].tolist() == pytest.approx(
        [*scaled, *products, *(log - sum(logs) / 4 for log in logs)], rel=1e-4, abs=1e-6
    )


def test_a_step_has_the_root_mean_square_of_its_step_size_over_each_tensor():
    net = Scale(generator())
    _, state = net.begin(TWO, generator())
    for gradient in GRADIENTS:
        # One step size for all coordinates; nothing changes it, since its weights start at zero.
        state = Part(*state)._replace(log_lr=torch.full((3, 6), math.log(1e-2)))
        update, state = net.step(seen(gradient), state)
        for tensor in update.split(SIZES, dim=1):
            rms = tensor.square().mean(dim=1).sqrt()
            # exp(-1): the offset.
            assert torch.allclose(rms, torch.full((3,), 1e-2 / math.e), rtol=1e-5)


def test_updates_do_not_depend_on_the_scale_of_a_function():
    solver = LearnedSolver(Scale(generator()))
    with torch.no_grad():
        plain, larger = (torch.stack(list(solver(f, 8))) for f in (RASTRIGIN, RASTRIGIN.scaled(1000.0)))
    assert torch.allclose(plain, larger, atol=1e-5)
    assert (plain[-1] - RASTRIGIN.start).abs().max() > 1e-4


def test_functions_do_not_see_each_other():
    solver = LearnedSolver(Scale(generator()))
    x = RASTRIGIN.start
    net = solver.optimizer
    _, state = net.begin(RASTRIGIN, generator())
    look_at = look(RASTRIGIN, x, 0)
    together, _ = net.step(look_at, state)
    for row in range(5):
        one = Seen(*(part[row : row + 1] for part in look_at[:3]), look_at.sizes)
        alone, _ = net.step(one, tuple(part[row : row + 1] for part in state))
        assert torch.allclose(alone, together[row : row + 1], atol=1e-7)


def test_a_step_goes_downhill_at_first():
    # The shortcut starts at a quarter for each of four gradients, give or take; the weights of the hidden units, at
    # random, average out over seeds.
    downhill = []
    for seed in range(20):
        net = Scale(generator(seed))
        _, state = net.begin(TWO, generator())
        update, _ = net.step(seen(GRADIENTS[0]), state)
        downhill.append((update * GRADIENTS[0]).sum().item() < 0)
    assert sum(downhill) > 15


def test_step_sizes_start_log_uniform_between_their_ends_and_differ_between_tensors():
    optimisees = L2O(**L2O.presets["smoke"]).load("mlp-mnist5k", "smoke", 0)[0].optimisees(4, 0)
    assert len(optimisees.sizes) == 4
    _, state = Scale(generator()).begin(optimisees, generator())
    log_lr = Part(*state).log_lr
    low, high = math.log(1e-6), math.log(1e-2)
    assert low <= log_lr.min()
    assert log_lr.max() <= high
    # A coordinate has half of the range to itself, so that the range within a tensor is half of the whole.
    largest = log_lr.split(optimisees.sizes, dim=1)[0]
    spans = largest.amax(dim=1) - largest.amin(dim=1)
    assert torch.allclose(spans, torch.tensor((high - low) / 2), rtol=0.01)
    assert (largest.mean(dim=1).diff().abs() > 1e-3).all()


def test_a_step_size_stays_within_its_limits_and_keeps_its_derivative():
    log_lr = torch.tensor([[-50.0, 0.0, 50.0]], requires_grad=True)
    limited = clipped(log_lr)
    assert limited.tolist() == [[-33.0, 0.0, 33.0]]
    limited.sum().backward()
    assert log_lr.grad.tolist() == [[1.0, 1.0, 1.0]]


def test_a_change_of_the_step_size_acts_at_once_and_is_kept_with_momentum():
    net = Scale(generator())
    _, state = net.begin(TWO, generator())
    _, plain = net.step(seen(GRADIENTS[0]), state)
    before, _ = net.step(seen(GRADIENTS[0]), state)
    with torch.no_grad():
        net.readout_bias[2] = math.log(2)
    after, kept = net.step(seen(GRADIENTS[0]), state)
    assert torch.allclose(after, 2 * before)
    # A share of 1 - sigmoid(3.2) = 1 / (1 + e^3.2) is kept.
    growth = math.log(2) / (1 + math.exp(3.2))
    assert torch.allclose(Part(*kept).log_lr - Part(*plain).log_lr, torch.tensor(growth), atol=1e-5)


def test_derivatives_reach_every_weight_through_the_decays_and_the_first_states():
    net = Scale(generator())
    with torch.no_grad():
        # Momentum matters once the step size changes, which it does not at the start.
        net.readout_bias[2] = 0.1
    _, state = net.begin(TWO, generator())
    total = torch.zeros(())
    for gradient in GRADIENTS:
        update, state = net.step(seen(gradient), state)
        total = total + (update * gradient).sum()
    total.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in net.parameters())
    # Row 1 and 2 of what is read from the hidden units are the decays.
    assert (net.readout.grad.abs().amax(dim=1) > 0).all()
