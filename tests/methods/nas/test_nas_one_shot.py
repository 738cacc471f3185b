"""Searches in a supernet: the gradient that DARTS follows, what each draws and judges, kills that do no harm."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from bench import Unsupported
from bench.run import Run
from methods.nas._choices import Preferences
from methods.nas._one_shot import Shared, WeightTraining, accuracy
from methods.nas.all_conv3x3 import AllConv3x3, all_convolutions
from methods.nas.darts import DARTS
from methods.nas.enas import ENAS, Controller, cycle
from methods.nas.exhaustive_search import ExhaustiveSearch
from methods.nas.gdas import GDAS, hard_sample
from methods.nas.optimum import Optimum
from methods.nas.reinforce import Reinforce
from methods.nas.rsps import RSPS
from tasks.nas import NAS, Found, NASProblem
from tasks.nas.darts import DARTS as DARTS_SPACE
from tasks.nas.tabular import NAS_BENCH_201

TASK = NAS(sample=12, images=200, width=0.25)
PROBLEM, _ = TASK.load("digits-cells", "smoke", 0)
SMALL = {"epochs": 1, "batch": 25}
METHODS = {
    "darts": DARTS(**SMALL),
    "darts-second": DARTS(**SMALL | {"batch": 50}, order=2),
    "gdas": GDAS(**SMALL),
    "gdas-added": GDAS(**SMALL, undrawn="added"),
    "rsps": RSPS(**SMALL, candidates=4, batch_judging=50),
    "enas": ENAS(**SMALL | {"epochs": 3}, first_cycle=1, controller_steps=2, draws=2, candidates=4),
}


def fit(method, problem: NASProblem = PROBLEM, seed: int = 0, **words) -> tuple[Found, Run]:
    run = Run(seed=seed, **words)
    return method.fit(problem, run), run


def ends(folder: Path) -> dict[str, Any]:
    """What each phase's last checkpoint holds, tensors as nested lists."""

    def plain(value: Any) -> Any:
        match value:
            case Tensor():
                return value.tolist()
            case dict():
                return {key: plain(inner) for key, inner in value.items()}
            case list() | tuple():
                return [plain(inner) for inner in value]
        return value

    return {path.stem: plain(torch.load(path, weights_only=True)["state"]) for path in folder.glob("*.pt")}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", METHODS)
def test_a_search_that_is_killed_again_and_again_ends_with_the_same_weights(name, tmp_path):
    method = METHODS[name]
    whole, whole_run = fit(method, checkpoints=tmp_path / "whole", save_every_s=0)
    steps: list[tuple[str, int]] = []
    fit(method, on_step=lambda phase, done: steps.append((phase, done)))
    for deadline in steps[:1] + sorted(random.Random(name).sample(steps[1:], 2), key=steps.index):

        def kill(phase: str, done: int, deadline: tuple[str, int] = deadline) -> None:
            if (phase, done) == deadline:
                raise KilledError

        with pytest.raises(KilledError):
            fit(method, checkpoints=tmp_path / "killed", save_every_s=0, on_step=kill)
    resumed, resumed_run = fit(method, checkpoints=tmp_path / "killed", save_every_s=0)
    assert resumed_run.resumed
    assert ends(tmp_path / "whole") == ends(tmp_path / "killed")
    assert whole.architecture == resumed.architecture
    assert whole_run.curves() == resumed_run.curves()
    assert whole_run.artefacts == resumed_run.artefacts


@pytest.mark.parametrize("name", METHODS)
def test_a_seed_gives_the_same_search_twice_and_another_seed_another(name):
    first, second, other = (
        fit(METHODS[name], TASK.load("digits-cells", "smoke", seed)[0], seed)[1] for seed in (1, 1, 2)
    )
    assert first.curves() == second.curves()
    assert first.curves() != other.curves()


def test_the_first_weights_depend_on_the_seed_of_the_problem_alone():
    torch.manual_seed(1)
    one = Shared(PROBLEM, WeightTraining(), Run(seed=0)).net
    torch.manual_seed(2)
    two = Shared(PROBLEM, WeightTraining(), Run(seed=5)).net
    other = Shared(replace(PROBLEM, seed=1), WeightTraining(), Run(seed=0)).net
    weights = [torch.cat([p.flatten() for p in net.parameters()]) for net in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_step_sizes_follow_a_cosine_from_the_first_to_the_last():
    training = WeightTraining(lr=0.025, final_lr=0.001)
    # cos(pi / 3) = 1 / 2, so after a third three quarters of the way are left.
    assert [training.lr_at(progress) for progress in (0.0, 1 / 3, 1.0)] == pytest.approx([0.025, 0.019, 0.001])


def test_two_of_three_images_are_two_thirds():
    logits = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 0.5]])
    assert accuracy(logits, torch.tensor([1, 0, 0])) == pytest.approx(200 / 3)


