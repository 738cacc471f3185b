"""The methods of transfer: what moves, what must not, and what each is when its own part is switched off."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench import UserError
from bench.run import Run
from methods.syn2real import synaptic_intelligence
from methods.syn2real._policy import RatePolicy, observation
from methods.syn2real._schedule import step_size_factor
from methods.syn2real._sgd import RollingSGD
from methods.syn2real._training import Candidates, Recipe, Training
from methods.syn2real.asg import ASG
from methods.syn2real.asg import actor as acting
from methods.syn2real.asg.actor import Actor, Lessons
from methods.syn2real.csg import CSG
from methods.syn2real.feature_l2 import feature_distance
from methods.syn2real.fine_tuning import FineTuning
from methods.syn2real.frozen import Frozen
from methods.syn2real.synaptic_intelligence import importances, weighted_drift
from methods.syn2real.weight_l2 import WeightL2, drift
from tasks.syn2real import Network, Syn2Real, Syn2RealProblem, Transfer
from tasks.syn2real.backbones import Backbone
from tasks.syn2real.backbones.dense import build_dense

SMALL = Syn2Real(side=32, drawn_per_class=4, target_per_class=2, height=64, crop=64, source_scenes=4, target_scenes=2)
SHORT = {"steps": 2, "batch": 4, "lr": 1e-2, "warm_up": 1, "checks": 1}
DENSE = {"dense_steps": 3, "dense_batch": 2, "dense_lr": 1e-2, "warm_up": 1, "checks": 1}


@pytest.fixture(scope="module")
def problem() -> Syn2RealProblem:
    return SMALL.load("font-digits-to-mnist5k", "smoke", 0)[0]


@pytest.fixture(scope="module")
def scenes() -> Syn2RealProblem:
    return SMALL.load("streets-to-streets-shifted", "smoke", 0)[0]


@pytest.fixture(scope="module")
def vanilla(problem) -> dict[str, Tensor]:
    return weights_of(FineTuning(**SHORT).fit(problem, Run(seed=0)))


def weights_of(solution: Transfer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in solution.network.state_dict().items()}


def differing(left: dict[str, Tensor], right: dict[str, Tensor]) -> list[str]:
    return [name for name in left if not torch.equal(left[name], right[name])]


# A part switched off --------------------------------------------------------------------------------------------------


def test_guidance_of_nothing_is_fine_tuning_to_the_bit(problem, vanilla):
    fixed = ASG(**SHORT, policy="fixed", guidance=0.0).fit(problem, Run(seed=0))
    assert not differing(weights_of(fixed), vanilla)


def test_contrast_of_nothing_without_views_is_fine_tuning_to_the_bit_at_the_same_schedule(problem):
    # Of four updates the last comes after half: where step sizes are held from there, it is a larger one.
    longer = SHORT | {"steps": 4, "held_from": 0.5}
    vanilla = weights_of(FineTuning(**longer).fit(problem, Run(seed=0)))
    method = CSG(**longer, guidance=0.0, augment=False, queue=8)
    assert not differing(weights_of(method.fit(problem, Run(seed=0))), vanilla)
    falling = weights_of(replace(method, held_from=1.0).fit(problem, Run(seed=0)))
    assert differing(falling, vanilla)


def test_step_sizes_are_held_as_in_each_paper(problem):
    rates = {}
    for recipe in (FineTuning(steps=1000), ASG(steps=1000), CSG(steps=1000)):
        training = Training(problem, Run(seed=0), recipe, problem.build_network())
        training.hand_tuned(900)
        rates[type(recipe)] = training.optimizer.param_groups[-1]["lr"] / recipe.lr
    assert rates == pytest.approx({FineTuning: 0.2**0.9, ASG: 0.2**0.9, CSG: 0.1**0.9})


def test_a_penalty_of_nothing_is_fine_tuning(problem, vanilla):
    assert not differing(weights_of(WeightL2(**SHORT, weight=0.0).fit(problem, Run(seed=0))), vanilla)


@pytest.mark.parametrize(
    "method",
    [
        ASG(**SHORT, policy="fixed", guidance=1.0),
        CSG(**SHORT, guidance=1.0, augment=False, queue=8),
        WeightL2(**SHORT, weight=10.0),
    ],
    ids=lambda method: type(method).__name__,
)
def test_a_part_that_is_on_leads_elsewhere(problem, vanilla, method):
    moved = differing(weights_of(method.fit(problem, Run(seed=0))), vanilla)
    assert "net.backbone.trunk.head_convolution.convolution.weight" in moved


@pytest.mark.parametrize("policy", ["fixed", "random"])
def test_guidance_of_scenes_is_bounded_under_a_policy_alone(scenes, policy):
    method = ASG(**DENSE, policy=policy, dense_window=1)

    def fitted(bound: float) -> dict[str, Tensor]:
        # The head's dropout draws from torch's own generator.
        torch.manual_seed(0)
        return weights_of(replace(method, dense_bound=bound).fit(scenes, Run(seed=0)))

    assert bool(differing(fitted(1e6), fitted(1e-9))) is (policy == "random")


# What moves, and what must not ----------------------------------------------------------------------------------------


def test_fine_tuning_moves_all_but_the_old_head_and_the_statistics(problem, vanilla):
    first = problem.build_network().state_dict()
    moved = set(differing(vanilla, first))
    still = set(first) - moved
    assert all("old_head" in n or "running" in n or "num_batches" in n for n in still)
    assert not any("old_head" in name or "running" in name for name in moved)


@pytest.mark.parametrize("dataset", ["font-digits-to-mnist5k", "streets-to-streets-shifted"])
def test_a_frozen_backbone_is_imagenets_to_the_bit(dataset):
    problem, _ = SMALL.load(dataset, "smoke", 0)
    solution = Frozen(**SHORT, dense_steps=2, dense_batch=2).fit(problem, Run(seed=0))
    moved = differing(weights_of(solution), dict(problem.build_network().state_dict()))
    assert moved and all(name.startswith("net.head.") for name in moved)


def test_the_teachers_of_asg_and_csg_do_not_move(problem, monkeypatch):
    teachers = []
    built = Syn2RealProblem.teacher

    def remembered(self):
        teachers.append(built(self))
        return teachers[-1]

    monkeypatch.setattr(Syn2RealProblem, "teacher", remembered)
    ASG(**SHORT, policy="random", window=1).fit(problem, Run(seed=0))
    CSG(**SHORT, queue=8).fit(problem, Run(seed=0))
    before = built(problem).state_dict()
    assert len(teachers) == 2
    for teacher in teachers:
        assert not differing(teacher.state_dict(), before)


def test_a_step_size_of_nothing_from_the_first_step_leaves_a_group_alone(problem):
    run = Run(seed=0)
    training = Training(problem, run, Recipe(**SHORT), problem.build_network())
    first = [p.detach().clone() for p in training.parameters["stem"]]
    shares = dict.fromkeys(training.parameters, 1.0) | {"stem": 0.0}
    for step in run.steps(2, training.state):
        training.rates(1.0, shares)
        images, labels = training.batch()
        training.update(step, problem.loss(training.network(images), labels))
    assert all(torch.equal(p, then) for p, then in zip(training.parameters["stem"], first, strict=True))


def test_hand_tuned_step_sizes_are_a_tenth_in_the_backbone(problem):
    training = Training(problem, Run(seed=0), Recipe(steps=200, lr=2.0), problem.build_network())
    training.hand_tuned(100)
    rates = [group["lr"] for group in training.optimizer.param_groups]
    # After 100 steps of warm-up, half of all: 2 x 0.5^0.9 for the head.
    assert rates[-1] == pytest.approx(2 * 0.5**0.9)
    assert rates[:-1] == pytest.approx([0.2 * 0.5**0.9] * 6)


@pytest.mark.parametrize(
    ("method", "dense"), [(FineTuning, torch.optim.SGD), (ASG, torch.optim.SGD), (CSG, RollingSGD)]
)
def test_momentum_of_scenes_is_each_papers_and_of_images_both_papers_own(problem, scenes, method, dense):
    for given, wanted in ((problem, RollingSGD), (scenes, dense)):
        training = Training(given, Run(seed=0), method(), given.build_network())
        assert type(training.optimizer) is wanted


def test_contrast_of_nothing_is_fine_tuning_of_scenes_with_the_same_momentum(scenes):
    vanilla = FineTuning(**DENSE, held_from=1.0, dense_optimizer="rolling-sgd")
    method = CSG(**DENSE, guidance=0.0, dense_guidance=0.0, augment=False, dense_queue=160)
    fitted = []
    for each in (vanilla, method):
        torch.manual_seed(0)
        fitted.append(weights_of(each.fit(scenes, Run(seed=0))))
    assert not differing(*fitted)


def test_stages_that_there_are_not_are_refused(problem):
    with pytest.raises(UserError, match="stages must be 3, 4 or both"):
        CSG(**SHORT, stages=(2,)).fit(problem, Run(seed=0))


@pytest.mark.parametrize("augment", [True, False])
def test_views_differ_with_augmentation_alone_and_depend_on_the_seed_alone(problem, augment):
    method = CSG(augment=augment)
    images = problem.images[:16]
    query, key = method._views(images, False, 5)
    again, _ = method._views(images, False, 5)
    assert torch.equal(query, again)
    assert torch.equal(query, key) is not augment


# Penalties ------------------------------------------------------------------------------------------------------------


def test_drifts_are_sums_of_squares():
    now, then = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])], [torch.tensor([0.0, 0.0]), torch.tensor([[1.0]])]
    assert drift(now, then) == 1 + 4 + 4
    assert weighted_drift(now, then, [torch.tensor([1.0, 0.5]), torch.tensor([[2.0]])]) == 1 + 2 + 8


def test_a_distance_of_features_is_summed_over_entries_and_averaged_over_images():
    assert feature_distance(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.zeros(2, 2)) == 2.5


def test_importance_is_the_mean_of_squared_gradients_scaled_to_a_mean_of_one():
    class TwoWeights(Backbone):
        """The old answers are the first pixel times one weight, and the other weight."""

        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.w = nn.Parameter(torch.tensor([3.0, 1.0]))

        def normalise(self, images: Tensor) -> Tensor:
            return images.float()

        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([images[:, 0, 0, 0], torch.ones(len(images))], dim=1) * self.w

    images = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    images[0], images[1] = 1, 2
    net = TwoWeights()
    (found,) = importances(net, images, [net.w])
    # d (w p)^2 / dw = 2 w p^2 is 6 and 24, its squares sum to 612; of the other 2 and 2, to 8. Their mean is 310.
    assert found.tolist() == pytest.approx([612 / 310, 8 / 310])


def test_an_importance_is_cut(monkeypatch, problem):
    monkeypatch.setattr(synaptic_intelligence, "CEILING", 1.5)
    backbone = problem.build_network().backbone
    weights = list(backbone.groups()["stem"])
    found = torch.cat([part.flatten() for part in importances(backbone, problem.images[:2], weights)])
    assert found.max() == 1.5 and found.min() >= 0


# The choice of an epoch -----------------------------------------------------------------------------------------------


def test_the_network_with_the_least_synthetic_loss_is_kept_beside_the_last(problem, monkeypatch):
    losses = iter([3.0, 1.0, 4.0, 2.0])
    monkeypatch.setattr(Syn2RealProblem, "validation_loss", lambda self, network: next(losses))
    candidates, network = Candidates(replace(problem, trajectory=True)), nn.Linear(1, 1)
    for value in (0.0, 1.0, 2.0, 3.0):
        nn.init.constant_(network.weight, value)
        candidates.offer(network)
    solution = candidates.solution(network)
    assert solution.network.weight.item() == 3
    assert solution.chosen["weight"].item() == 1
    assert [weights["weight"].item() for weights in solution.passed] == [0, 2]


def test_nothing_is_kept_beside_the_last_where_it_is_the_best(problem, monkeypatch):
    losses = iter([3.0, 1.0])
    monkeypatch.setattr(Syn2RealProblem, "validation_loss", lambda self, network: next(losses))
    candidates, network = Candidates(problem), nn.Linear(1, 1)
    candidates.offer(network)
    candidates.offer(network)
    solution = candidates.solution(network)
    assert solution.chosen is None and not solution.passed


# The actor ------------------------------------------------------------------------------------------------------------


def an_actor(kind="learned", lessons=None, windows=(2, 3), policy=None) -> Actor:
    policy = policy or RatePolicy(2)
    return Actor(kind, ["first", "second"], policy, windows, sum(windows), torch.Generator().manual_seed(0), lessons)


def losses(task: float, divergence: float, weighted: float) -> tuple[Tensor, Tensor, Tensor]:
    return torch.tensor(task), torch.tensor(divergence), torch.tensor(weighted)


def test_step_sizes_stand_still_inside_a_window_and_start_at_the_base():
    actor, head = an_actor(), torch.ones(2, 2)
    assert actor.shares == {"first": 1.0, "second": 1.0}
    assert actor.after(0, *losses(1.0, 0.0, 1.0), head) is None
    assert actor.shares == {"first": 1.0, "second": 1.0}
    reward = actor.after(1, *losses(3.0, 0.0, 3.0), head)
    # Of the mean loss of the window.
    assert reward == pytest.approx(math.exp(-2))
    assert all(share * 10 == pytest.approx(round(share * 10)) for share in actor.shares.values())


def test_an_exploded_window_is_rewarded_with_nothing_and_the_actor_lives_on():
    actor = an_actor(windows=(1, 1))
    assert actor.after(0, *losses(math.nan, math.inf, math.nan), torch.full((2, 2), math.nan)) < 1e-40
    assert set(actor.shares) == {"first", "second"}


def test_a_policy_learns_between_reward_and_decision_and_only_from_rewarded_decisions():
    policy = RatePolicy(2)
    optimizer = torch.optim.SGD(policy.parameters(), 0.1)
    taken = []

    class Counted(Lessons):
        def take(self, rollout) -> None:
            taken.append(len(rollout))
            super().take(rollout)

    actor = an_actor(lessons=Counted(policy, optimizer, 2, 0.0), windows=(1, 1, 1, 1), policy=policy)
    for step in range(4):
        actor.after(step, *losses(1.0, 0.0, 1.0), torch.ones(2, 2))
    # The first window comes before any decision; three are rewarded: two fill a roll-out, the episode's end takes one.
    assert taken == [2, 1]


def test_random_step_sizes_that_are_drawn_once_stay():
    actor = an_actor("random-once", windows=(1, 1))
    before = actor.shares
    actor.after(0, *losses(1.0, 0.0, 1.0), torch.ones(2, 2))
    assert actor.shares == before


def test_an_actor_goes_on_where_it_was():
    policy = RatePolicy(2)
    first, second = (an_actor(policy=policy, windows=(1, 2, 2)) for _ in range(2))
    for step in range(2):
        first.after(step, *losses(1.0, 0.5, 1.1), torch.ones(2, 2))
    second.load_state_dict(first.state_dict())
    for actor in (first, second):
        actor._generator.manual_seed(7)
        actor.after(2, *losses(2.0, 0.5, 2.1), torch.ones(2, 2))
    assert first.shares == second.shares


def test_meta_training_leaves_the_network_as_it_was_and_logs_its_actions(problem):
    method = ASG(**SHORT, window=1, episodes=1, episode_steps=3, rollout=2, meta_lr=0.1)
    run = Run(seed=0)
    method.fit(problem, run)
    curves = run.curves()
    assert len(curves["policy/reward"].y) == 3 and len(curves["policy/rate[stem]"].y) == 3
    # The first window of the real fit, too, is at the base step size: the network and its memory are fresh.
    assert curves["rate[new_head]"].y[0] == 1


@pytest.mark.parametrize("dataset", ["font-digits-to-mnist5k", "streets-to-streets-shifted"])
def test_in_meta_training_too_the_schedule_acts_on_scenes_alone(dataset, monkeypatch):
    factors = []
    rates = Training.rates

    def noted(self, factor, shares):
        factors.append(factor)
        rates(self, factor, shares)

    monkeypatch.setattr(Training, "rates", noted)
    problem, _ = SMALL.load(dataset, "smoke", 0)
    method = ASG(**SHORT | DENSE, window=1, dense_window=1, episodes=2, episode_steps=2, rollout=2)
    method.fit(problem, Run(seed=0))
    scheduled = [step_size_factor(step, 2, 0.8, 1) for step in range(2)]
    assert factors[:4] == (scheduled * 2 if problem.dense else [1.0] * 4)


@pytest.mark.parametrize(("problem_name", "lengths"), [("problem", [10, 10, 20]), ("scenes", [20, 20])])
def test_windows_of_scenes_are_twice_as_long(problem_name, lengths, request):
    assert list(ASG()._windows(1, 40, request.getfixturevalue(problem_name))) == lengths


def test_a_policy_sees_what_share_of_the_updates_is_done(problem, monkeypatch):
    progress = []

    def noted(task_loss, divergence, share, head_weight, ratios):
        progress.append(share)
        return observation(task_loss, divergence, share, head_weight, ratios)

    monkeypatch.setattr(acting, "observation", noted)
    # An epoch has seven updates and so have its windows, 1, 1, 2 and 3; only four are made.
    ASG(**SHORT | {"steps": 4}, policy="random", window=1).fit(problem, Run(seed=0))
    assert progress == [1 / 4, 2 / 4, 4 / 4]


def test_a_policy_of_deeplab_on_a_resnet_has_six_groups_as_its_first_norm_is_frozen(scenes):
    network = Network(build_dense("resnet50", 4, pretrained=None))
    assert "bn1" in network.groups()
    training = Training(scenes, Run(seed=0), Recipe(), network)
    assert list(training.parameters) == ["conv1", "layer1", "layer2", "layer3", "layer4", "new_head"]
