"""Self-PU: its three parts against closed forms, and what a fit with and without each of them must and must not do."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import entropy as scipy_entropy
from torch import Tensor, nn

from bench import UserError
from bench.run import Run
from methods.pu._risks import pu_parts
from methods.pu.nnpu import NNPU
from methods.pu.self_pu import SelfPU
from methods.pu.self_pu.calibration import benefits, entropy, instance_weights, slope, traceless, weighted_parts
from methods.pu.self_pu.distillation import average, consistency_weight, distance, gated
from methods.pu.self_pu.judges import halves
from methods.pu.self_pu.selection import prior_of_rest, rest, trust, trusted_per_class
from methods.pu.self_pu.turns import View, shuffled, turns
from tasks.pu import PU, PUProblem, Trajectory
from tasks.pu.networks import build

# Selection ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "counts"),
    [(0.4, [1200, 2400, 3600, 4800]), (0.6, [1800, 3600, 5400, 7200]), (0.5, [1500, 3000, 4500, 6000])],
)
def test_on_mnist_the_published_numbers_of_images_are_trusted(top, counts):
    assert [trusted_per_class(60_000, epoch, top) for epoch in (10, 20, 30, 40)] == counts


def test_the_pace_is_at_its_top_from_epoch_100_on_and_numbers_are_cut():
    # 0.5 x 0.4 of 3,207 is 641.4.
    assert trusted_per_class(3207, 100, 0.4) == trusted_per_class(3207, 150, 0.4) == 641


SCORES = torch.tensor([0.3, -2.0, 5.0, 0.1, -0.4, 2.5, -7.0])


def test_the_lowest_scores_are_trusted_as_negatives_and_the_highest_as_positives():
    indices, labels = trust(SCORES, 2)
    assert set(zip(indices.tolist(), labels.tolist(), strict=True)) == {(6, 0), (1, 0), (5, 1), (2, 1)}


@given(st.lists(st.floats(-6, 6), min_size=2, max_size=30), st.data())
def test_trusted_images_are_twice_the_number_and_the_rest_is_the_rest(values, data):
    per_class = data.draw(st.integers(0, len(values) // 2))
    indices, labels = trust(torch.tensor(values), per_class)
    left = rest(len(values), indices)
    assert len(indices) == len(labels) == 2 * per_class
    assert not set(indices.tolist()) & set(left.tolist())
    assert sorted([*indices.tolist(), *left.tolist()]) == list(range(len(values)))


def test_a_monotone_transform_of_the_scores_trusts_the_same_images():
    first, _ = trust(SCORES, 3)
    second, _ = trust(SCORES.mul(3).exp(), 3)
    assert first.tolist() == second.tolist()


def test_equal_scores_are_trusted_in_their_order():
    indices, _ = trust(torch.zeros(1000), 2)
    assert indices.tolist() == [0, 1, 998, 999]


def test_the_prior_of_the_rest_counts_what_is_left():
    # 40 of 100 are positive; twelve of each class go: 28 of 76.
    assert prior_of_rest(0.4, 100, 12) == pytest.approx(28 / 76)


# Distillation ---------------------------------------------------------------------------------------------------------

ONE, TWO = torch.tensor([0.0, 1.0, -3.0], requires_grad=True), torch.tensor([2.0, 1.0, 0.5], requires_grad=True)


def test_the_distance_is_the_mean_square_of_the_probabilities_and_teaches_the_student_alone():
    found = distance(ONE, TWO, "sigmoid")
    expected = np.mean((expit([0, 1, -3]) - expit([2, 1, 0.5])) ** 2)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    by_student, by_target = torch.autograd.grad(found, (ONE, TWO), allow_unused=True)
    assert by_student.abs().sum() > 0
    assert by_target is None


def test_the_released_consistency_is_zero_for_any_two_networks_and_so_is_its_gradient():
    found = distance(ONE, TWO, "softmax")
    (gradient,) = torch.autograd.grad(found, ONE)
    assert found.item() == 0
    assert gradient.abs().max() == 0
    assert distance(ONE, TWO, "sigmoid").item() > 0.05


def test_the_gate_lets_small_distances_pass_and_no_others():
    risk = torch.tensor(0.5)
    assert gated(torch.tensor(0.049), risk, 0.1).item() == pytest.approx(0.049)
    assert gated(torch.tensor(0.051), risk, 0.1).item() == 0
    assert gated(torch.tensor(1e-9), risk, 0.0).item() == 0


@pytest.mark.parametrize(
    ("epoch", "weight"), [(50.0, 0.0033), (199.0, 0.0566), (430.0, 0.3), (900.0, 0.3), (0.0, 0.0020)]
)
def test_the_consistency_counts_as_published(epoch, weight):
    # 0.3 exp(-5 (1 - 20/400)^2) at epoch 50, 0.3 exp(-5 x 0.5775^2) at 199; 0.3 exp(-5) before 30, 0.3 from 430 on.
    assert consistency_weight(epoch) == pytest.approx(weight, abs=5e-5)


def test_a_teacher_is_the_mean_of_the_students_that_it_saw():
    teacher, student = (nn.Linear(3, 2).double().requires_grad_(False) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    snapshots = torch.randn(7, 2, 3, generator=generator, dtype=torch.float64)
    for updates, weights in enumerate(snapshots):
        student.weight.copy_(weights)
        average(teacher, student, updates)
        if not updates:
            assert torch.equal(teacher.weight, weights)  # the first update copies, whatever was there
    torch.testing.assert_close(teacher.weight, snapshots.mean(0), rtol=1e-12, atol=1e-14)


def test_a_teacher_keeps_at_most_999_parts_of_itself_in_a_thousand():
    teacher, student = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.zeros_(teacher.weight)
    nn.init.ones_(student.weight)
    average(teacher, student, 10_000)
    assert teacher.weight.item() == pytest.approx(0.001)


# Calibration ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [-30.0, -1.3, 0.0, 0.2, 4.0])
def test_the_entropy_is_that_of_a_coin(score):
    p = expit(score)
    assert entropy(torch.tensor([score], dtype=torch.float64)).item() == pytest.approx(
        scipy_entropy([p, 1 - p]), abs=1e-12
    )


def test_an_undecided_image_has_an_entropy_of_log_two():
    assert entropy(torch.zeros(1)).item() == pytest.approx(0.6931, abs=5e-5)


class Column(nn.Module):
    """The one score an image of a network with a single output."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).squeeze(1)


