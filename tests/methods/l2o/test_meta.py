"""Meta-training: gradients against autograd, truncation, curriculum, imitation, and resuming to the bit."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench.run import Run
from bench.training import Memory
from methods.l2o._learned import LearnedSolver
from methods.l2o._meta import LOGARITHM_ENDS, TEACHERS, Course, imitated, meta_train, slopes, unrolled
from methods.l2o.l2o_dm import L2ODM
from methods.l2o.l2o_rnnprop import L2ORNNprop, RNNprop
from methods.l2o.l2o_scale import L2OScale
from methods.l2o.l2o_swarm import L2OSwarm
from tasks.l2o import L2O
from tasks.l2o.functions import Functions, LeastSquares

QUADRATICS = Functions("quadratic", 4).draw(3, 5).to(torch.float64)
TASK = L2O(functions=4, function_steps=10)
TINY = {"updates": 6, "run_steps": 8, "unroll": 4, "batch": 4, "validation_functions": 2, "validate_every": 3}


class Slope(nn.Module):
    """The smallest optimiser with a memory: d = -rate g + momentum d of the step before."""

    particles = 1

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.03, dtype=torch.float64))
        self.momentum = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def begin(self, optimisees, generator):
        return optimisees.start, (torch.zeros_like(optimisees.start),)

    def step(self, seen, state):
        update = self.momentum * state[0] - self.rate * seen.gradient
        return update, (update,)


def ride(optimisees, net, teacher: str = "adam") -> Memory:
    x, state = net.begin(optimisees, torch.Generator())
    first = optimisees.value(x, 0)
    return Memory(done=0, x=x, first=first, state=state, kept=TEACHERS[teacher].begin(x))


def by_autograd(net: Slope, optimisees: LeastSquares, steps: int) -> list[Tensor]:
    """The values along an unroll, differentiable through f; the gradients that the optimiser is given are constants."""
    x, update, values = optimisees.start, torch.zeros_like(optimisees.start), []
    for _ in range(steps):
        free = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(optimisees.value(free).sum(), free)
        update = net.momentum * update - net.rate * gradient
        x = x + update
        values.append(optimisees.value(x))
    return values


META_LOSSES: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "sum": lambda values: torch.stack(values).sum(dim=0).mean(),
    "last": lambda values: values[-1].mean(),
    "log": lambda values: torch.stack([value.log() for value in values]).sum(dim=0).mean(),
}


@pytest.mark.parametrize("meta_loss", list(META_LOSSES))
def test_the_derivative_is_that_of_the_values_though_no_function_is_differentiated_through(meta_loss):
    net = Slope()
    loss, value = unrolled(net, QUADRATICS, ride(QUADRATICS, net), 7, L2ORNNprop(meta_loss=meta_loss))
    found = torch.autograd.grad(loss, list(net.parameters()))
    values = by_autograd(net, QUADRATICS, 7)
    expected = torch.autograd.grad(META_LOSSES[meta_loss](values), list(net.parameters()))
    assert torch.allclose(torch.stack(found), torch.stack(expected), rtol=1e-10)
    assert value.item() == pytest.approx(torch.stack(values).mean().item())


@pytest.mark.parametrize("meta_loss", ["sum", "last"])
def test_what_is_descended_is_the_meta_loss_itself(meta_loss):
    net = Slope()
    loss, _ = unrolled(net, QUADRATICS, ride(QUADRATICS, net), 7, L2ORNNprop(meta_loss=meta_loss))
    assert loss.item() == pytest.approx(META_LOSSES[meta_loss](by_autograd(net, QUADRATICS, 7)).item())


def test_the_logarithm_goes_on_as_a_straight_line_below_a_hundredth_of_the_first_value():
    first = torch.tensor([100.0, 100.0, 100.0, -100.0])
    values = torch.tensor([50.0, 0.5, -3.0, -3.0])
    assert LOGARITHM_ENDS == 0.01
    assert slopes(values, first, "log").tolist() == pytest.approx([1 / 50, 1, 1, 1])


def test_the_next_unroll_goes_on_from_the_last_point_and_no_derivative_goes_back():
    net, method = Slope(), L2ORNNprop()
    whole, parts = ride(QUADRATICS, net), ride(QUADRATICS, net)
    unrolled(net, QUADRATICS, whole, 6, method)
    unrolled(net, QUADRATICS, parts, 4, method)
    parts.x, parts.state = parts.x.detach(), tuple(part.detach() for part in parts.state)
    loss, _ = unrolled(net, QUADRATICS, parts, 2, method)
    assert (whole.done, parts.done) == (6, 6)
    assert torch.allclose(whole.x, parts.x)
    found = torch.autograd.grad(loss, list(net.parameters()))

    # The last two of six steps from constants, by autograd.
    x, update = QUADRATICS.start, torch.zeros_like(QUADRATICS.start)
    total = torch.zeros((), dtype=torch.float64)
    for step in range(6):
        if step == 4:
            x, update = x.detach(), update.detach()
        free = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(QUADRATICS.value(free).sum(), free)
        update = net.momentum * update - net.rate * gradient
        x = x + update
        total = total + (QUADRATICS.value(x).mean() if step >= 4 else 0)
    expected = torch.autograd.grad(total, list(net.parameters()))
    assert torch.allclose(torch.stack(found), torch.stack(expected), rtol=1e-10)


class Recorded(Slope):
    """Keeps what it is shown at the first step of each unroll."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[bool, bool]] = []

    def step(self, seen, state):
        self.shown.append((seen.x.requires_grad, state[0].requires_grad))
        return super().step(seen, state)


