"""Unrolled networks: what they are at their start, limits, symmetries and published counts."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy.integrate import quad
from torch import nn

from bench import Unsupported
from methods.l2o.alista import ALISTA
from methods.l2o.amp import AMPSolver
from methods.l2o.fista import FISTASolver
from methods.l2o.glista import GAINS, GLISTA
from methods.l2o.lamp import LAMP
from methods.l2o.lfista import LFISTA, momenta
from methods.l2o.lista import LISTA
from methods.l2o.lista_cp import LISTACP
from methods.l2o.lista_cp_tied import LISTACPTied
from methods.l2o.lista_cpss import LISTACPSS
from methods.l2o.lista_ss import LISTASS
from methods.l2o.step_lista import StepLISTA
from methods.l2o.tilista import TiLISTA
from methods.l2o.tista import TISTA, noise_share, posterior_mean
from tasks.l2o import L2O
from tasks.l2o.lasso import Instances, gaussian_dictionary, lipschitz, unit_columns

ROOT = Path(__file__).resolve().parents[3]
METHODS = {
    "lista": LISTA(),
    "lista-ss": LISTASS(),
    "lista-cp": LISTACP(),
    "lista-cp-tied": LISTACPTied(),
    "lista-cpss": LISTACPSS(),
    "alista": ALISTA(),
    "tilista": TiLISTA(),
    "lfista": LFISTA(),
    "lamp": LAMP(),
    "glista": GLISTA(),
    "tista": TISTA(),
    "step-lista": StepLISTA(),
}
# Permuted matrix products add up in another order; the posterior mean and gates multiply that.
TOLERANCES = {"tista": 1e-9, "glista": 1e-9}


def perturbed(net: nn.Module) -> nn.Module:
    """The network with weights that are no longer those of the start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 1 + 0.1 * torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype)
    return net


def gap(net: nn.Module, instances: Instances, expected: np.ndarray) -> float:
    return float(np.abs(net(instances, len(expected)).detach().numpy() - expected).max())


# At their start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        LISTA(),
        LISTASS(selection_rate=0.0),
        LISTACP(),
        LISTACPTied(),
        LISTACPSS(selection_rate=0.0),
        TiLISTA(selection_rate=0.0),
        GLISTA(selection_rate=0.0, gates=0.0),
        StepLISTA(),
    ],
    ids=lambda method: type(method).__name__,
)
def test_a_network_without_selection_starts_as_ista_in_every_layer(method, problem, instances, ista_by_hand):
    assert gap(method.build(problem), instances, ista_by_hand(0.4, 16)) < 1e-13


@pytest.mark.parametrize("method", [LISTASS(), LISTACPSS(), TiLISTA(), GLISTA(selection_rate=0.0)])
def test_with_selection_or_gates_it_does_not(method, problem, instances, ista_by_hand):
    assert gap(method.build(problem), instances, ista_by_hand(0.4, 16)) > 0.1


def test_step_lista_has_the_weight_of_the_objective_where_that_is_scored(problem, instances, ista_by_hand):
    scored = replace(problem, goal="objective")
    assert gap(StepLISTA().build(scored), instances, ista_by_hand(problem.weight, 16)) < 1e-13


def test_every_layer_of_step_lista_keeps_a_solution_of_the_lasso_whatever_its_step(problem, instances):
    net = StepLISTA(layers=1).build(replace(problem, goal="objective"))
    solution = FISTASolver(1 / lipschitz(problem.dictionary), problem.weight)(instances, 20_000)[-1]
    for step in (0.01, 0.3):
        with torch.no_grad():
            net.layers[0].gamma.fill_(step)
            (moved,) = net.layers[0](instances, solution)
        assert torch.allclose(moved, solution, atol=1e-8)


def test_lfista_starts_as_fista_in_every_layer(problem, instances):
    fista = FISTASolver(1 / lipschitz(problem.dictionary), 0.4)(instances, 16)
    assert gap(LFISTA().build(problem), instances, fista.numpy()) < 1e-13


def test_the_momenta_of_lfista_are_those_of_the_fact_sheet():
    assert momenta(5) == pytest.approx([0, 0, 0.2818, 0.4340, 0.5311], abs=5e-5)


