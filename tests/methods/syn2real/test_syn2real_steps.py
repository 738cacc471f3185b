"""Step sizes, momentum and proxy guidance of ASG and CSG."""

import copy
import math

import pytest
import torch
from torch import nn

from methods.syn2real._proxy import bounded, proxy_divergence
from methods.syn2real._schedule import step_size_factor
from methods.syn2real._sgd import RollingSGD

STEPS = 1000


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.01),
        (50, 0.2575 * (1 - 50 / STEPS) ** 0.9),
        (100, (1 - 100 / STEPS) ** 0.9),
        (800, 0.23492),
        (999, 0.23492),
    ],
)
def test_the_schedule_of_asg_has_a_floor(step, factor):
    assert step_size_factor(step, STEPS, held_from=0.8) == pytest.approx(factor, rel=1e-4)


def test_the_schedule_of_csg_reaches_zero():
    assert step_size_factor(0, STEPS, held_from=1.0) == pytest.approx(0.01)
    assert step_size_factor(100, STEPS, held_from=1.0) == pytest.approx(0.9**0.9)
    assert step_size_factor(900, STEPS, held_from=1.0) == pytest.approx(0.1**0.9)
    assert step_size_factor(STEPS, STEPS, held_from=1.0) == 0


def test_a_shorter_warm_up_ends_earlier():
    assert step_size_factor(20, STEPS, held_from=1.0, warm_up=20) == pytest.approx((1 - 20 / STEPS) ** 0.9)


# Momentum -------------------------------------------------------------------------------------------------------------


def weight(value=1.0):
    return nn.Parameter(torch.tensor([value]))


def step(optimizer, parameter, gradient):
    parameter.grad = torch.tensor([gradient])
    optimizer.step()


def test_two_steps_by_hand():
    # Gradient 2 plus decay 0.5 times the weight: buffer 0.1 (2 + 0.5) = 0.25; then 0.9 x 0.25 + 0.01 (2 + 0.375).
    parameter = weight()
    optimizer = RollingSGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.5)
    step(optimizer, parameter, 2.0)
    assert parameter.item() == pytest.approx(0.75)
    optimizer.param_groups[0]["lr"] = 0.01
    step(optimizer, parameter, 2.0)
    assert parameter.item() == pytest.approx(0.75 - (0.225 + 0.02375))


def test_with_a_constant_step_size_it_is_torchs():
    ours, theirs = weight(), weight()
    one = RollingSGD([ours], lr=0.1, momentum=0.9, weight_decay=5e-4)
    other = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=5e-4)
    for gradient in (1.0, -0.5, 2.0):
        step(one, ours, gradient)
        step(other, theirs, gradient)
    torch.testing.assert_close(ours, theirs)


def test_a_group_whose_step_size_was_always_zero_does_not_move():
    still, moving = weight(), weight()
    groups = [{"params": [still], "lr": 0.0}, {"params": [moving]}]
    optimizer = RollingSGD(groups, lr=0.1, momentum=0.9, weight_decay=5e-4)
    still.grad = moving.grad = torch.tensor([1.0])
    for _ in range(3):
        optimizer.step()
    assert still.item() == 1.0
    assert moving.item() < 1.0


def test_a_group_that_is_stopped_rolls_on_by_nine_times_its_buffer():
    parameter = weight()
    optimizer = RollingSGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.0)
    step(optimizer, parameter, 1.0)
    stopped, buffer = parameter.item(), 0.1
    optimizer.param_groups[0]["lr"] = 0.0
    for _ in range(300):
        step(optimizer, parameter, 1.0)
    # 0.9 / (1 - 0.9) = 9
    assert stopped - parameter.item() == pytest.approx(9 * buffer, rel=1e-5)


def test_torchs_own_stops_at_once():
    parameter = weight()
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    step(optimizer, parameter, 1.0)
    optimizer.param_groups[0]["lr"] = 0.0
    step(optimizer, parameter, 1.0)
    assert parameter.item() == pytest.approx(0.9)


def test_momentum_goes_on_where_it_was_saved():
    one, other = weight(), weight()
    first, second = (RollingSGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.1) for parameter in (one, other))
    step(first, one, 1.0)
    with torch.no_grad():
        other.copy_(one)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    step(first, one, 0.5)
    step(second, other, 0.5)
    assert torch.equal(one, other)


# Proxy guidance -------------------------------------------------------------------------------------------------------


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_student_that_is_its_teacher_has_neither_loss_nor_gradient():
    logits = (3 * noise(4, 1000)).requires_grad_()
    loss = proxy_divergence(logits, logits.detach().softmax(1))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert logits.grad.abs().max().item() <= 1e-6


def test_it_is_the_teachers_certainty_that_a_student_who_knows_nothing_lacks():
    # KL(one-hot || uniform) = ln n; the other way round it has no end.
    teacher = torch.zeros(3, 1000)
    teacher[:, 7] = 1.0
    assert proxy_divergence(torch.zeros(3, 1000), teacher).item() == pytest.approx(math.log(1000), rel=1e-6)


def test_the_divergence_is_a_mean_over_images_and_a_sum_over_classes():
    # 3/4 ln(3/2) + 1/4 ln(1/2) for the first image, nothing for the second.
    teacher = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    wanted = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    assert proxy_divergence(torch.zeros(2, 2), teacher).item() == pytest.approx(wanted)


def test_no_gradient_reaches_the_teacher():
    teacher = noise(2, 5).softmax(1).requires_grad_()
    student = noise(2, 5, seed=1).requires_grad_()
    proxy_divergence(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize(("divergence", "value", "slope"), [(0.0, 0.0, 75.0), (0.1, 7.5, 75.0), (3.0, 9.0, 3.0)])
def test_the_value_is_bounded_and_the_gradient_shrinks_with_it(divergence, value, slope):
    # 75 x 3 exceeds 9: the weight becomes 9 / 3, and so does the slope, which a clamp would make 0.
    found = torch.tensor(divergence, requires_grad=True)
    loss = bounded(found, weight=75.0)
    loss.backward()
    assert (loss.item(), found.grad.item()) == pytest.approx((value, slope))