def small_net(batch_norm: bool) -> nn.Module:
    torch.manual_seed(5)
    between = [nn.BatchNorm1d(7)] if batch_norm else []
    return Column(nn.Linear(4, 7), *between, nn.Tanh(), nn.Linear(7, 1)).double()


def pictures(seed: int, number: int) -> Tensor:
    return torch.randn(number, 1, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PRIOR, POSITIVES = 0.4, 3
BATCH, HELD_OUT = pictures(0, 10), pictures(1, 9)


def held_out_loss(values: Tensor) -> Tensor:
    return sum(pu_parts(values[:4], values[4:], PRIOR), torch.zeros(()))


def judged_after_the_step(net: nn.Module, weights: Tensor, lr: float) -> float:
    """What the judge loses after a real step down the weighted loss, written out: Section 5.2 of the sheet."""
    parameters = dict(net.named_parameters())
    values = traceless(net, parameters, BATCH)
    positive, unlabelled = values[:POSITIVES], values[POSITIVES:]
    pu = weights[:, 0]
    risk = PRIOR * (pu[:POSITIVES] * torch.sigmoid(-positive)).mean()
    risk = risk + (pu[POSITIVES:] * torch.sigmoid(unlabelled)).mean()
    risk = risk - PRIOR * (pu[:POSITIVES] * torch.sigmoid(positive)).mean()
    p = values.sigmoid()
    coin = -(p * p.log() + (1 - p) * (1 - p).log())
    inner = risk + (weights[:, 1] * coin).mean()
    slopes = torch.autograd.grad(inner, list(parameters.values()))
    ahead = {name: value - lr * by for (name, value), by in zip(parameters.items(), slopes, strict=True)}
    return held_out_loss(traceless(net, ahead, HELD_OUT)).item()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_benefits_are_the_finite_differences_of_the_look_ahead(batch_norm):
    net, lr, small = small_net(batch_norm), 0.1, 1e-4
    found = benefits(net, BATCH, POSITIVES, slope(net, HELD_OUT, held_out_loss), lr, 1.0)
    for image in range(POSITIVES, len(BATCH)):
        for column in (0, 1):
            weights = torch.zeros(len(BATCH), 2, dtype=torch.float64)
            weights[image, column] = small
            up = judged_after_the_step(net, weights, lr)
            down = judged_after_the_step(net, -weights, lr)
            # Central differences of step 1e-4 are off by its square and by rounding, 1e-16 / 1e-4.
            assert found[image - POSITIVES, column].item() == pytest.approx(-(up - down) / (2 * small), abs=1e-9)


def test_a_step_with_no_weight_leads_nowhere():
    net = small_net(False)
    here = held_out_loss(traceless(net, dict(net.named_parameters()), HELD_OUT)).item()
    assert judged_after_the_step(net, torch.zeros(len(BATCH), 2, dtype=torch.float64), 0.1) == here


def test_the_reversed_look_ahead_turns_the_benefit_of_the_entropy_round():
    net = small_net(False)
    judged = slope(net, HELD_OUT, held_out_loss)
    same, turned = (benefits(net, BATCH, POSITIVES, judged, 0.1, sign) for sign in (1.0, -1.0))
    torch.testing.assert_close(turned, same * torch.tensor([1.0, -1.0]))


def test_looking_ahead_leaves_the_network_and_its_batch_statistics_alone():
    net = small_net(True)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    benefits(net, BATCH, POSITIVES, slope(net, HELD_OUT, held_out_loss), 0.1, 1.0)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


GAINS = torch.tensor([[1.0, 3.0], [2.0, -1.0], [-1.0, 2.0], [-1.0, -1.0], [1.0, 1.0]])


def test_weights_are_the_gains_above_zero_made_to_sum_to_one():
    weights = instance_weights(GAINS, 5.0)
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75], [1, 0], [0, 1], [1, 0], [0.5, 0.5]]))