def test_shifted_lfista_starts_one_iteration_ahead_and_is_not_fista(problem, instances):
    first, second = LFISTA(shifted=True).build(problem).layers[1:3]
    identity = torch.eye(50).double()
    W = identity - problem.dictionary.T @ problem.dictionary / lipschitz(problem.dictionary)
    assert torch.allclose(first.matrix, 1.2818 * W, atol=1e-4)
    assert torch.allclose(first.momentum, -0.2818 * W, atol=1e-4)
    assert torch.allclose(second.momentum, -0.4340 * W, atol=1e-4)
    fista = FISTASolver(1 / lipschitz(problem.dictionary), 0.4)(instances, 16)
    # The fact sheet has up to 0.18 an entry.
    assert 0.02 < gap(LFISTA(shifted=True).build(problem), instances, fista.numpy()) < 0.5


# One method as another ------------------------------------------------------------------------------------------------


def test_alista_with_the_dictionary_as_its_matrix_and_no_selection_is_ista(problem, instances, ista_by_hand):
    net = ALISTA(selection_rate=0.0).build(problem)
    net.begin.matrix.copy_(problem.dictionary)
    with torch.no_grad():
        for layer in net.layers:
            layer.gamma.fill_(1 / lipschitz(problem.dictionary))
    assert gap(net, instances, ista_by_hand(0.4, 16)) < 1e-13


def test_alista_is_lista_cpss_with_gamma_times_the_analytic_matrix(problem, instances):
    alista, cpss = perturbed(ALISTA().build(problem)), LISTACPSS().build(problem)
    with torch.no_grad():
        for ours, theirs in zip(alista.layers, cpss.layers, strict=True):
            theirs.matrix.copy_(ours.gamma * alista.begin.matrix)
            theirs.theta.copy_(ours.theta)
    assert torch.allclose(alista(instances, 16), cpss(instances, 16), atol=1e-12)


def test_tilista_with_the_analytic_matrix_is_alista(problem, instances):
    alista, tilista = perturbed(ALISTA().build(problem)), TiLISTA().build(problem)
    missing = tilista.load_state_dict(alista.state_dict())
    assert not missing.missing_keys
    assert torch.equal(alista(instances, 16), tilista(instances, 16))


def test_lista_cp_with_equal_matrices_is_the_tied_network(problem, instances):
    tied, free = perturbed(LISTACPTied().build(problem)), LISTACP().build(problem)
    free.load_state_dict(tied.state_dict())
    assert torch.equal(tied(instances, 16), free(instances, 16))


@pytest.mark.parametrize("gain", list(GAINS))
def test_glista_whose_gates_are_shut_is_lista_cpss(gain, problem, instances):
    glista, cpss = perturbed(GLISTA(gates=0.0, gain=gain).build(problem)), LISTACPSS().build(problem)
    with torch.no_grad():
        for ours, theirs in zip(glista.layers, cpss.layers, strict=True):
            theirs.matrix.copy_(ours.matrix)
            theirs.theta.copy_(ours.theta)
    assert torch.allclose(glista(instances, 16), cpss(instances, 16), atol=1e-12)


def test_lamp_with_the_dictionary_as_its_matrices_is_amp(problem, instances):
    net = LAMP(threshold=1.1402).build(problem)
    with torch.no_grad():
        for layer in net.layers:
            layer.matrix.copy_(problem.dictionary)
    assert gap(net, instances, AMPSolver(1.1402)(instances, 16).numpy()) < 1e-10


def test_a_threshold_of_lamp_below_zero_counts_as_zero(problem, instances):
    net = LAMP(layers=1).build(problem)
    with torch.no_grad():
        net.layers[0].threshold.fill_(-1.0)
    expected = instances.measurements @ problem.dictionary / lipschitz(problem.dictionary)
    assert torch.allclose(net(instances, 1)[0], expected)


# Parts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "at_zero", "at_half", "far"),
    [
        ("relu", 1, 0.5, 0),
        ("inverse", 200, 0.2 / 0.501, 0.2 / 4.001),
        ("exponential", 1, math.exp(-0.5), math.exp(-4)),
        ("sigmoid", 0.5, 1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(4))),
        ("none", 0, 0, 0),
    ],
)
def test_a_gain_falls_with_the_magnitude(gain, at_zero, at_half, far):
    found = GAINS[gain](torch.tensor([0.0, 0.5, 4.0]).double())
    assert found.tolist() == pytest.approx([at_zero, at_half, far], rel=1e-6)


