"""What is held out in L2O: each shift is what it says, and networks are told of what they have not seen."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat

import pytest
import torch
from einops import rearrange
from torch import nn

from bench import MissingData
from tasks.l2o import CARDS, L2O, FunctionProblem, Samples, SparseProblem
from tasks.l2o.loading import load_networks
from tasks.l2o.networks import skeleton
from tasks.l2o.optimisees import Optimisees
from tasks.l2o.recipes import FUNCTIONS, NETWORKS, SPARSE, NetworkRecipe
from tasks.l2o.shifts import HeldOut
from tasks.readers import Images

SMALL = L2O(
    measurements=25,
    unknowns=50,
    patch_side=8,
    steps=4,
    validation_instances=64,
    test_instances=64,
    functions=32,
    function_steps=6,
    networks=2,
    training_steps=3,
    minibatch=16,
    pooling=2,
)
CARD = {card.name: card for card in CARDS}
NAMES = list(CARD)
MNIST5K = ("mlp-mnist5k", "convnet-mnist5k")


def load(name: str, task: L2O = SMALL, seed: int = 0) -> tuple[SparseProblem | FunctionProblem, HeldOut]:
    try:
        return task.load(name, "small", seed)
    except MissingData as error:
        pytest.skip(str(error))


class Still(nn.Module):
    def forward(self, optimisees: Optimisees, steps: int) -> Iterator[torch.Tensor]:
        return repeat(optimisees.start, steps)


# Shifts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SPARSE))
def test_the_shifts_of_the_lasso_family_are_what_they_say(name):
    problem, held_out = load(name, replace(SMALL, test_instances=1024))
    plain = held_out.test.samples
    noisy = SPARSE[name].snr_db
    sparsity = SPARSE[name].sparsity or 0.1
    parts = {shift: judged.samples for shift, judged in held_out.shifts.items()}
    assert set(parts) == {"denser", "noisier", "perturbed", "louder"}
    entries = plain.signals.numel()

    def share(samples: Samples) -> float:
        return (samples.signals != 0).double().mean().item()

    def snr(samples: Samples) -> float:
        clean = samples.signals @ samples.instances.dictionary.T
        some = clean.std(dim=1) > 0
        noise = samples.instances.measurements - clean
        # Of few measurements the ratio in dB is biased, each variance having few degrees of freedom: so add them up.
        return 10 * math.log10(((noise.var(1, correction=0) / clean.var(1, correction=0))[some]).mean().reciprocal())

    deviations = 4 * math.sqrt(2 * sparsity / entries)
    assert share(plain) == pytest.approx(sparsity, abs=deviations)
    assert share(parts["denser"]) == pytest.approx(2 * sparsity, abs=deviations)
    for shift in ("noisier", "perturbed", "louder"):
        assert share(parts[shift]) == pytest.approx(sparsity, abs=deviations)

    # Of m measurements (m - 1) / m of the noise is about their own mean: 1 dB for 5, 0.2 dB for 25.
    lost = -10 * math.log10(1 - 1 / plain.instances.measurements.shape[1])
    if math.isfinite(noisy):
        assert snr(plain) - lost == pytest.approx(noisy, abs=0.3)
    assert snr(parts["noisier"]) - lost == pytest.approx({20.0: 10.0}.get(noisy, 20.0), abs=0.3)

    for shift in ("denser", "noisier", "louder"):
        assert torch.equal(parts[shift].instances.dictionary, problem.dictionary)
    other = parts["perturbed"].instances.dictionary
    assert torch.allclose(other.norm(dim=0), torch.ones(other.shape[1]), atol=1e-5)
    turned = (other - problem.dictionary).norm(dim=0)
    # Noise of 0.05, of which the part along the column is undone.
    assert turned.mean().item() == pytest.approx(0.05, rel=0.2)
    assert 0 < turned.min() <= turned.max() < 0.15
    # What is measured was seen through the dictionary that the instances carry.
    if math.isinf(noisy):
        seen = parts["perturbed"].signals @ other.T
        assert torch.allclose(parts["perturbed"].instances.measurements, seen, atol=1e-5)

    loud, usual = (parts["louder"].signals, plain.signals)
    assert loud[loud != 0].std().item() == pytest.approx(10 * usual[usual != 0].std().item(), rel=0.1)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_the_shifts_of_functions_are_what_they_say(name):
    problem, held_out = load(name, replace(SMALL, functions=2000))
    unknowns = FUNCTIONS[name][1]
    parts = {shift: shifted.optimisees for shift, shifted in held_out.shifts.items()}
    assert set(parts) == {"wider", "scaled"} | ({"larger"} if name != "rosenbrock-2" else set())
    assert all(shifted.steps == held_out.steps == problem.steps for shifted in held_out.shifts.values())
    usual = held_out.optimisees
    assert parts["wider"].start.std().item() == pytest.approx(5 * usual.start.std().item(), rel=0.1)
    if "larger" in parts:
        assert parts["larger"].start.shape == (2000, 5 * unknowns)
        assert parts["larger"].start.std().item() == pytest.approx(usual.start.std().item(), rel=0.1)
    # Ten times as large, and divided by ten: on average the same.
    values = parts["scaled"].value(parts["scaled"].start, 0).double()
    evaluation = SMALL.evaluate(Still(), held_out)
    assert evaluation.metrics["scaled_loss"] == pytest.approx(values.mean().item() / 10)
    error = values.std().item() / 10 / math.sqrt(2000)
    assert evaluation.metrics["scaled_loss"] == pytest.approx(evaluation.metrics["loss"], abs=6 * error)
    # Steeper in the same measure, from starts as far out.
    slopes = [part.value_and_gradient(part.start, 0)[1].norm(dim=1).median() for part in (usual, parts["scaled"])]
    assert slopes[1].item() == pytest.approx(10 * slopes[0].item(), rel=0.15)


def test_the_median_of_an_even_number_of_functions_is_between_the_middle_two():
    _, held_out = load("rastrigin-2", replace(SMALL, functions=2))
    metrics = SMALL.evaluate(Still(), held_out).metrics
    assert metrics["median_loss"] == pytest.approx(metrics["loss"])


def test_the_shifts_of_networks_are_other_networks_or_a_longer_run():
    _, held_out = load("mlp-mnist5k")
    assert held_out.trainings.start.shape[1] == 196 * 20 + 20 + 210
    assert {
        name: (shift.optimisees.architecture, shift.optimisees.start.shape[1], shift.steps)
        for name, shift in held_out.shifts.items()
    } == {
        "longer": ("mlp", 4150, 12),
        "relu": ("relu", 4150, 3),
        "deeper": ("deeper", 4150 + 420, 3),
        # 1 x 1 x 32 are left of 14 x 14: 160 + 32 + 12,832 + 64 + 330.
        "convnet": ("convnet", 13_418, 3),
    }


def test_the_shifts_on_cifar10_are_the_networks_of_the_benchmark():
    generator = torch.Generator().manual_seed(0)
    part = Images(torch.randint(256, (20, 3, 32, 32), generator=generator, dtype=torch.uint8), torch.arange(20) % 10)
    recipe = replace(NETWORKS["mlp-cifar10"], read=lambda: (part, part))
    _, held_out = load_networks(SMALL, recipe, 0)
    counts = {name: shift.optimisees.start.shape[1] for name, shift in held_out.shifts.items()}
    built = {"convnet": "strided-convnet", "lenet": "lenet", "cell": "nas-cell"}
    assert counts == {
        name: sum(weights.numel() for weights in skeleton(architecture, 3, 32).parameters())
        for name, architecture in built.items()
    }
    # Not pooled, since nothing would be left.
    assert held_out.images.shape == (20, 3, 32, 32)
    metrics = SMALL.evaluate(Still(), held_out).metrics
    assert set(metrics) == set(CARD["mlp-cifar10"].metrics)


@pytest.mark.parametrize("name", MNIST5K)
def test_a_single_set_of_digits_is_cut_by_class_and_made_smaller_by_averages(name):
    problem, held_out = load(name)
    train, test = problem.family, held_out
    assert (train.images.shape, test.images.shape) == ((4000, 1, 14, 14), (1000, 1, 14, 14))
    assert train.labels.bincount().tolist() == [400] * 10
    assert test.labels.bincount().tolist() == [100] * 10
    (whole,) = NETWORKS[name].read()
    small = rearrange(whole.pixels.float() / 255, "n 1 (h p) (w q) -> n h w (p q)", p=2, q=2).mean(dim=-1)
    for images in (train.images, test.images):
        assert torch.cdist(images[:50].flatten(1), small.flatten(1)).amin(dim=1).max().item() < 0.01


def test_a_network_that_is_lost_has_the_loss_and_error_of_a_guess_and_its_last_finite_training_loss():
    class Lost(nn.Module):
        def forward(self, optimisees: Optimisees, steps: int) -> Iterator[torch.Tensor]:
            for k in range(steps):
                x = optimisees.start.clone()
                x[0] = math.nan if k else x[0]
                yield x

    part = Images(torch.zeros(40, 1, 28, 28, dtype=torch.uint8), torch.arange(40) % 10)
    problem, held_out = load_networks(SMALL, NetworkRecipe(lambda: (part, part)), 0)
    metrics = SMALL.evaluate(Lost(), held_out).metrics
    assert metrics["diverged"] == 50
    # The lost one says class 0, right for one image in ten; the other is black to its biases of 0.01.
    assert metrics["test_error"] == pytest.approx(90)
    assert metrics["test_loss"] == pytest.approx(math.log(10), abs=0.02)
    assert metrics["training_loss"] == pytest.approx(math.log(10), abs=0.1)
    assert SMALL.validate(Lost(), problem) == math.inf
