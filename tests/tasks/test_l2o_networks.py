"""The networks of L2O as functions of their weights: against plain modules that are trained by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tasks.l2o.networks import Networks, Trainings, skeleton, unflattened

ARCHITECTURES = ["mlp", "relu", "deeper", "convnet", "strided-convnet", "lenet", "nas-cell"]


def images(count: int = 40, channels: int = 1, side: int = 28, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, channels, side, side, generator=generator)
    return pixels, torch.randint(10, (count,), generator=generator)


def trainings(architecture: str = "mlp", count: int = 3, **sizes: int) -> Trainings:
    return Networks(architecture, *images(**sizes), batch=8).draw(count, seed=5)


def parameters(architecture: str, channels: int, side: int) -> int:
    return sum(parameter.numel() for parameter in skeleton(architecture, channels, side).parameters())


# Shapes and counts ----------------------------------------------------------------------------------------------------


def test_the_mlp_has_its_published_number_of_weights():
    assert parameters("mlp", 1, 28) == parameters("relu", 1, 28) == 15_910
    assert trainings().start.shape == (3, 15_910)
    # 784 * 20 + 20, 20 * 20 + 20, 20 * 10 + 10.
    assert parameters("deeper", 1, 28) == 15_700 + 420 + 210


def test_the_convnets_end_as_published():
    # 9 * 16 + 16, 32, 25 * 16 * 32 + 32, 64, 512 * 10 + 10: 4 x 4 x 32 are left of a digit.
    assert parameters("convnet", 1, 28) == 160 + 32 + 12_832 + 64 + 5_130
    # 27 * 16 + 16, the same, 32 * 10 + 10: 1 x 1 x 32 are left of a CIFAR-10 image with strides of 2.
    assert parameters("strided-convnet", 3, 32) == 448 + 32 + 12_832 + 64 + 330


def test_the_lenet_and_the_cell_have_the_layers_of_their_description():
    # 75 * 6 + 6, 12, 150 * 16 + 16, 32, 400 * 120 + 120, 240, 120 * 84 + 84, 168, 84 * 10 + 10.
    assert parameters("lenet", 3, 32) == 456 + 12 + 2_416 + 32 + 48_120 + 240 + 10_164 + 168 + 850
    # 27 * 16 + 16 and three times 144 * 16 + 16, each with 32 of its norm; 16 * 10 + 10.
    assert parameters("nas-cell", 3, 32) == 448 + 3 * 2_320 + 4 * 32 + 170


# What is computed -----------------------------------------------------------------------------------------------------


def plain_mlp(activation: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 20), activation(), nn.Linear(20, 10))


def plain_convnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 10)),
    )


@pytest.mark.parametrize(
    ("architecture", "build"),
    [
        ("mlp", lambda: plain_mlp(nn.Sigmoid)),
        ("relu", lambda: plain_mlp(nn.ReLU)),
        ("convnet", plain_convnet),
    ],
)
def test_losses_and_weights_are_those_of_a_plain_module_trained_by_hand(architecture, build):
    problem = trainings(architecture)
    # Norms of weights of 0.01 make much of rounding errors.
    problem = replace(problem, images=problem.images.double(), start=problem.start.double())
    net = build().double().train()
    nn.utils.vector_to_parameters(problem.start[1].clone(), net.parameters())
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    x = problem.start
    for step in range(4):
        value, gradient = problem.value_and_gradient(x, step)
        assert torch.allclose(problem.value(x, step), value, rtol=1e-12)
        pixels, labels = (part[1] for part in problem._minibatches(step))
        loss = nn.functional.cross_entropy(net(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        assert value[1].item() == pytest.approx(loss.item(), rel=1e-12)
        slope = nn.utils.parameters_to_vector([parameter.grad for parameter in net.parameters()])
        assert torch.allclose(gradient[1], slope, rtol=1e-9, atol=1e-12)
        optimizer.step()
        x = x - 0.05 * gradient
    trained = nn.utils.parameters_to_vector(net.parameters()).detach()
    assert torch.allclose(x[1], trained, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(x[1], problem.start[1], atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_a_loss_near_that_of_a_guess_at_its_start_and_a_gradient(architecture):
    problem = trainings(architecture, channels=3, side=32, count=2)
    value, gradient = problem.value_and_gradient(problem.start, 0)
    # Weights of 0.01 say next to nothing, whatever is in the image: the loss of a guess is log 10.
    assert value.numpy() == pytest.approx(math.log(10), abs=0.25)
    assert gradient.shape == problem.start.shape
    assert (gradient.abs().amax(dim=1) > 1e-4).all()
    assert not value.requires_grad
    assert not gradient.requires_grad


def test_nodes_of_the_cell_see_the_sum_of_the_two_before_them():
    cell = skeleton("nas-cell", 3, 8)
    problem = trainings("nas-cell", count=1, channels=3, side=8)
    weights = unflattened(problem.start[0], cell)
    pixels = problem.images[:6]

    def node(number: int, x: torch.Tensor) -> torch.Tensor:
        part = {name: weights[f"nodes.{number}.{name}"] for name in ("0.weight", "0.bias", "1.weight", "1.bias")}
        x = nn.functional.conv2d(x, part["0.weight"], part["0.bias"], padding=1)
        return nn.functional.batch_norm(x, None, None, part["1.weight"], part["1.bias"], training=True).relu()

    first = node(0, pixels)
    second = node(1, first)
    third = node(2, first + second)
    fourth = node(3, second + third)
    fifth = nn.functional.avg_pool2d(third + fourth, 3, 1, 1)
    expected = fifth.mean((2, 3)) @ weights["head.1.weight"].T + weights["head.1.bias"]
    assert torch.allclose(problem.logits(problem.start, pixels)[0], expected, atol=1e-6)


def test_batch_normalisation_uses_the_statistics_of_the_batch_and_keeps_none():
    problem = trainings("convnet")
    pixels = problem.images[:10]
    together = problem.logits(problem.start, pixels)
    apart = problem.logits(problem.start, pixels[:5])
    assert not torch.allclose(together[:, :5], apart, atol=1e-5)
    problem.value(problem.start, 0)
    assert torch.equal(problem.logits(problem.start, pixels), together)
    # Without it images are taken one by one.
    plain = trainings("mlp")
    assert torch.allclose(plain.logits(plain.start, pixels)[:, :5], plain.logits(plain.start, pixels[:5]), atol=1e-6)


# Starts and minibatches -----------------------------------------------------------------------------------------------


def test_weights_start_as_published():
    problem = trainings("convnet", count=20)
    module = skeleton("convnet", 1, 28)
    for x in problem.start:
        parts = unflattened(x, module)
        for name in ("0.bias", "4.bias", "1.bias", "5.bias"):  # convolutions and norms
            assert not parts[name].any()
        for name in ("1.weight", "5.weight"):
            assert (parts[name] == 1).all()
    drawn = torch.cat(
        [unflattened(x, module)[name].flatten() for x in problem.start for name in ("4.weight", "9.bias")]
    )
    # Four deviations of the deviation and of the mean of 256,200 numbers.
    assert drawn.std().item() == pytest.approx(0.01, rel=4 * math.sqrt(0.5 / len(drawn)))
    assert drawn.mean().item() == pytest.approx(0, abs=4 * 0.01 / math.sqrt(len(drawn)))
    mlp = trainings(count=20).start
    assert mlp.std().item() == pytest.approx(0.01, rel=4 * math.sqrt(0.5 / mlp.numel()))


def test_linear_biases_of_a_network_with_norms_start_as_its_weights_do():
    parts = unflattened(trainings("lenet", channels=3, side=32).start[0], skeleton("lenet", 3, 32))
    assert parts["9.bias"].std().item() == pytest.approx(0.01, rel=0.3)
    assert (parts["10.weight"] == 1).all()
    assert not parts["10.bias"].any()
    assert not parts["0.bias"].any()


def test_each_network_has_minibatches_of_its_own_at_each_step_and_the_same_ones_again():
    problem = trainings(count=3)
    pixels, labels = problem._minibatches(4)
    assert pixels.shape == (3, 8, 1, 28, 28)
    again = problem._minibatches(4)
    assert torch.equal(pixels, again[0])
    assert torch.equal(labels, again[1])
    assert not torch.equal(pixels[0], pixels[1])
    assert not torch.equal(pixels, problem._minibatches(5)[0])
    # Labels stay with their images.
    known = {
        image.numpy().tobytes(): label for image, label in zip(problem.images, problem.labels.tolist(), strict=True)
    }
    assert [known[image.numpy().tobytes()] for image in pixels.flatten(0, 1)] == labels.flatten().tolist()


def test_minibatches_are_uniform_over_the_images():
    problem = trainings(count=3)
    position = {image.numpy().tobytes(): place for place, image in enumerate(problem.images)}
    drawn = [
        position[image.numpy().tobytes()]
        for step in range(200)
        for image in problem._minibatches(step)[0].flatten(0, 1)
    ]
    counts = np.bincount(drawn, minlength=40)
    # 4,800 draws, 120 each; the deviation of a count is 11.
    assert abs(counts - 120).max() < 5 * 11


def test_a_draw_depends_on_its_seed_and_on_nothing_else():
    family = Networks("mlp", *images(), batch=8)
    first = family.draw(2, 1)
    torch.rand(5)
    other = family.draw(2, 2)
    again = family.to(torch.device("cpu")).draw(2, 1)
    assert torch.equal(first.start, again.start)
    assert torch.equal(first._minibatches(3)[0], again._minibatches(3)[0])
    assert not torch.equal(first.start, other.start)
    assert not torch.equal(first._minibatches(3)[0], other._minibatches(3)[0])


def test_making_a_skeleton_draws_no_random_number():
    before = torch.get_rng_state()
    skeleton.cache_clear()
    skeleton("lenet", 3, 32)
    assert torch.equal(torch.get_rng_state(), before)