def test_the_entropies_weigh_no_more_than_their_share_and_go_to_the_first_of_the_batch():
    # Shares of 0.75, 0, 1, 0 and 0.5: with 2 to spend the last one is refused, with 1.7 the third and all after it.
    assert instance_weights(GAINS, 2.0)[:, 1].tolist() == pytest.approx([0.75, 0, 1, 0, 0])
    assert instance_weights(GAINS, 1.7)[:, 1].tolist() == pytest.approx([0.75, 0, 0, 0, 0])
    assert instance_weights(GAINS, 0.0)[:, 1].tolist() == [0] * 5


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=20), st.floats(0, 3))
def test_weights_of_an_image_sum_to_one_and_those_of_entropies_to_at_most_their_share(gains, most):
    weights = instance_weights(torch.tensor(gains, dtype=torch.float64), most)
    assert weights.sum(1).tolist() == pytest.approx([1.0] * len(gains))
    assert weights.min() >= 0
    assert weights[:, 1].sum() <= most + 1e-9


def test_the_scale_of_the_judges_loss_does_not_matter():
    net = small_net(False)
    found = [
        instance_weights(
            benefits(net, BATCH, POSITIVES, slope(net, HELD_OUT, lambda v, s=scale: s * held_out_loss(v)), 0.1, 1.0),
            5.0,
        )
        for scale in (1.0, 1000.0)
    ]
    # The 1e-10 beside gains of about 1e-3 is what differs.
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)


def test_a_judge_who_does_not_care_leaves_every_image_its_pu_loss():
    net = small_net(False)
    judged = slope(net, HELD_OUT, lambda values: 0 * values.sum() + 3)
    weights = instance_weights(benefits(net, BATCH, POSITIVES, judged, 0.1, 1.0), 5.0)
    assert weights.tolist() == [[1.0, 0.0]] * (len(BATCH) - POSITIVES)


