"""Searches that train one architecture after another: tournament, policy gradient, and what each does in its trials."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from bench.run import Run
from bench.seeds import derive_seed
from methods.nas.evolution import Evolution, tournament
from methods.nas.random_search import RandomSearch
from methods.nas.reinforce import Reinforce, moving_average, surrogate
from tasks.nas import NAS, Architecture, Found, NASProblem
from tasks.nas.spaces import parse


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Tournament -----------------------------------------------------------------------------------------------------------


def test_a_member_wins_as_often_as_the_best_of_three_with_replacement():
    accuracies = [70.0, 91.0, 64.0, 88.0]
    draws = generator(1)
    wins = np.bincount([tournament(accuracies, 3, draws) for _ in range(6400)], minlength=4)
    # None of three is better than the one of rank r in (r / 4)^3 of all draws, ranks counted from the worst.
    at_most = np.array([1, 8, 27, 64]) / 64
    shares = np.diff(at_most, prepend=0)[[1, 3, 0, 2]]  # by rank: 64 is the worst, then 70, 88, 91
    assert chisquare(wins, 6400 * shares).pvalue > 1e-3


def test_a_tournament_of_one_is_a_uniform_draw():
    draws = generator(2)
    wins = np.bincount([tournament([1.0, 2.0, 3.0], 1, draws) for _ in range(3000)], minlength=3)
    assert chisquare(wins).pvalue > 1e-3


# Policy gradient ------------------------------------------------------------------------------------------------------


def test_the_policy_gradient_is_advantage_times_softmax_less_one_hot():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 2.0, 0.0]], dtype=torch.float64).log1p().requires_grad_()
    surrogate(logits, torch.tensor([2, 0]), 5.0).backward()
    # log1p makes the probabilities 1/4 each, and 4, 2, 3, 1 tenths.
    expected = 5 * torch.tensor([[0.25, 0.25, -0.75, 0.25], [-0.6, 0.2, 0.3, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("baseline", [0.0, 60.0])
def test_over_all_choices_the_policy_gradient_is_that_of_the_expected_reward_whatever_the_baseline(baseline):
    logits = torch.randn(2, 3, generator=generator(3), dtype=torch.float64, requires_grad=True)
    rewards = 100 * torch.rand(3, 3, generator=generator(4), dtype=torch.float64)
    probabilities = logits.softmax(-1)
    expected_reward = probabilities[0] @ rewards @ probabilities[1]
    (exact,) = torch.autograd.grad(-expected_reward, logits)
    estimate = torch.zeros(2, 3, dtype=torch.float64)
    for first, second in itertools.product(range(3), repeat=2):
        advantage = rewards[first, second].item() - baseline
        (slope,) = torch.autograd.grad(surrogate(logits, torch.tensor([first, second]), advantage), logits)
        estimate += (probabilities[0, first] * probabilities[1, second]).detach() * slope
    torch.testing.assert_close(estimate, exact, rtol=1e-10, atol=1e-10)


def test_the_moving_average_forgets_by_its_momentum_and_is_corrected_for_its_start():
    assert moving_average([80.0], 0.9) == 80
    # Weights 1/4, 1/2 and 1.
    assert moving_average([4.0, 2.0, 1.0], 0.5) == pytest.approx((1 + 1 + 1) / 1.75)


# The searches ---------------------------------------------------------------------------------------------------------

PROBLEM, _ = NAS(images=10).load("digits-cells", "smoke", 0)
SPACE = PROBLEM.space


def fit(method, problem: NASProblem = PROBLEM, seed: int = 0, **words) -> tuple[Found, Run]:
    run = Run(seed=seed, **words)
    return method.fit(problem, run), run


def tried(run: Run) -> list[Architecture]:
    return [parse(SPACE, text) for text in run.artefacts["tried"]]


METHODS = {
    "random-search": RandomSearch(trials=30),
    "evolution": Evolution(trials=30, population=8),
    "reinforce": Reinforce(trials=30),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_search_answers_with_the_best_of_what_it_tried(name):
    found, run = fit(METHODS[name])
    accuracies = [PROBLEM.validation(architecture) for architecture in tried(run)]
    assert len(accuracies) == 30
    assert PROBLEM.validation(found.architecture) == max(accuracies)
    assert found.architecture == tried(run)[accuracies.index(max(accuracies))]
    curves = run.curves()
    assert curves["search/validation_accuracy"].y == pytest.approx(accuracies)
    assert curves["search/best_so_far"].y == pytest.approx(list(itertools.accumulate(accuracies, max)))


def test_random_search_is_the_best_of_as_many_draws_from_the_space():
    found, run = fit(RandomSearch(trials=12), seed=3)
    draws = torch.Generator().manual_seed(derive_seed(3, "run"))
    same = [SPACE.random(draws) for _ in range(12)]
    assert tried(run) == same
    assert found.architecture == max(same, key=PROBLEM.validation)


def test_evolution_draws_its_first_population_and_then_changes_one_edge_of_a_living_member():
    found, run = fit(Evolution(trials=60, population=8))
    born = tried(run)
    for number in range(8, 60):
        # The living are the eight born last: the oldest has gone, however good it was.
        distances = [
            sum(a != b for a, b in zip(parent.choice, born[number].choice, strict=True))
            for parent in born[number - 8 : number]
        ]
        assert 1 in distances
    accuracies = [PROBLEM.validation(architecture) for architecture in born]
    expected = [np.mean(accuracies[max(0, number - 7) : number + 1]) for number in range(60)]
    assert run.curves()["search/population_accuracy"].y == pytest.approx(expected)
    assert found.architecture == born[accuracies.index(max(accuracies))]


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", METHODS)
def test_a_search_that_is_killed_twice_tries_the_same_architectures(name, tmp_path):
    whole, whole_run = fit(METHODS[name])
    for deadline in (5, 17):

        def kill(_phase: str, done: int, deadline: int = deadline) -> None:
            if done == deadline:
                raise KilledError

        with pytest.raises(KilledError):
            fit(METHODS[name], checkpoints=tmp_path, save_every_s=0, on_step=kill)
    resumed, resumed_run = fit(METHODS[name], checkpoints=tmp_path, save_every_s=0)
    assert resumed_run.resumed
    assert whole.architecture == resumed.architecture
    assert whole_run.artefacts == resumed_run.artefacts
    assert whole_run.curves() == resumed_run.curves()


def test_the_policy_rests_at_its_first_trial_and_then_takes_adams_step_towards_what_does_better(tmp_path):
    def policy(trials: int) -> tuple[torch.Tensor, Run]:
        _, run = fit(Reinforce(trials=trials, lr=0.01), checkpoints=tmp_path / str(trials), save_every_s=0)
        state = torch.load(tmp_path / str(trials) / "search.pt", weights_only=True)["state"]
        assert tried(run)[:1] == first
        return state["policy"]["logits"], run

    draws = torch.Generator().manual_seed(derive_seed(0, "run"))
    start = 1e-3 * torch.randn(len(SPACE.edges), 5, generator=draws)
    first = [Architecture(SPACE, tuple(torch.multinomial(start.softmax(1), 1, generator=draws)[:, 0].tolist()))]
    rested, _ = policy(1)
    # The first reward is its own average, so its advantage is zero.
    torch.testing.assert_close(rested, start)
    moved, run = policy(2)
    second = tried(run)[1]
    better = PROBLEM.validation(second) > PROBLEM.validation(first[0])
    drawn = second.weights().bool()
    # Adam's second step after a zero gradient: lr (0.1 / 0.19) / sqrt(0.001 / 0.001999) of the sign.
    step = 0.01 * (0.1 / 0.19) / (0.001 / 0.001999) ** 0.5
    expected = torch.where(drawn, step, -step) * (1 if better else -1)
    torch.testing.assert_close(moved - rested, expected, rtol=1e-3, atol=1e-6)
