"""The training-free scores against values worked out by hand, in closed form or by finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench import Unsupported
from bench.run import Run
from methods.nas._scoring import kernels, ranked
from methods.nas.grad_norm import GradNorm, grad_norm
from methods.nas.grasp import GraSP, grasp
from methods.nas.jacobian_covariance import SMALL, JacobianCovariance, jacobian, jacobian_score
from methods.nas.kappa import Kappa
from methods.nas.mac_count import MACCount
from methods.nas.naswot import NASWOT, hamming_kernel, naswot
from methods.nas.parameter_count import ParameterCount
from methods.nas.published_genotype import PublishedGenotype
from methods.nas.regions import Regions
from methods.nas.snip import SNIP, snip
from methods.nas.synflow import SynFlow, synflow, without_norms
from methods.nas.te_nas_score import TENASScore, rank_sum
from methods.nas.zen import Zen, features_and_scales, gaussian, zen
from tasks.nas import Architecture, NASProblem
from tasks.nas.darts import DARTS, DARTS_IMAGENET
from tasks.nas.tabular import NAS_BENCH_201


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def problem() -> NASProblem:
    """NAS-Bench-201's space on 30 small images of noise; nothing was trained."""
    draw = generator()
    sample = [NAS_BENCH_201.from_published_index(index) for index in (6111, 1835, 1462, 857)]
    sample.append(Architecture(NAS_BENCH_201, (0,) * 6))
    return NASProblem(
        space=NAS_BENCH_201,
        images=torch.randn(30, 3, 8, 8, generator=draw),
        labels=torch.randint(4, (30,), generator=draw),
        search_images=torch.zeros(2, 3, 8, 8),
        search_labels=torch.zeros(2, dtype=torch.int64),
        classes=4,
        background=torch.zeros(3),
        padding=1,
        flips=True,
        sample=tuple(sample),
        channels=4,
        cells=1,
        network_channels=16,
        network_cells=5,
        validations=None,
        seed=0,
    )