def test_a_weight_multiplies_the_loss_of_its_image():
    # Scores of log 3 lose 1/4 as positives and 3/4 as negatives, scores of 0 a half: the unlabelled part is
    # (0.2 x 3/4 + 1/2) / 2 = 0.325, less 0.4 x 3/4.
    log3 = float(np.log(3))
    parts = weighted_parts(torch.tensor([log3]), torch.tensor([log3, 0.0]), torch.tensor([0.2, 1.0]), 0.4)
    assert [part.item() for part in parts] == pytest.approx([0.1, 0.025])


# Fits -----------------------------------------------------------------------------------------------------------------

TASK = PU(positives=50, validation=0.2, width=0.25, selection="last")
BATCHES = {"batch_positive": 6, "batch_unlabelled": 250, "calibration_positive": 8, "calibration_unlabelled": 64}
OFF = {"self_paced": False, "calibration": "none", "distillation": False}
SHORT = SelfPU(epochs=8, start=25, stop=125, every=25, **BATCHES)
"""Epoch 1 to 4 at a pace, 5 to 7 distilled."""


def fit(method, problem: PUProblem, seed: int = 0, **words) -> tuple[nn.Module, Run]:
    run = Run(seed=seed, **words)
    return method.fit(problem, run), run


def problem_of(**settings) -> PUProblem:
    return replace(TASK, **settings).load("digits", "smoke", 0)[0]


def passed(method, **settings) -> list[dict[str, Tensor]]:
    """The weights of all networks after each epoch."""
    solution, _ = fit(method, problem_of(trajectory=True, **settings))
    assert isinstance(solution, Trajectory)
    return [dict(weights) for weights in solution.passed]


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_without_its_parts_and_with_a_constant_step_it_is_nnpu_to_the_bit():
    problem = problem_of()
    # Four batches of 250 and nothing left over.
    problem = replace(problem, unlabelled=problem.unlabelled[:1000], oracle_labels=problem.oracle_labels[:1000])
    nnpu, _ = fit(NNPU(epochs=6, batch_positive=6, batch_unlabelled=250), problem)
    self_pu, _ = fit(replace(SHORT, epochs=6, final_lr=1.0, **OFF), problem)
    assert same(nnpu.state_dict(), self_pu.state_dict())


@pytest.mark.parametrize(
    "change",
    [
        {"self_paced": True},
        {"calibration": "pu"},
        {"distillation": True},
        {"final_lr": 0.0},
        {"beta": 0.3},
        {"gamma": 0.1},
        {"weight_decay": 1.0},
    ],
    ids=str,
)
def test_each_part_changes_the_fit(change):
    plain = replace(SHORT, epochs=20, **(OFF | {"final_lr": 1.0}))
    assert not same(passed(plain)[-1], passed(replace(plain, **change))[-1])


@pytest.mark.parametrize(
    "change",
    [
        {"in_and_out": False},
        {"soft_labels": True},
        {"update_prior": True},
        {"pace": 0.3},
        {"pace_gap": 0.0},
        {"calibration": "none"},
        {"lookahead_sign": "reversed"},
        {"entropy_share": 0.5},
        {"gate": 100.0},
        {"teachers": False},
        {"consistency": "softmax"},
    ],
    ids=str,
)
def test_each_switch_inside_a_part_changes_the_fit(change):
    # Of the first student, after the last epoch: four networks with teachers, two without.
    whole, changed = passed(SHORT), passed(replace(SHORT, **change))
    assert not same(whole[-4], changed[-2 if change == {"teachers": False} else -4])


def test_two_equal_students_at_one_pace_stay_equal(monkeypatch):
    monkeypatch.setattr(PUProblem, "build_network", lambda self, number=0: build("mlp-small", (1, 8, 8), 0.25, 3))
    weights = passed(replace(SHORT, pace_gap=0.0, calibration="none"))
    assert len(weights) == 5 * 2 + 3 * 4
    assert same(weights[-4], weights[-3])
    assert same(weights[-2], weights[-1])
    unequal = passed(replace(SHORT, pace_gap=0.1, calibration="none"))
    assert not same(unequal[-4], unequal[-3])


