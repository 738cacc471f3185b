"""PU risks against closed forms, and the four methods at small sizes."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm
from torch import Tensor, nn

from bench.run import Run
from methods.pu._risks import pu_parts, sigmoid_loss, validation_risk
from methods.pu.nnpu import NNPU, nnpu
from methods.pu.pn import PN, pn_risk
from methods.pu.pu_naive import PUNaive, naive_risk
from methods.pu.upu import UPU
from tasks.pu import PU, scores

ZERO = torch.zeros(3)

score_lists = st.lists(st.floats(-8, 8), min_size=1, max_size=9)
priors = st.floats(0.05, 0.95)


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def draw(seed: int, positives: int = 7, unlabelled: int = 20, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Leaf scores in double precision; a larger `shift` lowers the negative part."""
    generator = torch.Generator().manual_seed(seed)
    positive = torch.randn(positives, generator=generator, dtype=torch.float64)
    rest = torch.randn(unlabelled, generator=generator, dtype=torch.float64) - shift
    return positive.requires_grad_(), rest.requires_grad_()


# The loss and the risks -----------------------------------------------------------------------------------------------


def test_the_loss_of_a_margin_of_log_three_is_a_quarter():
    assert sigmoid_loss(torch.tensor([3.0]).log()).item() == pytest.approx(0.25)  # 1 / (1 + 3)


@given(margin=st.floats(-30, 30))
def test_a_margin_and_its_opposite_lose_one_together(margin):
    both = sigmoid_loss(tensor([margin, -margin]))
    assert both.sum().item() == pytest.approx(1, abs=1e-12)


@given(positive=score_lists, unlabelled=score_lists, prior=priors)
def test_the_unbiased_risk_is_twice_the_positive_part_plus_the_unlabelled_loss_minus_the_prior(
    positive, unlabelled, prior
):
    # loss(-z) = 1 - loss(z), so R_p- = 1 - R_p+; expit is scipy's sigmoid.
    expected = 2 * prior * expit(-np.array(positive)).mean() + expit(np.array(unlabelled)).mean() - prior
    risk = sum(pu_parts(tensor(positive), tensor(unlabelled), prior))
    assert risk.item() == pytest.approx(expected, abs=1e-12)
    assert risk.item() >= -prior


@given(positive=score_lists, unlabelled=score_lists, prior=priors)
def test_the_non_negative_risk_is_never_below_zero_nor_below_the_unbiased_one(positive, unlabelled, prior):
    parts = pu_parts(tensor(positive), tensor(unlabelled), prior)
    risk, _ = nnpu(*parts, beta=0.0, gamma=1.0)
    assert risk.item() >= max(0.0, sum(parts).item())


@pytest.mark.parametrize("prior", [0.2, 0.5, 0.9])
def test_undecided_scores_cost_one_half(prior):
    # Positive part prior / 2, negative part 1/2 - prior / 2.
    risk, objective = nnpu(*pu_parts(ZERO, ZERO, prior), 0.0, 1.0)
    assert (risk.item(), objective.item()) == pytest.approx((0.5, 0.5))


def gradients(value: Tensor, leaves: tuple[Tensor, Tensor]) -> Tensor:
    return torch.cat(torch.autograd.grad(value, leaves))