def test_a_layer_of_glista_is_its_equations_for_one_unknown(problem_of):
    # A = 1, b = 1; W = 1/L, theta = 0.5; first layer without gates on x: z = 1/L - 0.5, o = 1 - e 0.5 / (|z| + 0.1).
    problem = problem_of(torch.ones(1, 1).double())
    instances = Instances(problem.dictionary, torch.tensor([[1.0]]).double(), 0.005)
    scale = lipschitz(problem.dictionary)
    net = GLISTA(layers=2, selection_rate=0.0, weight=0.5 * scale, gates=0.2).build(problem)
    z = 1 / scale - 0.5
    first = (1 - 0.2 * 0.5 / (z + 0.1)) * z
    amplified = first * (1 + 0.2 * 0.5 * max(1 - first, 0))
    z = amplified + (1 - amplified) / scale - 0.5
    stride = 1 - 0.2 * 0.5 / (abs(z - first) + 0.1)
    assert net(instances, 2).flatten().tolist() == pytest.approx([first, first + stride * (z - first)], abs=1e-9)


def test_glista_leaves_the_stride_of_entries_alone_that_were_selected_before(problem_of):
    # All entries are selected in the first layer: the second gate of the second layer has nothing to do.
    problem = problem_of(torch.ones(1, 1).double())
    instances = Instances(problem.dictionary, torch.tensor([[2.0]]).double(), 0.005)
    net = GLISTA(layers=2, selection_rate=100.0, selection_limit=100.0, gain="none").build(problem)
    first, second = net(instances, 2).flatten().tolist()
    assert second == pytest.approx(first + (2 - first) / lipschitz(problem.dictionary), abs=1e-9)


@pytest.mark.parametrize(("r", "error"), [(0.3, 0.01), (-1.2, 0.2), (2.5, 1.0), (0.0, 0.1)])
def test_the_posterior_mean_is_the_integral_of_bayes(r, error):
    p, variance = 0.1, 0.7

    def normal(x: float, v: float) -> float:
        return math.exp(-(x**2) / (2 * v)) / math.sqrt(2 * math.pi * v)

    points = [r - 3 * math.sqrt(error), r + 3 * math.sqrt(error)]
    weigh = [
        quad(lambda x, k=k: x**k * p * normal(x, variance) * normal(r - x, error), -9, 9, points=points)[0]
        for k in (0, 1)
    ]
    expected = weigh[1] / (weigh[0] + (1 - p) * normal(r, error))
    numbers = (torch.tensor(value, dtype=torch.float64) for value in (math.log(p / (1 - p)), variance))
    found = posterior_mean(*(torch.tensor([[v]], dtype=torch.float64) for v in (r, error)), *numbers)
    assert found.item() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("snr_db", "share"), [(20.0, 0.01 / 1.01), (0.0, 0.5)])
def test_the_share_of_noise_is_read_off_training_samples(snr_db, share, problem_of):
    dictionary = unit_columns(gaussian_dictionary(50, 100, 0).double())
    # 400 samples of 50 measurements, of which a quarter go into the fit: 1 %, and a share is a ratio of random numbers.
    assert noise_share(problem_of(dictionary, snr_db)) == pytest.approx(share, rel=0.03)


@pytest.mark.parametrize("dataset", ["sparse", "lasso-25x50", "cs-photos"])
def test_without_noise_the_share_is_none(dataset):
    problem, _ = L2O(validation_instances=8, test_instances=8, patch_side=4, measurements=10, unknowns=20).load(
        dataset, "small", 0
    )
    assert noise_share(problem) < 1e-10