class Tiny(nn.Module):
    """Two linear layers without bias, and no activation between them: gradients and Hessian are easy by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4, bias=False)
        self.second = nn.Linear(4, 2, bias=False)
        for layer in (self.first, self.second):
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator(1), dtype=torch.float64)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(inputs)))


INPUTS = torch.randn(6, 3, generator=generator(2), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 1, 0, 1, 0])


def loss_at(net: nn.Module, flat: Tensor) -> Tensor:
    torch.nn.utils.vector_to_parameters(flat, net.parameters())
    return cross_entropy(net(INPUTS), LABELS)


def numerical_gradient(net: nn.Module, at: Tensor, step: float = 1e-5) -> Tensor:
    """Central differences, weight by weight."""
    with torch.no_grad():
        found = []
        for place in range(len(at)):
            shift = torch.zeros_like(at)
            shift[place] = step
            found.append((loss_at(net, at + shift) - loss_at(net, at - shift)) / (2 * step))
        torch.nn.utils.vector_to_parameters(at, net.parameters())
    return torch.stack(found)


def flat_weights(net: nn.Module) -> Tensor:
    return torch.nn.utils.parameters_to_vector(net.parameters()).detach().clone()


# Gradients of the loss ------------------------------------------------------------------------------------------------


def test_snip_is_the_sum_of_weights_times_gradients_by_hand():
    # Equal logits: both probabilities are 1/2, and the loss changes with w_k by (p_k - y_k) x.
    logits = nn.Linear(1, 2, bias=False)
    logits.weight.data = torch.tensor([[3.0], [3.0]])
    # One input, x = 2, of class 0: gradients (1/2 - 1) 2 = -1 and (1/2) 2 = 1; |-1 * 3| + |1 * 3| = 6.
    found = snip(logits(torch.tensor([[2.0]])), torch.tensor([0]), [logits.weight])
    assert found == pytest.approx(6)


def test_snip_by_finite_differences():
    net = Tiny()
    weights = flat_weights(net)
    expected = (weights * numerical_gradient(net, weights)).abs().sum().item()
    assert snip(net(INPUTS), LABELS, kernels(net)) == pytest.approx(expected, rel=1e-6)


def test_grad_norm_adds_up_norms_of_layers():
    net = Tiny()
    gradient = numerical_gradient(net, flat_weights(net))
    expected = gradient[:12].norm() + gradient[12:].norm()
    assert grad_norm(net(INPUTS), LABELS, kernels(net)) == pytest.approx(expected.item(), rel=1e-6)
    assert expected > gradient.norm() * 1.01


def test_grasp_by_finite_differences():
    net = Tiny()
    weights = flat_weights(net)
    slope = numerical_gradient(net, weights)
    # H g: how the gradient changes along g.
    step = 1e-4
    curved = (numerical_gradient(net, weights + step * slope) - numerical_gradient(net, weights - step * slope)) / (
        2 * step
    )
    expected = -(weights * curved).sum().item()
    assert grasp(net(INPUTS), LABELS, kernels(net)) == pytest.approx(expected, rel=1e-3)  # of two differences


def test_what_does_not_feed_the_logits_counts_nothing():
    net = Tiny()
    unused = nn.Parameter(torch.ones(3, dtype=torch.float64))
    for score in (snip, grad_norm, grasp):
        assert score(net(INPUTS), LABELS, [*kernels(net), unused]) == score(net(INPUTS), LABELS, kernels(net))


def test_kernels_are_of_convolutions_and_linear_layers_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    assert [tuple(weight.shape) for weight in kernels(net)] == [(4, 3, 3, 3), (2, 4)]


# SynFlow --------------------------------------------------------------------------------------------------------------


def test_synflow_of_a_chain_is_its_flow_once_for_each_layer():
    # On ones, |-1 2| and |1 -2| give each hidden unit 1 + 2 = 3, and |3 -4| gives R = 3 * 3 + 3 * 4 = 21; and each
    # of the two layers gives sum of w dR/dw = R.
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    net[1].weight.data = torch.tensor([[-1.0, 2.0], [1.0, -2.0]])
    net[3].weight.data = torch.tensor([[3.0, -4.0]])
    assert synflow(net, torch.ones(1, 2, 1, 1)) == pytest.approx(2 * 21)
    assert net[1].weight[0, 0].item() == -1  # of a copy


def test_synflow_leaves_batch_norm_out_and_doubles_with_a_layer():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    plain = synflow(net, torch.ones(1, 3, 3, 3))
    net[1].weight.data.fill_(9)
    net.eval()
    assert synflow(net, torch.ones(1, 3, 3, 3)) == plain
    # Twice the kernel: the flow of both layers doubles, but for the classifier's bias, which no weight carries.
    net[0].weight.data *= 2
    assert synflow(net, torch.ones(1, 3, 3, 3)) == pytest.approx(2 * plain)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in without_norms(net).modules())


# Patterns and Jacobians -----------------------------------------------------------------------------------------------


def test_the_kernel_of_codes_counts_units_that_agree():
    codes = torch.tensor([[1, 1, 0, 0, 1], [1, 0, 0, 1, 1], [0, 0, 1, 1, 0]], dtype=torch.bool)
    expected = [[5, 3, 0], [3, 5, 2], [0, 2, 5]]
    assert hamming_kernel(codes).tolist() == expected
    # det = 5 (25 - 4) - 3 (15 - 0) = 60
    assert torch.linalg.slogdet(hamming_kernel(codes)).logabsdet.item() == pytest.approx(math.log(60))


def test_naswot_of_a_known_network():
    # One ReLU for each of two pixels: patterns 10, 01, 11 and so K = [[2, 0, 1], [0, 2, 1], [1, 1, 2]], det = 4.
    net = nn.ReLU()
    inputs = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])[:, :, None, None]
    assert naswot(net, inputs) == pytest.approx(math.log(4))
    assert naswot(net, inputs[[0, 1, 0]]) == -math.inf


def test_uncorrelated_rows_have_the_best_score_and_equal_ones_the_worst():
    # Rows of a Hadamard matrix, without the constant one, have correlation zero: every eigenvalue is 1.
    rows = torch.tensor([[1.0, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    expected = -3 * (math.log(1 + SMALL) + 1 / (1 + SMALL))
    assert jacobian_score(rows) == pytest.approx(expected)
    # Two equal rows: eigenvalues 2 and 0.
    pair = rows[[0, 0]]
    expected = -(math.log(2 + SMALL) + 1 / (2 + SMALL) + math.log(SMALL) + 1 / SMALL)
    assert jacobian_score(pair) == pytest.approx(expected, rel=1e-6)
    assert jacobian_score(pair) < jacobian_score(rows)


def test_the_jacobian_is_that_of_the_sum_of_outputs():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    inputs = torch.randn(5, 1, 2, 2, generator=generator())
    torch.testing.assert_close(jacobian(net, inputs), net[1].weight.sum(0).expand(5, 4))


def test_a_network_that_lets_nothing_through_has_no_jacobian_score():
    net, images = (
        NAS_BENCH_201.network(Architecture(NAS_BENCH_201, (0,) * 6), 2, ("normal",), 3),
        torch.randn(4, 3, 4, 4),
    )
    assert math.isnan(jacobian_score(jacobian(net, images)))


# Zen ------------------------------------------------------------------------------------------------------------------


def test_zen_of_a_convolution_is_the_log_of_its_output_norm():
    # Without batch norm: f(x + alpha e) - f(x) = alpha W e, of norm alpha |2 e| for W = 2.
    net = nn.Conv2d(1, 1, 1, bias=False)
    net.weight.data.fill_(2)
    noise = torch.tensor([[3.0, 4.0], [6.0, 8.0]])[:, None, :, None]
    found = zen(net, torch.randn(2, 1, 2, 1, generator=generator()), noise, 0.1)
    assert found == pytest.approx(math.log(0.1 * 2 * (5 + 10) / 2), rel=1e-5)


def test_zen_gives_back_the_scale_that_a_batch_norm_takes():
    def chain(factor: float) -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)]
        net = nn.Sequential(*layers, nn.BatchNorm2d(8))
        gaussian(net, generator())
        net[0].weight.data *= factor
        return net

    inputs, noise = (torch.randn(6, 3, 6, 6, generator=generator(seed)) for seed in (1, 2))
    plain = zen(chain(1), inputs, noise, 0.01)
    # Seven times the first kernel: what its batch norm gives is the same, and its deviation seven times as large.
    assert zen(chain(7), inputs, noise, 0.01) == pytest.approx(plain + math.log(7), abs=1e-3)


def test_the_scale_of_a_batch_norm_is_the_root_mean_variance_of_what_it_is_given():
    # Channels of variance 1 and 9: sqrt(5).
    values = torch.tensor([[-1.0, -3.0], [1.0, 3.0]])[:, :, None, None]
    features, logs = features_and_scales(nn.BatchNorm2d(2), values)
    assert logs == pytest.approx(0.5 * math.log(5))
    assert features.abs().tolist() == pytest.approx(np.ones((2, 2, 1, 1)), abs=1e-4)


def test_a_network_that_does_not_change_has_no_zen_score():
    net = NAS_BENCH_201.network(Architecture(NAS_BENCH_201, (0,) * 6), 2, ("normal",), 3)
    gaussian(net, generator())
    inputs = torch.randn(4, 3, 4, 4, generator=generator())
    assert zen(net, inputs, inputs, 0.01) == -math.inf


# Over a sample --------------------------------------------------------------------------------------------------------


def test_the_rank_sum_by_hand():
    # By kappa, high first: 100 -> 1, 50 -> 2.5 twice, 2 -> 4; by regions, low first: 7 -> 1, 9 -> 2, 20 -> 3, 30 -> 4.
    kappas = torch.tensor([50.0, 2.0, 50.0, 100.0], dtype=torch.float64)
    regions = torch.tensor([9.0, 20.0, 7.0, 30.0], dtype=torch.float64)
    assert rank_sum(kappas, regions).tolist() == [4.5, 7.0, 3.5, 5.0]


def test_what_is_not_finite_is_worst_and_the_highest_is_found(problem: NASProblem):
    run = Run(seed=0)
    scores = torch.tensor([1.0, -3.0, float("nan"), 2.0, -math.inf], dtype=torch.float64)
    found = ranked(problem.sample, scores, run)
    assert found.scores is not None
    assert found.scores.tolist() == [1, -3, -4, 2, -4]
    assert found.architecture == problem.sample[3]
    assert run.artefacts == {"architecture": str(problem.sample[3]), "not_finite": 2}


def test_counts_are_the_published_ones(problem: NASProblem):
    # NAS-Bench-201 with K classes: 73,306 + 243,040 n3 + 28,000 n1 + 65 (K - 10), K = 4 here; at 8 pixels a sixteenth
    # of the MACs of convolutions at 32: (7,782,400 + 35,389,440 n3 + 3,932,160 n1) / 16 + 64 K.
    counted = [(a.count("nor_conv_3x3"), a.count("nor_conv_1x1")) for a in problem.sample]
    assert counted == [(4, 1), (0, 0), (6, 0), (3, 2), (0, 0)]
    parameters = [73_306 + 243_040 * threes + 28_000 * ones - 65 * 6 for threes, ones in counted]
    macs = [(7_782_400 + 35_389_440 * threes + 3_932_160 * ones) / 16 + 64 * 4 for threes, ones in counted]
    assert ParameterCount().fit(problem, Run(seed=0)).scores.tolist() == parameters
    assert MACCount().fit(problem, Run(seed=0)).scores.tolist() == macs


SIZES = {"width": 0.25, "depth": 0.2}
SCORES = [
    NASWOT(batch=6, **SIZES),
    GradNorm(batch=6, **SIZES),
    SNIP(batch=6, **SIZES),
    GraSP(batch=6, **SIZES),
    SynFlow(**SIZES),
    JacobianCovariance(batch=6, **SIZES),
    Zen(batch=6, draws=1, **SIZES),
    Kappa(repeats=2, batch=5),
    Regions(repeats=2, region_batches=2, region_batch=30),
    TENASScore(repeats=1, batch=5, region_batches=2, region_batch=30),
]


@pytest.mark.parametrize("method", SCORES, ids=lambda method: type(method).__name__)
def test_a_score_is_high_for_what_learns_finite_for_what_does_not_and_the_same_again(method, problem: NASProblem):
    found, again = (method.fit(problem, Run(seed=0)) for _ in range(2))
    assert found.scored == problem.sample
    assert found.scores.isfinite().all()
    assert torch.equal(found.scores, again.scores)
    assert found.architecture == problem.sample[int(found.scores.argmax())]
    other = method.fit(problem, Run(seed=1))
    assert not torch.equal(found.scores, other.scores) or isinstance(method, TENASScore)


@pytest.mark.parametrize("method", [NASWOT(batch=12, **SIZES), SCORES[4], SCORES[7], SCORES[8], SCORES[9]])
def test_the_best_cells_stand_before_the_broken_one(method, problem: NASProblem):
    scores = method.fit(problem, Run(seed=0)).scores
    assert scores[[0, 2, 3]].min() > scores[4]


def test_the_mean_over_repeats_is_that_of_single_draws(problem: NASProblem):
    one = Kappa(repeats=1, batch=5).fit(problem, Run(seed=0)).scores
    three = Kappa(repeats=3, batch=5).fit(problem, Run(seed=0)).scores
    assert not torch.equal(one, three)
    # The broken cell has 1e5 in every draw.
    assert three[4] == one[4] == -1e5


def test_the_rank_sum_is_of_the_same_draws_as_its_parts(problem: NASProblem):
    both = TENASScore(repeats=2, batch=5, region_batches=2, region_batch=30).fit(problem, Run(seed=0)).scores
    kappas = -Kappa(repeats=2, batch=5).fit(problem, Run(seed=0)).scores
    regions = Regions(repeats=2, region_batches=2, region_batch=30).fit(problem, Run(seed=0)).scores
    assert torch.equal(both, rank_sum(kappas, regions))
    assert kendalltau(both, rank_sum(kappas, regions)).statistic == pytest.approx(1)


@pytest.mark.parametrize("method", [SCORES[0], SCORES[9]])
def test_killed_at_any_architecture_it_scores_the_same(method, tmp_path, problem: NASProblem):
    class Killed(Exception):
        pass

    expected = method.fit(problem, Run(seed=0)).scores
    for stop in (1, 3):

        def die(name: str, done: int, stop: int = stop) -> None:
            if done == stop:
                raise Killed

        with pytest.raises(Killed):
            method.fit(problem, Run(seed=0, checkpoints=tmp_path / "c", save_every_s=0, on_step=die))
    found = method.fit(problem, Run(seed=0, checkpoints=tmp_path / "c", save_every_s=0)).scores
    assert torch.equal(found, expected)


# Published cells ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("genotype", "cifar", "imagenet"),
    [
        ("darts-v1", 3_169_414, 4_510_432),
        ("darts-v2", 3_349_342, 4_718_752),
        ("tenas-cifar10", 4_137_526, 5_868_640),
        ("tenas-imagenet", 3_779_398, 5_420_416),
    ],
)
def test_published_cells_have_the_parameters_that_were_counted(genotype, cifar, imagenet, problem: NASProblem):
    method = PublishedGenotype(genotype=genotype)
    sizes = (DARTS, 36, 20, 10, cifar), (DARTS_IMAGENET, 48, 14, 1000, imagenet)
    for space, channels, cells, classes, expected in sizes:
        there = replace(problem, space=space, network_channels=channels, network_cells=cells, classes=classes)
        with torch.device("meta"):
            network = there.network(method.build(there).architecture)
        assert sum(parameter.numel() for parameter in network.parameters()) == expected
    with pytest.raises(Unsupported, match="cells are of darts"):
        method.build(problem)