# DARTS in a supernet --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2])
def test_the_preferences_follow_the_gradient_that_autograd_finds_through_a_step_of_the_weights(order):
    # So near that no ReLU changes its mind between the two sides.
    method = DARTS(order=order, batch=20, radius=1e-6)
    problem = replace(PROBLEM, images=PROBLEM.images.double(), search_images=PROBLEM.search_images.double())
    shared = Shared(problem, method, Run(seed=0))
    shared.net.double()
    preferences = Preferences(problem.space, torch.Generator().manual_seed(0)).double()
    uniform = preferences.probabilities().detach()
    for _ in range(3):  # so that there is momentum
        shared.train(shared.next_training(), uniform)
    shared.set_lr(0.5)
    batch, judging = shared.next_training(), shared.next_judging()
    slope, loss = method._slope(shared, preferences, batch, judging)

    def loss_on(weights, images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(functional_call(shared.net, weights, (images, preferences.probabilities())), labels)

    weights = dict(shared.net.named_parameters())
    # Half-way along the cosine, (0.025 + 0.001) / 2; the first order takes no step.
    step_size = 0.013 if order == 2 else 0.0
    ahead = {}
    slopes = torch.autograd.grad(loss_on(weights, *batch), list(weights.values()), create_graph=True)
    for (name, weight), downhill in zip(weights.items(), slopes, strict=True):
        moment = shared.optimizer.state[weight]["momentum_buffer"]
        ahead[name] = weight - step_size * (downhill + 5e-4 * weight + 0.9 * moment)
    exact_loss = loss_on(ahead, *judging)
    (exact,) = torch.autograd.grad(exact_loss, preferences.logits)
    assert loss.item() == pytest.approx(exact_loss.item(), rel=1e-9)
    torch.testing.assert_close(slope, exact, rtol=1e-6, atol=1e-9)


def test_darts_derives_the_likeliest_operators_of_its_last_preferences(tmp_path):
    method = DARTS(epochs=2, batch=50, architecture_lr=0.1)
    found, run = fit(method, checkpoints=tmp_path, save_every_s=0)
    logits = torch.tensor(ends(tmp_path)["search"]["preferences"]["logits"])
    assert found.architecture.choice == tuple(logits.argmax(dim=1).tolist())
    np.testing.assert_allclose(run.artefacts["probabilities"], logits.softmax(dim=1).numpy(), atol=1e-6)
    spread = run.curves()["search/entropy"].y
    assert spread[0] == pytest.approx(np.log(5), abs=0.02)
    assert spread[-1] < spread[0]


# GDAS in a supernet ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("add_zeros", [False, True])
def test_operators_that_were_not_drawn_have_a_gradient_in_the_released_way_alone(add_zeros):
    shared = Shared(PROBLEM, WeightTraining(batch=20), Run(seed=0), add_zeros=add_zeros)
    logits = torch.zeros(len(PROBLEM.space.edges), 5)
    logits[:, 3] = 9.0  # a convolution on every edge, nearly surely
    drawn = hard_sample(logits, 1.0, torch.Generator().manual_seed(0)).requires_grad_()
    shared.loss(shared.next_training(), drawn).backward()
    assert (drawn.grad[:, 3] != 0).all()
    others = drawn.grad[:, [0, 1, 2, 4]]
    assert (others != 0).all() if add_zeros else not others.any()


# RSPS -----------------------------------------------------------------------------------------------------------------


def test_rsps_compares_uniform_draws_by_the_accuracy_that_shared_weights_give_them(tmp_path):
    everything = len(PROBLEM.search_images)
    method = RSPS(**SMALL, candidates=60, batch_judging=everything)
    found, _ = fit(method, checkpoints=tmp_path, save_every_s=0)
    net = Shared(PROBLEM, method, Run(seed=0)).net
    net.load_state_dict(torch.load(tmp_path / "train.pt", weights_only=True)["state"]["supernet"])
    for architecture, score in list(zip(found.scored, found.scores, strict=True))[:5]:
        with torch.no_grad():
            logits = net(PROBLEM.search_images, architecture.weights())
        right = (logits.argmax(dim=1) == PROBLEM.search_labels).sum().item()
        # All images are in the batch, in another order: at most one of them may be called otherwise.
        assert score.item() * everything / 100 == pytest.approx(right, abs=1.01)
    assert found.scores.std() > 1
    assert found.architecture == found.scored[int(found.scores.argmax())]
    # Of 125, 60 draws meet 125 (1 - (124 / 125)^60) = 47.8 in the mean, with a deviation of about 3.
    assert 36 < len(found.scored) < 60
    for operators in zip(*[architecture.choice for architecture in found.scored], strict=True):
        assert chisquare(np.bincount(operators, minlength=5)).pvalue > 1e-3


# ENAS -----------------------------------------------------------------------------------------------------------------


def controller(scale: float) -> Controller:
    net = Controller(PROBLEM.space, hidden=8, layers=2, temperature=5.0, bound=2.5)
    net.reset(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= scale
    return net.double()


def test_the_controllers_probabilities_are_those_of_its_draws():
    # Over all 125 cells, the mean of 1 / p is their number, and that of -log p is the mean of the entropies met.
    net, generator = controller(20.0), torch.Generator().manual_seed(1)
    choices, logs, entropies = zip(*[net(generator) for _ in range(1500)], strict=True)
    inverse, gap = np.exp(-np.array([p.item() for p in logs])), []
    for log, entropy in zip(logs, entropies, strict=True):
        gap.append(-log.item() - entropy.item())
    for values, expected in ((inverse, 125), (gap, 0)):
        error = np.std(values, ddof=1) / 1500**0.5
        assert error > 0
        assert abs(np.mean(values) - expected) < 4 * error
    by_choice: dict[tuple[int, ...], float] = {}
    for choice, log in zip(choices, logs, strict=True):
        assert by_choice.setdefault(tuple(choice.tolist()), log.item()) == log.item()
    assert len(by_choice) > 20


def test_the_controller_is_told_what_it_chose_before():
    net, generator = controller(1000.0), torch.Generator().manual_seed(2)
    together = np.zeros((5, 5))
    for _ in range(800):
        first, second, _ = net(generator)[0].tolist()
        together[first, second] += 1
    met = together[together.sum(1) > 0][:, together.sum(0) > 0]
    assert min(met.shape) > 1
    assert chi2_contingency(met).pvalue < 1e-9  # independent choices would nearly never


def test_the_controller_is_never_surer_than_its_tanh_allows():
    net, generator = controller(1000.0), torch.Generator().manual_seed(1)
    # Logits lie between -2.5 and 2.5, so no operator is likelier than e^5 / (e^5 + 4), on each of three edges.
    surest = 3 * np.log(np.exp(5) / (np.exp(5) + 4))
    logs = [net(generator)[1].item() for _ in range(50)]
    assert max(logs) <= surest + 1e-9
    assert max(logs) > 3 * np.log(0.3)


def test_cycles_of_step_sizes_double_and_five_of_them_make_310_epochs():
    assert [cycle(epoch, 2) for epoch in range(7)] == [0, 0.5, 0, 0.25, 0.5, 0.75, 0]
    assert [epoch for epoch in range(311) if cycle(epoch, 10) == 0] == [0, 10, 30, 70, 150, 310]


# Baseline and reference -----------------------------------------------------------------------------------------------


def test_all_convolutions_are_cell_1462_of_nas_bench_201():
    cell = all_convolutions(NAS_BENCH_201)
    assert str(cell).count("nor_conv_3x3") == 6
    assert NAS_BENCH_201.published_index(cell) == 1462
    net = NAS_BENCH_201.network(cell, 16, NAS_BENCH_201.layers(5), 10)
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_531_546


def test_all_convolutions_of_the_darts_space_keep_two_edges_a_node():
    cell = all_convolutions(DARTS_SPACE)
    assert cell.count("sep_conv_3x3") == 16  # two cells of four nodes
    assert cell.count("none") == 12


def test_the_baseline_costs_no_step_and_needs_no_fit():
    found, run = fit(AllConv3x3())
    assert found.architecture == AllConv3x3().build(PROBLEM).architecture == all_convolutions(PROBLEM.space)
    assert run.curves() == {}


def test_exhaustive_search_finds_the_best_on_validation_images_and_scores_the_sample():
    found, _ = fit(ExhaustiveSearch())
    best = max(PROBLEM.validation(architecture) for architecture in PROBLEM.space.all())
    assert PROBLEM.validation(found.architecture) == best
    assert found.scored == PROBLEM.sample
    assert found.scores.tolist() == pytest.approx([PROBLEM.validation(a) for a in PROBLEM.sample])


def test_the_optimum_is_above_every_other_in_the_table():
    problem, held_out = TASK.load("digits-cells", "smoke", 0)
    found, _ = fit(Optimum(), problem)
    assert TASK.evaluate(found, held_out).metrics["regret"] == 0
    with pytest.raises(Unsupported, match="has been trained"):
        fit(Optimum(), replace(problem, oracle_best=None))


@pytest.mark.parametrize(
    "method", [DARTS(epochs=1, batch=8), GDAS(epochs=1, batch=8), RSPS(epochs=1, batch=8, candidates=2), AllConv3x3()]
)
def test_searches_find_cells_of_the_darts_space(method):
    task = NAS(inputs="noise", images=16, sample=1, width=0.25, depth=0.25)
    problem, _ = task.load("darts", "smoke", 0)
    found, _ = fit(method, problem)
    task.check(found, problem)
    assert found.architecture.count("none") == 12  # 28 edges, of which each of eight nodes keeps two


@pytest.mark.parametrize("method", [ExhaustiveSearch(), Reinforce(), ENAS()])
def test_what_needs_all_edges_or_a_table_refuses_the_darts_space(method):
    problem = replace(PROBLEM, space=DARTS_SPACE)
    with pytest.raises(Unsupported, match="darts"):
        fit(method, problem)