def test_students_that_follow_the_released_consistency_follow_nobody():
    zero, none = passed(replace(SHORT, consistency="softmax")), passed(replace(SHORT, teachers=False))
    assert same(zero[-4], none[-2])
    assert same(zero[-3], none[-1])


def test_before_they_are_taught_students_and_their_schedule_are_alone():
    # Up to the end of the pace, epoch 4, two students are two runs that differ in their start and pace alone.
    both = passed(replace(SHORT, calibration="none"))
    alone = passed(replace(SHORT, calibration="none", distillation=False, pace=0.4))
    for epoch in range(5):
        assert same(both[2 * epoch], alone[epoch])


def test_trusted_images_are_counted_and_stay_after_the_pace():
    _, run = fit(SHORT, problem_of())
    # 1,151 unlabelled digits. Of 200 epochs, 25, 50, 75 and 100 fall on 1 to 4: shares 0.25, 0.5, 0.75 and 1 of the
    # slower student's 0.4 / 2, so 57, 115, 172 and 230 of each class.
    assert run.curves()["trusted"].y == [0, 114, 230, 344, 460, 460, 460, 460]


@pytest.mark.parametrize(("epochs", "phases"), [(200, [10, 40, 150]), (100, [5, 20, 75]), (20, [1, 4, 15])])
def test_shorter_runs_scale_the_schedule(epochs, phases):
    assert [last - first for _, first, last in SelfPU(epochs=epochs)._phases()] == phases


def students_that_trust(*trusted: list[int]) -> list:
    method, problem = SelfPU(batch_unlabelled=4), problem_of()
    students = [method._student(problem, Run(seed=0), number) for number in range(len(trusted))]
    for student, indices in zip(students, trusted, strict=True):
        student.trusted.indices = torch.tensor(indices)
    return students


def test_apart_each_student_passes_once_over_what_it_does_not_trust():
    students = students_that_trust([3, 5, 0, 10], [3, 5, 0, 10, 1, 2, 6])
    batches = list(turns(students, False, 11, 4, 42))
    # Seven images in two batches, four in one: then the first student goes on alone.
    assert [[len(indices) for _, indices, _ in turn] for turn in batches] == [[4, 4], [3]]
    order = shuffled(11, 42).tolist()
    for student in students:
        seen = [i for turn in batches for one, indices, _ in turn if one is student for i in indices.tolist()]
        assert seen == [i for i in order if i not in student.trusted.indices.tolist()]
    assert all(len(indices) == len(learned) for turn in batches for _, indices, learned in turn)


def test_together_they_see_the_same_and_learn_from_what_they_do_not_trust():
    students = students_that_trust([3, 5, 0], [3, 5, 1, 2])
    batches = list(turns(students, True, 11, 4, 42))
    for turn in batches:
        assert turn[0][1].tolist() == turn[1][1].tolist()
    for number, student in enumerate(students):
        learned = [turn[number][1][turn[number][2]].tolist() for turn in batches]
        assert sorted(itertools.chain(*learned)) == sorted(set(range(11)) - set(student.trusted.indices.tolist()))
    seen = torch.cat([turn[0][1] for turn in batches]).tolist()
    assert sorted(seen) == [i for i in range(11) if i not in (3, 5)]


def test_a_student_learns_from_the_positives_and_from_its_places_alone():
    (student,) = students_that_trust([])
    view = View(student, torch.zeros(6, 1, 8, 8), torch.zeros(6), 2, torch.tensor([1, 3]), None)
    assert view.own(torch.tensor([10.0, 11, 20, 21, 22, 23])).tolist() == [10, 11, 21, 23]
    whole = replace(view, learned=torch.arange(4))
    assert whole.own(torch.tensor([10.0, 11, 20, 21, 22, 23])).tolist() == [10, 11, 20, 21, 22, 23]