@pytest.mark.parametrize("gamma", [0.6, 1.0, 1.3])
def test_the_error_that_tista_reckons_with_is_the_one_of_its_first_step(gamma, problem_of):
    dictionary = unit_columns(gaussian_dictionary(250, 500, 0).double())
    problem = problem_of(dictionary, 3.0)
    samples = problem.draw(1024, seed=5)
    layer = TISTA(layers=1).build(problem).layers[0]
    with torch.no_grad():
        layer.gamma.fill_(gamma)
        b = samples.instances.measurements
        r = gamma * b @ torch.linalg.pinv(dictionary).T
        reckoned = layer.error(b, b, 500).mean()
    # Means over half a million entries; the estimate takes a Gaussian dictionary for an orthogonal one.
    assert reckoned.item() == pytest.approx((r - samples.signals).square().mean().item(), rel=0.03)


# Symmetries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(METHODS))
def test_a_network_is_odd_in_the_measurements(name, problem, instances):
    net = perturbed(METHODS[name].build(problem))
    assert torch.equal(net(replace(instances, measurements=-instances.measurements), 16), -net(instances, 16))


@pytest.mark.parametrize("name", list(METHODS))
def test_the_order_of_the_columns_is_the_order_of_the_unknowns(name, problem, instances):
    order = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    expected = METHODS[name].build(problem)(instances, 16)[..., order]
    reordered = problem.dictionary[:, order]
    turned = replace(problem, dictionary=reordered, source=replace(problem.source, dictionary=reordered))
    found = METHODS[name].build(turned)(replace(instances, dictionary=reordered), 16)
    assert torch.allclose(found, expected, atol=TOLERANCES.get(name, 1e-12))


@pytest.mark.parametrize("name", list(METHODS))
def test_what_measured_nothing_has_finite_slopes(name, problem):
    # A signal without entries, as a third of those of 5 x 10 are: norms and shares of zero.
    net = METHODS[name].build(problem)
    silent = Instances(problem.dictionary, torch.zeros(2, 25).double(), problem.weight)
    net(silent, 16).square().sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize("name", list(METHODS))
def test_more_iterations_than_layers_are_unsupported(name, problem, instances):
    with pytest.raises(Unsupported, match="the network has 16 layers, 17 iterations were asked for"):
        METHODS[name].build(problem)(instances, 17)


@pytest.mark.parametrize("name", list(METHODS))
def test_fewer_iterations_are_the_first_ones(name, problem, instances):
    net = METHODS[name].build(problem)
    assert torch.equal(net(instances, 5), net(instances, 16)[:5])


# Counts ---------------------------------------------------------------------------------------------------------------

COUNTS = {
    "lista": 4_063_248,
    "lfista": 7_995_408,
    "lista-cp": 2_097_168,
    "lista-cpss": 2_097_168,
    "tilista": 131_104,
    "alista": 32,
    "step-lista": 16,
    "lamp": 2_097_168,
    "glista": 2_105_392,
    # Not in the paper's tables: LISTA's; one matrix and 16 thresholds; 16 matrices and three numbers each.
    "lista-ss": 4_063_248,
    "lista-cp-tied": 256 * 512 + 16,
    "tista": 16 * (256 * 512 + 3),
}


@pytest.fixture(scope="module")
def published_size(problem_of):
    return problem_of(unit_columns(gaussian_dictionary(256, 512, 0)))


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_the_number_of_parameters_is_the_published_one(name, count, published_size):
    net = METHODS[name].build(published_size)
    assert sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad) == count


def test_the_counts_are_those_of_the_papers_table():
    tables = yaml.safe_load((ROOT / "papers" / "open_l2o.yaml").read_text())["tables"]
    (table,) = (table for table in tables if table["id"] == "trained-numbers")
    printed = {row["run"]["method"]: row["cells"]["parameters"]["printed"] for row in table["rows"]}
    learned = {name: int(text.replace(",", "")) for name, text in printed.items() if text != "0"}
    assert learned == {name: COUNTS[name] for name in learned}
    assert learned.keys() == COUNTS.keys() - {"lista-ss", "lista-cp-tied", "tista"}


def test_the_page_shows_the_tied_network_as_it_is_in_under_30_lines():
    _, _, rest = (ROOT / "docs" / "l2o.md").read_text().partition("## Adding a LISTA variant")
    shown = rest.split("```python\n")[1].split("```")[0]
    assert shown == (ROOT / "methods" / "l2o" / "lista_cp_tied.py").read_text()
    assert len(shown.splitlines()) < 30
