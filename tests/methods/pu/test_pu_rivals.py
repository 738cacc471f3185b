"""VPU, Dist-PU and PUbN: their equations against closed forms, and what their fits must and must not do."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import kstest
from torch import Tensor, nn

from bench.run import Run
from methods.pu.dist_pu import DistPU, cosine, label_distribution, mixed_loss
from methods.pu.pubn import PUbN, doubtful_risk, logistic_parts, threshold
from methods.pu.vpu import VPU, beta, mixed_consistency, variational
from tasks.pu import PU, PUProblem, Trajectory


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


LOG3 = float(np.log(3))  # its sigmoid is 3/4

# VPU ------------------------------------------------------------------------------------------------------------------


def test_the_variational_loss_agrees_with_a_hand_worked_example():
    # Phi of 3/4 and 1/4 in U: a mean of 1/2; of 3/4 in P: log(1/2) - log(3/4) = log(2/3).
    found = variational(double(LOG3), double(LOG3, -LOG3))
    assert found.item() == pytest.approx(np.log(2 / 3))


def test_the_variational_loss_is_least_at_the_posterior_whatever_the_prior():
    # Three places, with f_P / f = posterior / prior: U visits them 5 : 3 : 2, P (posterior x visits) 5 : 1.5 : 0.2.
    # The posterior of the first is 1, which fixes the scale.
    posterior = np.array([1.0, 0.5, 0.1])
    in_u = double(*np.repeat([0, 1, 2], [50, 30, 20])).long()
    in_p = double(*np.repeat([0, 1, 2], [50, 15, 2])).long()

    def loss(free: np.ndarray) -> float:
        scores = double(logit(1 - 1e-9), *free)
        return variational(scores[in_p], scores[in_u]).item()

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12})
    assert expit(found.x).tolist() == pytest.approx(posterior[1:].tolist(), abs=1e-3)


def test_the_variational_loss_does_not_depend_on_the_scale_of_phi():
    # Phi halved everywhere: both logarithms fall by log 2.
    phi = np.array([0.9, 0.2, 0.6])
    losses = [variational(double(*logit(s * phi[:1])), double(*logit(s * phi))).item() for s in (1.0, 0.5)]
    assert losses[0] == pytest.approx(losses[1])


def test_mixed_images_are_held_against_the_mixture_in_the_logarithm():
    # 0.2 of a positive and 0.8 of Phi = 3/4 make 0.8; the mixed image has Phi = 1/4.
    found = mixed_consistency(double(-LOG3), double(LOG3), 0.2)
    assert found.item() == pytest.approx(np.log(0.8 / 0.25) ** 2)


def test_shares_are_drawn_from_a_symmetric_beta():
    draws = [beta(0.3, seed) for seed in range(2000)]
    assert kstest(draws, "beta", args=(0.3, 0.3)).pvalue > 0.001
    assert beta(0.3, 5) == beta(0.3, 5)


# Dist-PU --------------------------------------------------------------------------------------------------------------


def test_the_label_distribution_loss_agrees_with_a_hand_worked_example():
    # Positives have a mean of 1/2 (missing 1/2), unlabelled images one of 3/4 where 0.4 is due: 0.35 / 0.8.
    found = label_distribution(double(LOG3, -LOG3), double(LOG3, LOG3), 0.4)
    assert found.item() == pytest.approx(0.5 + 0.35 / 0.8)


def test_the_label_distribution_loss_is_zero_for_a_perfect_classifier_and_counts_both_ways():
    sure = 50.0
    assert label_distribution(double(sure), double(sure, -sure, -sure, -sure), 0.25).item() == pytest.approx(0)
    low, high = (label_distribution(double(sure), double(*values), 0.5).item() for values in ([-sure], [sure]))
    assert low == pytest.approx(high) == pytest.approx(0.5)


def test_a_mixed_image_has_both_labels_by_their_shares():
    # p = 3/4, labels 1 and 0: 0.3 log(4/3) + 0.7 log 4.
    found = mixed_loss(double(LOG3), double(1.0), double(0.0), 0.3)
    assert found.item() == pytest.approx(0.3 * np.log(4 / 3) + 0.7 * np.log(4))


def test_the_step_size_falls_along_a_cosine():
    assert [cosine(2.0, 0.7, progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([2.0, 1.7, 1.4])


# PUbN -----------------------------------------------------------------------------------------------------------------


def test_the_logistic_parts_agree_with_a_hand_worked_example():
    # A positive at log 3 loses log(4/3), as a negative log 4; an unlabelled image at 0 loses log 2.
    on_positives, on_negatives = logistic_parts(double(LOG3), double(0.0), 0.4)
    assert on_positives.item() == pytest.approx(0.4 * np.log(4 / 3))
    assert on_negatives.item() == pytest.approx(np.log(2) - 0.4 * np.log(4))


def test_so_many_lie_at_or_below_the_threshold():
    sigma = double(*np.random.default_rng(0).permutation(np.arange(1, 101) / 100))
    eta = threshold(sigma, 0.4, 0.7)
    assert (sigma <= eta).sum() == 42  # 0.7 x 0.6 x 100


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.5, 1.0])
def test_with_the_true_doubt_the_risk_is_the_supervised_one_at_every_threshold(eta):
    # Four places with 40, 20, 20 and 20 images, of which 8, 10, 16 and 20 are positive: sigma 0.2, 0.5, 0.8 and 1.
    images, positives = np.array([40, 20, 20, 20]), np.array([8, 10, 16, 20])
    sigma, scores = positives / images, np.array([-1.0, 0.5, 2.0, -0.3])
    prior = 54 / 100
    in_u, in_p = np.repeat(np.arange(4), images), np.repeat(np.arange(4), positives)
    supervised = (positives * expit(-scores) + (images - positives) * expit(scores)).sum() / 100
    found = doubtful_risk(
        double(*scores[in_p]),
        double(*scores[in_u]),
        double(*sigma[in_p]),
        double(*sigma[in_u]),
        torch.tensor(eta),
        prior,
    )
    assert found.item() == pytest.approx(supervised)


# Fits -----------------------------------------------------------------------------------------------------------------

TASK = PU(positives=50, validation=0.2, width=0.25, selection="last")
BATCHES = {"batch_positive": 6, "batch_unlabelled": 250}
METHODS = {
    "vpu": VPU(epochs=3, lr=1e-3, **BATCHES),
    "dist-pu": DistPU(warm_up_epochs=2, mixup_epochs=2, **BATCHES),
    "pubn": PUbN(epochs=2, **BATCHES),
}
"""Of five steps an epoch."""


def problem_of(**settings) -> PUProblem:
    return replace(TASK, **settings).load("digits", "smoke", 0)[0]


def fit(method, problem: PUProblem, seed: int = 0, **words) -> tuple[nn.Module, Run]:
    run = Run(seed=seed, **words)
    return method.fit(problem, run), run


def equal(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_that_is_killed_at_random_steps_ends_with_the_same_weights(name, tmp_path):
    problem = problem_of(selection="pu-risk", trajectory=True)
    steps: list[tuple[str, int]] = []
    whole, whole_run = fit(METHODS[name], problem, on_step=lambda phase, done: steps.append((phase, done)))
    for deadline in [*sorted(random.Random(name).sample(steps[:-2], 4), key=steps.index), steps[-2]]:

        def kill(phase: str, done: int, deadline: tuple[str, int] = deadline) -> None:
            if (phase, done) == deadline:
                raise KilledError

        with pytest.raises(KilledError):
            fit(METHODS[name], problem, checkpoints=tmp_path, save_every_s=0, on_step=kill)
    resumed, resumed_run = fit(METHODS[name], problem, checkpoints=tmp_path, save_every_s=0)
    assert equal(whole, resumed)
    assert isinstance(whole, Trajectory)
    assert len(whole.passed) == len(resumed.passed) > 1
    assert whole_run.curves() == resumed_run.curves()


@pytest.mark.parametrize("name", METHODS)
def test_no_rival_reads_the_true_labels(name):
    problem = problem_of()
    flipped = replace(problem, oracle_labels=-problem.oracle_labels)
    assert equal(fit(METHODS[name], problem)[0], fit(METHODS[name], flipped)[0])


@pytest.mark.parametrize("name", METHODS)
def test_vpu_alone_needs_no_prior(name):
    problem = problem_of()
    same = equal(fit(METHODS[name], problem)[0], fit(METHODS[name], replace(problem, prior=0.2))[0])
    assert same == (name == "vpu")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vpu", {"consistency": 0.0}),
        ("vpu", {"mixing": 5.0}),
        ("vpu", {"weight_decay": 1.0}),
        ("dist-pu", {"warm_up_entropy": 1.0}),
        ("dist-pu", {"entropy": 1.0}),
        ("dist-pu", {"mixed_entropy": 1.0}),
        ("dist-pu", {"mixup": 0.0}),
        ("dist-pu", {"mixing": 0.3}),
        ("dist-pu", {"warm_up_weight_decay": 1.0}),
        ("dist-pu", {"weight_decay": 1.0}),
        ("dist-pu", {"warm_up_lr": 1e-3}),
        ("dist-pu", {"lr": 1e-3}),
        ("pubn", {"share": 0.2}),
        ("pubn", {"weight_decay": 1.0}),
    ],
    ids=str,
)
def test_each_setting_changes_the_fit(name, change):
    problem = problem_of()
    assert not equal(fit(METHODS[name], problem)[0], fit(replace(METHODS[name], **change), problem)[0])


def test_dist_pu_predicts_as_many_positives_as_there_are():
    problem = replace(TASK, positives=100).load("mnist5k", "small", 0)[0]
    net, _ = fit(DistPU(warm_up_epochs=8, mixup_epochs=1, **BATCHES), problem)
    net.eval()
    with torch.no_grad():
        mean = net(problem.unlabelled).sigmoid().mean().item()
    assert mean == pytest.approx(problem.prior, abs=0.1)