def test_trust_that_is_never_taken_back_keeps_its_images_and_labels():
    problem = problem_of()
    first = {3: 1.0, 8: 0.0, 40: 0.0, 77: 1.0}
    found = []
    for in_and_out in (False, True):
        method = replace(SHORT, in_and_out=in_and_out)
        student = method._student(problem, Run(seed=0), 0)
        student.trusted.indices, student.trusted.labels = torch.tensor(list(first)), torch.tensor(list(first.values()))
        method._select(student, problem, problem.unlabelled, 50)
        found.append(dict(zip(student.trusted.indices.tolist(), student.trusted.labels.tolist(), strict=True)))
    assert len(found[0]) == len(found[1]) == 2 * 115
    assert first.items() <= found[0].items()
    assert not first.items() <= found[1].items()


VARIANTS = {
    "whole": (SHORT, {}),
    "paced": (replace(SHORT, calibration="none", distillation=False, in_and_out=False), {"selection": "pu-risk"}),
    "clean": (replace(SHORT, calibration="clean", soft_labels=True), {"clean_labels": 20, "trajectory": True}),
    "test-inputs": (replace(SHORT, calibration="test-inputs", update_prior=True), {"test_inputs": True}),
}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", VARIANTS)
def test_a_fit_that_is_killed_at_random_steps_ends_with_the_same_weights(name, tmp_path):
    method, settings = VARIANTS[name]
    problem = problem_of(**settings)
    steps: list[tuple[str, int]] = []
    whole, whole_run = fit(method, problem, on_step=lambda phase, done: steps.append((phase, done)))
    for deadline in sorted(random.Random(name).sample(steps[:-1], 5), key=steps.index):

        def kill(phase: str, done: int, deadline: tuple[str, int] = deadline) -> None:
            if (phase, done) == deadline:
                raise KilledError

        with pytest.raises(KilledError):
            fit(method, problem, checkpoints=tmp_path, save_every_s=0, on_step=kill)
    resumed, resumed_run = fit(method, problem, checkpoints=tmp_path, save_every_s=0)
    assert same(whole.state_dict(), resumed.state_dict())
    assert whole_run.curves() == resumed_run.curves()
    assert whole_run.artefacts == resumed_run.artefacts
    if isinstance(whole, Trajectory):
        assert all(same(dict(one), dict(two)) for one, two in zip(whole.passed, resumed.passed, strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_true_labels_are_read_by_the_oracle_alone(name):
    method, settings = VARIANTS[name]
    problem = problem_of(**settings)
    flipped = replace(problem, oracle_labels=-problem.oracle_labels)
    if problem.clean:
        flipped = replace(flipped, clean=replace(problem.clean, labels=-problem.clean.labels))
    first, second = fit(method, problem)[0], fit(method, flipped)[0]
    assert same(first.state_dict(), second.state_dict()) == (name != "clean")


@pytest.mark.parametrize(
    ("calibration", "setting"), [("clean", "clean_labels=100"), ("test-inputs", "test_inputs=true")]
)
def test_a_judge_that_the_problem_does_not_have_is_asked_for(calibration, setting):
    with pytest.raises(UserError, match=f"calibration={calibration} needs .* --set pu.{setting}"):
        fit(replace(SHORT, calibration=calibration), problem_of())


def test_images_that_calibrate_do_not_choose():
    problem = problem_of()
    judging, choosing = halves(problem)
    pairs = [(judging.validation_positive, choosing.validation_positive)]
    pairs += [(judging.validation_unlabelled, choosing.validation_unlabelled)]
    with pytest.raises(UserError, match="needs two validation positives, got 1"):
        halves(replace(problem, validation_positive=problem.validation_positive[:1]))
    for (one, two), whole in zip(pairs, (problem.validation_positive, problem.validation_unlabelled), strict=True):
        assert len(one) + len(two) == len(whole)
        assert abs(len(one) - len(two)) <= 1
        assert not {row.numpy().tobytes() for row in one} & {row.numpy().tobytes() for row in two}