def test_training_cuts_the_derivative_between_unrolls():
    problem, _ = TASK.load("quadratic-10", "small", 0)
    net = Recorded()
    meta_train(LearnedSolver(net), problem, Run(seed=0), L2ORNNprop(**TINY))
    # Six unrolls of four steps, apart from evaluations, where nothing has a derivative: the first step's state has
    # none, that of the other three has; points never show theirs.
    assert not any(point for point, _ in net.shown)
    assert sum(state for _, state in net.shown) == 6 * 3


# Curriculum -----------------------------------------------------------------------------------------------------------


class Weight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))


CURRICULUM = L2ORNNprop(curriculum=True, stages=(100, 200, 500))
VERDICTS = [
    # losses of the evaluations after the stage's first one, 5.0; what each means
    ("it goes on while it improves, however long", [4.0, 3.0, 2.0, 1.0], ["on", "on", "on", "on"]),
    ("it goes on without improvement before the third evaluation", [4.0, 4.5], ["on", "on"]),
    ("the next stage comes at the third evaluation, improved before", [4.0, 4.5, 4.5], ["on", "on", "next stage"]),
    ("the next stage comes when a late one does not improve", [4.0, 3.0, 2.0, 2.0], ["on", "on", "on", "next stage"]),
    ("it is over if three evaluations never improved", [5.0, 6.0, 5.5], ["on", "on", "over"]),
    ("an evaluation that diverges is no improvement", [4.0, math.inf, math.inf], ["on", "on", "next stage"]),
]


@pytest.mark.parametrize(("losses", "verdicts"), [case[1:] for case in VERDICTS], ids=[case[0] for case in VERDICTS])
def test_a_stage_of_the_curriculum(losses, verdicts):
    course, net = Course(CURRICULUM), Weight()
    course.begin_stage(5.0, net)
    found = []
    for number, loss in enumerate(losses, start=1):
        net.weight.data.fill_(number)
        found.append(course.judge(loss, net))
    assert found == verdicts
    best = 0 if min(losses) >= 5.0 else 1 + losses.index(min(losses))
    assert course.kept["weight"].item() == best
    # The net has its best weights back where a stage ends.
    assert net.weight.item() == (len(losses) if found[-1] == "on" else best)


def test_runs_are_as_long_as_their_stage_and_evaluations_as_the_next_one():
    course, net = Course(CURRICULUM), Weight()
    lengths = [(course.length, course.evaluated_length)]
    for _ in range(2):
        course.begin_stage(5.0, net)
        assert [course.judge(loss, net) for loss in (4.0, 4.0, 4.0)][-1] == "next stage"
        lengths.append((course.length, course.evaluated_length))
    assert lengths == [(100, 200), (200, 500), (500, 500)]
    # Nothing comes after the last stage.
    course.begin_stage(5.0, net)
    assert [course.judge(loss, net) for loss in (4.0, 4.0, 4.0)][-1] == "over"


def test_without_a_curriculum_training_never_ends_early_and_keeps_its_best_weights():
    course, net = Course(L2ORNNprop(run_steps=70)), Weight()
    course.begin_stage(5.0, net)
    for number, loss in enumerate([6.0, 4.0, 7.0, 7.0, 7.0, 7.0], start=1):
        net.weight.data.fill_(number)
        assert course.judge(loss, net) == "on"
    assert (course.length, course.evaluated_length) == (70, 70)
    assert course.kept["weight"].item() == 2


def test_training_ends_with_the_weights_of_the_best_evaluation():
    # Adam's first step changes every weight by 10, after which x flies off: the start stays the best.
    problem, _ = TASK.load("quadratic-10", "small", 0)
    net = Slope()
    meta_train(LearnedSolver(net), problem, Run(seed=0), L2ORNNprop(**{**TINY, "lr": 10.0}))
    assert (net.rate.item(), net.momentum.item()) == (0.03, 0.5)


# Imitation ------------------------------------------------------------------------------------------------------------