@pytest.mark.parametrize("seed", range(5))
def test_nnpu_is_upu_in_value_and_gradient_where_the_negative_part_is_not_negative(seed):
    leaves = draw(seed)
    on_positives, on_negatives = pu_parts(*leaves, 0.4)
    assert on_negatives > 0
    risk, objective = nnpu(on_positives, on_negatives, 0.0, 1.0)
    # Written out once more, for uPU's gradient: 2 pi R_p+ + R_u- - pi.
    unbiased = 2 * 0.4 * torch.sigmoid(-leaves[0]).mean() + torch.sigmoid(leaves[1]).mean() - 0.4
    assert risk.item() == pytest.approx(unbiased.item(), abs=1e-14)
    assert objective.item() == pytest.approx(unbiased.item(), abs=1e-14)
    torch.testing.assert_close(gradients(objective, leaves), gradients(unbiased, leaves), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gamma", [1.0, 0.3])
def test_an_overfitted_batch_climbs_back_gamma_times_as_fast(seed, gamma):
    leaves = draw(seed, shift=6.0)
    on_positives, on_negatives = pu_parts(*leaves, 0.6)
    assert on_negatives < 0
    risk, objective = nnpu(on_positives, on_negatives, 0.0, gamma)
    assert risk.item() == on_positives.item()
    # The negative part, R_u- - pi R_p-, and its slope by hand: s' = s (1 - s).
    positive, rest = (expit(leaf.detach().numpy()) for leaf in leaves)
    slope = np.concatenate([-0.6 * positive * (1 - positive) / 7, rest * (1 - rest) / 20])
    torch.testing.assert_close(gradients(objective, leaves), -gamma * torch.from_numpy(slope), rtol=1e-12, atol=1e-15)


def test_beta_lets_the_negative_part_fall_so_far_and_no_further():
    leaves = draw(0, shift=6.0)
    on_positives, on_negatives = pu_parts(*leaves, 0.6)
    depth = -on_negatives.item()
    _, tolerated = nnpu(on_positives, on_negatives, beta=1.01 * depth, gamma=1.0)
    risk, pushed = nnpu(on_positives, on_negatives, beta=0.99 * depth, gamma=1.0)
    assert tolerated.item() == pytest.approx((on_positives + on_negatives).item())
    assert pushed.item() == pytest.approx(depth)
    assert risk.item() == on_positives.item()  # Eq. 6, whatever beta is


def test_the_unbiased_risk_is_unbiased_and_the_non_negative_one_is_not_below_it():
    # Classes N((1, 1), I) and N((-1, -1), I), prior 0.4, scores w.x + b: given the class, normal with mean +-0.5 + b
    # and deviation |w|.
    prior, weights, bias = 0.4, np.array([0.8, -0.3]), 0.2
    deviation = float(np.linalg.norm(weights))

    def expected_loss(label: int) -> float:
        mean = label * weights.sum() + bias
        return quad(lambda z: expit(-label * z) * norm.pdf(z, mean, deviation), -np.inf, np.inf)[0]

    true_risk = prior * expected_loss(1) + (1 - prior) * expected_loss(-1)
    generator = np.random.default_rng(0)
    unbiased, non_negative = [], []
    for _ in range(4000):
        labels = np.where(generator.random(100) < prior, 1, -1)
        positive = (1 + generator.standard_normal((20, 2))) @ weights + bias
        rest = (labels[:, None] + generator.standard_normal((100, 2))) @ weights + bias
        parts = pu_parts(torch.from_numpy(positive), torch.from_numpy(rest), prior)
        unbiased.append(sum(parts).item())
        non_negative.append(nnpu(*parts, 0.0, 1.0)[0].item())
    error = np.std(unbiased, ddof=1) / 4000**0.5
    assert error < 0.002
    assert abs(np.mean(unbiased) - true_risk) < 4 * error  # four standard errors: false once in 16,000
    assert np.all(np.array(non_negative) >= np.array(unbiased))


def labelled_scores() -> tuple[Tensor, Tensor]:
    """Scores of 12 positives and 28 negatives, and their labels: a prior of 0.3."""
    values, _ = draw(1, positives=40)
    return values.detach(), torch.tensor([1.0] * 12 + [-1.0] * 28, dtype=torch.float64)


def supervised_risk(values: Tensor, labels: Tensor) -> float:
    """pi mean_pos loss(f) + (1 - pi) mean_neg loss(-f), in numpy."""
    positive, negative = values[labels > 0].numpy(), values[labels < 0].numpy()
    return 0.3 * expit(-positive).mean() + 0.7 * expit(negative).mean()


def test_with_all_positives_labelled_and_all_data_unlabelled_the_pu_risk_is_the_supervised_risk():
    values, labels = labelled_scores()
    assert sum(pu_parts(values[labels > 0], values, 0.3)).item() == pytest.approx(
        supervised_risk(values, labels), abs=1e-14
    )


def test_the_oracles_risk_is_the_supervised_risk():
    values, labels = labelled_scores()
    assert pn_risk(values, labels).item() == pytest.approx(supervised_risk(values, labels), abs=1e-14)


def test_swapping_the_classes_turns_labelled_negatives_into_labelled_positives():
    values, labels = labelled_scores()
    swapped = sum(pu_parts(-values[labels < 0], -values, 0.7))
    assert swapped.item() == pytest.approx(supervised_risk(values, labels), abs=1e-14)


def test_without_positives_among_them_the_unlabelled_images_are_negatives():
    positive, rest = draw(2)
    on_positives, on_negatives = pu_parts(positive, rest, 0.0)
    assert on_positives.item() == 0
    assert on_negatives.item() == pytest.approx(expit(rest.detach().numpy()).mean(), abs=1e-14)


def test_the_naive_risk_counts_each_image_once():
    # A positive at log 3 loses 1/4; unlabelled images at 0, 0 and log 3 lose 1/2, 1/2 and 3/4: 2 in all, of four.
    log3 = np.log(3)
    assert naive_risk(torch.tensor([log3]), torch.tensor([0.0, 0.0, log3])).item() == pytest.approx(0.5)


# The methods ----------------------------------------------------------------------------------------------------------

TASK = PU(positives=50, validation=0.2, width=0.25, selection="last")
BATCHES = {"batch_positive": 6, "batch_unlabelled": 250}
METHODS = {
    "pn": PN(epochs=3),
    "pu-naive": PUNaive(epochs=3, **BATCHES),
    "upu": UPU(epochs=3, **BATCHES),
    "nnpu": NNPU(epochs=3, **BATCHES),
}
STEPS = 15  # of three epochs over 1,151 unlabelled digits, 250 or 256 at a time


def fit(method, problem=None, seed: int = 0, **words) -> tuple[nn.Module, Run]:
    if problem is None:
        problem, _ = TASK.load("digits", "smoke", seed)
    run = Run(seed=seed, **words)
    return method.fit(problem, run), run


def equal(first: nn.Module, second: nn.Module) -> bool:
    """Equal weights and buffers, to the bit."""
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("name", METHODS)
def test_a_seed_gives_the_same_weights_twice_and_another_seed_others(name):
    first, second, other = (fit(METHODS[name], seed=seed)[0] for seed in (1, 1, 2))
    assert equal(first, second)
    assert not equal(first, other)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_that_is_killed_at_random_steps_ends_with_the_same_weights(name, tmp_path):
    whole, whole_run = fit(METHODS[name])
    for deadline in sorted(random.Random(name).sample(range(1, STEPS), 3)):

        def kill(_phase: str, done: int, deadline: int = deadline) -> None:
            if done == deadline:
                raise KilledError

        with pytest.raises(KilledError):
            fit(METHODS[name], checkpoints=tmp_path, save_every_s=0, on_step=kill)
    resumed, resumed_run = fit(METHODS[name], checkpoints=tmp_path, save_every_s=0)
    assert equal(whole, resumed)
    assert whole_run.curves() == resumed_run.curves()


@pytest.mark.parametrize("name", METHODS)
def test_only_the_oracle_reads_the_true_labels(name):
    problem, _ = TASK.load("digits", "smoke", 0)
    flipped = replace(problem, oracle_labels=-problem.oracle_labels)
    same = equal(fit(METHODS[name], problem)[0], fit(METHODS[name], flipped)[0])
    assert same == (name != "pn")


@pytest.mark.parametrize("name", METHODS)
def test_a_step_makes_one_forward_pass(name):
    # Batch norm counts the passes in train mode: positives and unlabelled images must share their statistics.
    net, _ = fit(METHODS[name])
    assert net.layers[2].num_batches_tracked.item() == STEPS


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_logs_its_risk_at_each_step_and_the_validation_risk_at_each_epoch(name):
    problem, _ = TASK.load("digits", "smoke", 0)
    net, run = fit(METHODS[name], problem)
    curves = run.curves()
    assert curves["risk"].x == list(range(STEPS))
    assert curves["validation_risk"].x == [4, 9, 14]
    assert ("negative_risk" in curves) == (name in ("upu", "nnpu"))
    # 2 pi R_p+ + R_u- - pi, on the validation part, with scipy's sigmoid.
    positive, rest = (
        scores(net, images).double().numpy() for images in (problem.validation_positive, problem.validation_unlabelled)
    )
    expected = 2 * problem.prior * expit(-positive).mean() + expit(rest).mean() - problem.prior
    assert validation_risk(net, problem).item() == pytest.approx(expected, abs=1e-6)
    assert curves["validation_risk"].y[-1] == pytest.approx(expected, abs=1e-6)


def test_nnpu_that_tolerates_any_depth_is_upu_to_the_bit():
    # The negative part is at least -pi, which is above -1.
    upu, _ = fit(replace(METHODS["upu"], epochs=20))
    tolerant, _ = fit(replace(METHODS["nnpu"], epochs=20, beta=1.0))
    strict, run = fit(replace(METHODS["nnpu"], epochs=20))
    assert min(run.curves()["negative_risk"].y) < 0
    assert equal(tolerant, upu)
    assert not equal(strict, upu)


@pytest.mark.parametrize("name", METHODS)
def test_the_step_size_and_the_weight_decay_are_adams(name):
    method = METHODS[name]
    problem, _ = TASK.load("digits", "smoke", 0)
    start = problem.build_network()
    net, _ = fit(replace(method, epochs=1, lr=1e-6), problem)
    moved = (net.layers[1].weight - start.layers[1].weight).abs().max().item()
    assert moved <= 5 * 1e-6 * 1.1  # Adam moves a weight by about its step size, in each of five steps
    assert not equal(fit(replace(method, weight_decay=1.0))[0], fit(method)[0])


def test_all_methods_have_the_same_defaults_and_presets_where_they_share_a_field():
    shared = ("epochs", "batch_positive", "batch_unlabelled", "lr", "weight_decay")
    assert len({tuple(getattr(cls(), name) for name in shared) for cls in (PUNaive, UPU, NNPU)}) == 1
    assert len({(cls().epochs, cls().lr, cls().weight_decay) for cls in (PN, NNPU)}) == 1
    assert UPU.presets == PUNaive.presets == NNPU.presets
    assert {budget: preset["epochs"] for budget, preset in PN.presets.items()} == {
        budget: preset["epochs"] for budget, preset in NNPU.presets.items()
    }


def test_the_naive_method_comes_close_to_calling_everything_negative():
    # The limit, with half of the images positive, is an error of 50 % and a recall of 0; chance would recall a half.
    task = PU(positives=100, validation=0.2, width=0.25, selection="last")
    problem, held_out = task.load("mnist5k", "small", 0)
    net, _ = fit(PUNaive(epochs=30, **BATCHES), problem)
    metrics = task.evaluate(net, held_out).metrics
    assert metrics["error"] == pytest.approx(50, abs=3)
    assert metrics["recall"] < 0.1