def test_imitation_sums_half_the_mean_square_between_steps_while_the_teacher_drives():
    net, method = Slope(), L2ORNNprop(teacher="nag", teacher_lr=0.02)
    start = ride(QUADRATICS, net, "nag")
    loss, _ = imitated(net, QUADRATICS, start, 3, method)
    # The teacher by torch; the pupil on the teacher's gradients.
    x = QUADRATICS.start.clone().requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.02, momentum=0.9, nesterov=True)
    expected, update = 0.0, torch.zeros_like(x)
    for _ in range(3):
        before = x.detach().clone()
        optimizer.zero_grad()
        QUADRATICS.value(x).sum().backward()
        optimizer.step()
        update = 0.5 * update - 0.03 * x.grad
        expected += 0.5 * (x.detach() - before - update).square().mean().item()
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert torch.allclose(start.x, x, atol=1e-9)
    assert start.done == 3


IMITATES = {
    "run_steps": 20,
    "unroll": 20,
    "batch": 16,
    "validation_functions": 2,
    "validate_every": 1000,
    "imitation": True,
    "imitation_rates": (1.0,),
    "lr": 0.01,
}


def test_an_optimiser_that_only_imitates_learns_the_steps_of_adam():
    problem, _ = TASK.load("quadratic-10", "small", 0)
    net = RNNprop(torch.Generator().manual_seed(0))
    method = L2ORNNprop(**IMITATES, updates=120, teacher_lr=0.005)
    run = Run(seed=0)
    optimisees = problem.optimisees(16, 99)

    def distance() -> float:
        return imitated(net, optimisees, ride(optimisees, net), 20, method)[0].item()

    at_first = distance()
    # What is kept in the end is chosen by values; this is about the weights before.
    latest: dict[str, Tensor] = {}

    def keep(_: str, step: int) -> None:
        if step == 119:
            latest.update({name: value.clone() for name, value in net.state_dict().items()})

    run = Run(seed=0, on_step=keep)
    meta_train(LearnedSolver(net), problem, run, method)
    net.load_state_dict(latest)
    # Steps of 0.005 have half a square of 1.25e-5, 2.5e-4 for twenty: less than a tenth of that remains.
    assert distance() < 2.5e-5 < at_first
    assert "meta-train/loss" not in run.curves()


def test_a_share_of_the_runs_is_driven_by_the_teacher_and_by_stages():
    problem, _ = TASK.load("quadratic-10", "small", 0)
    method = L2ODM(**{**TINY, "updates": 200, "run_steps": 4, "validate_every": 1000}, imitation=True)
    for rates, expected in [((0.0, 1.0), 0), ((1.0,), 200), ((0.3,), 60)]:
        curves = Run(seed=0)
        replace(method, imitation_rates=rates).fit(problem, curves)
        found = curves.curves().get("meta-train/imitation")
        # 60 of 200 within three deviations.
        assert (0 if found is None else len(found.x)) == pytest.approx(expected, abs=20 if expected == 60 else 0)


# Losing a run, and dying ----------------------------------------------------------------------------------------------


def test_an_unroll_that_is_not_finite_ends_its_run_and_teaches_nothing():
    problem, _ = TASK.load("quadratic-10", "small", 0)
    net = Slope()
    with torch.no_grad():
        net.rate.fill_(1e30)
    run = Run(seed=0)
    meta_train(LearnedSolver(net), problem, run, L2ORNNprop(**TINY))
    assert run.curves()["meta-train/lost"].y == [1, 2, 3, 4, 5, 6]
    assert "meta-train/loss" not in run.curves()
    assert net.rate.item() == pytest.approx(1e30)


EVENTFUL = {
    "updates": 40,
    "unroll": 4,
    "batch": 3,
    "validation_functions": 2,
    "validate_every": 2,
    "curriculum": True,
    "stages": (8, 12, 16),
    "imitation": True,
    "imitation_rates": (0.5,),
}
# Step sizes at which evaluations get worse now and then, so that a stage ends.
RESTLESS = [L2ODM(**EVENTFUL, lr=0.003), L2ORNNprop(**EVENTFUL, lr=0.1), L2OScale(**EVENTFUL, lr=0.01)]
RESTLESS += [L2OSwarm(**EVENTFUL, lr=0.003)]


@pytest.mark.parametrize("method", RESTLESS, ids=["dm", "rnnprop", "scale", "swarm"])
def test_meta_training_that_is_killed_again_and_again_ends_with_the_same_weights(method, killed_again_and_again):
    problem, _ = TASK.load("rastrigin-2", "small", 0)
    whole = Run(seed=7)
    expected = method.fit(problem, whole).state_dict()

    resumed, run = killed_again_and_again(method, problem, longest=5)
    assert {"meta-train/imitation", "meta-train/loss"} <= whole.curves().keys()
    assert whole.curves()["meta-train/run_length"].y[-1] > 8
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert run.curves() == whole.curves()
