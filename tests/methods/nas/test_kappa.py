"""The condition number of the NTK against loops of backward passes, closed forms and its invariances."""

import gc
import math
import weakref

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.nas._initial import initialise
from methods.nas._kappa import SINGULAR, condition_number, kappa, ntk
from methods.nas._tape import Tape, norm_back, norm_back_one_by_one
from tasks.nas.darts import DARTS
from tasks.nas.tabular import NAS_BENCH_201, TabularNet


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(number: int, side: int = 8, channels: int = 3) -> Tensor:
    return torch.randn(number, channels, side, side, generator=generator())


def looped(net: nn.Module, batch: Tensor, *inputs: Tensor) -> Tensor:
    """The kernel by one backward pass an image."""
    net.train()
    weights = [parameter for name, parameter in net.named_parameters() if "weight" in name]
    sums = net(batch, *inputs).sum(dim=1)
    rows = []
    for value in sums:
        gradients = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([g.flatten().double() for g in gradients if g is not None]))
    return torch.stack(rows) @ torch.stack(rows).T


def supernet(space=NAS_BENCH_201) -> tuple[nn.Module, Tensor]:
    net = space.proxy(space.kappa_proxy, 10)
    initialise(net, "kaiming", "fan_out", generator())
    weights = torch.full((len(space.edges), len(space.operators)), 1 / (len(space.operators) - 1))
    weights[:, 0] = 0
    return net, weights


class Assorted(nn.Module):
    """Every rule of the tape, and operations that have none."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.wide = nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=True)
        self.deep = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False)
        self.grouped = nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False)
        self.strided = nn.Conv2d(6, 6, 3, stride=2, padding=1, bias=False)
        self.point = nn.Conv2d(6, 6, 1, bias=False)
        self.valid = nn.Conv2d(6, 6, 2, bias=False)
        self.over = nn.Conv2d(6, 6, 1, padding=1, bias=False)
        self.plain = nn.BatchNorm2d(6, affine=False, track_running_stats=False)
        self.average = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.strided_average = nn.AvgPool2d(2, 2, ceil_mode=True)
        self.most = nn.MaxPool2d(3, 1, 1)
        self.relu = nn.ReLU()
        self.quiet = nn.ReLU(inplace=True)
        self.classifier = nn.Linear(12, 5)
        self.weight = nn.Parameter(torch.tensor(0.7))

    def forward(self, batch: Tensor) -> Tensor:
        x = self.stem(batch)
        x = x + 0.3 * self.relu(self.wide(x)) + self.average(x) * 0.5 + self.weight * self.deep(self.relu(x))
        x = self.grouped(self.quiet(x) + 1.5)
        x = self.strided(self.relu(x)) + self.strided_average(x)
        x = self.plain(x) + sum([self.point(x), self.most(x)])
        x = functional.pad(self.valid(x), (0, 1, 0, 1)) + self.over(x)[:, :, 1:-1, 1:-1]
        return self.classifier(torch.cat([x, -x], dim=1).mean(dim=(2, 3)))


def fresh(net: nn.Module) -> nn.Module:
    initialise(net, "kaiming", "fan_out", generator())
    return net


@pytest.mark.parametrize(
    ("net", "inputs", "batch"),
    [
        (lambda: supernet(), None, images(5)),
        (lambda: supernet(DARTS), None, images(5)),
        (lambda: (fresh(Assorted()),), None, images(9)),
    ],
    ids=["nas-bench-201", "darts", "assorted"],
)
def test_one_sweep_and_a_loop_of_backward_passes_give_the_same_kernel(net, inputs, batch):
    built, *inputs = net()
    expected = looped(built, batch, *inputs)
    found = ntk(built, batch, *inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert condition_number(found) == pytest.approx(condition_number(expected), rel=1e-4)


@pytest.mark.parametrize("operator", range(1, 5))
def test_the_kernel_of_single_cells_is_that_of_a_loop(operator):
    net, weights = supernet()
    weights = torch.zeros_like(weights)
    weights[:, operator] = 1
    batch = images(5)
    torch.testing.assert_close(ntk(net, batch, weights), looped(net, batch, weights), rtol=1e-4, atol=1e-3)


def test_in_double_precision_sweep_and_loop_agree_to_ten_digits():
    net, weights = supernet()
    net, batch = net.double(), images(5).double()
    found, expected = (condition_number(k(net, batch, weights.double())) for k in (ntk, looped))
    assert found == pytest.approx(expected, rel=1e-10)


def test_single_and_double_precision_agree_to_four_digits_on_sixteen_images():
    net, weights = supernet()
    batch = images(16, 16)
    single = kappa(net, batch, weights)
    assert kappa(net.double(), batch.double(), weights.double()) == pytest.approx(single, rel=1e-4)


def test_a_linear_model_on_orthonormal_rows_has_kappa_one():
    # The gradient of the sum of k outputs by W is the input, once for each: Theta = k X X^T = k I.
    batch = torch.linalg.qr(torch.randn(12, 12, generator=generator(), dtype=torch.float64))[0][:7]
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False)).double()
    torch.testing.assert_close(ntk(net, batch.reshape(7, 3, 2, 2)), 3 * torch.eye(7, dtype=torch.float64))
    assert kappa(net, batch.reshape(7, 3, 2, 2)) == pytest.approx(1, abs=1e-12)


def test_a_linear_model_has_the_condition_of_its_inputs():
    # Two inputs of length 1 with inner product 0.6: eigenvalues 1 + 0.6 and 1 - 0.6.
    batch = torch.tensor([[1.0, 0.0], [0.6, 0.8]]).reshape(2, 2, 1, 1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 4))
    assert kappa(net, batch) == pytest.approx(1.6 / 0.4, rel=1e-6)


def test_biases_do_not_count():
    # With the gradient by the bias, 1 for each of one output, there would be Theta = X X^T + 1 = [[2, 1.6], [1.6, 2]].
    batch = torch.tensor([[1.0, 0.0], [0.6, 0.8]]).reshape(2, 2, 1, 1)
    found = ntk(nn.Sequential(nn.Flatten(), nn.Linear(2, 1)), batch)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64), rtol=1e-6, atol=1e-6)


class Scaled(nn.Module):
    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, batch: Tensor, weights: Tensor) -> Tensor:
        return self.factor * self.net(batch, weights)


def test_kappa_is_at_least_one_and_does_not_change_with_the_scale_of_the_output():
    net, weights = supernet()
    batch = images(6)
    plain = kappa(net, batch, weights)
    assert plain > 1
    assert kappa(Scaled(net, 7.5), batch, weights) == pytest.approx(plain, rel=1e-4)


def test_kappa_does_not_depend_on_the_order_of_the_batch_but_on_what_else_is_in_it():
    net, weights = supernet()
    batch = images(6)
    shuffled = batch[torch.randperm(6, generator=generator(1))]
    assert kappa(net, shuffled, weights) == pytest.approx(kappa(net, batch, weights), rel=1e-4)
    # The kernel of the first two images, beside four others and beside none.
    assert not torch.allclose(ntk(net, batch, weights)[:2, :2], ntk(net, batch[:2], weights), rtol=0.1)


def test_batch_norm_takes_the_statistics_of_the_batch_even_of_a_network_in_eval_mode():
    net, weights = supernet()
    batch = images(6)
    expected = kappa(net, batch, weights)
    assert kappa(net.eval(), batch, weights) == pytest.approx(expected, rel=1e-6)
    net.eval()
    frozen = looped_in_eval(net, batch, weights)
    assert abs(frozen / expected - 1) > 0.1


def looped_in_eval(net: nn.Module, batch: Tensor, weights: Tensor) -> float:
    parameters = [parameter for name, parameter in net.named_parameters() if "weight" in name]
    rows = []
    for value in net(batch, weights).sum(dim=1):
        gradients = torch.autograd.grad(value, parameters, retain_graph=True)
        rows.append(torch.cat([g.flatten().double() for g in gradients]))
    return condition_number(torch.stack(rows) @ torch.stack(rows).T)


@pytest.mark.parametrize(
    "kernel",
    [
        torch.zeros(4, 4),
        torch.ones(4, 4),
        torch.full((3, 3), float("nan")),
        torch.diag(torch.tensor([1.0, -1e-3])),
        torch.diag(torch.tensor([1.0, math.inf])),
    ],
    ids=["nothing", "rank one", "nan", "negative", "infinite"],
)
def test_a_kernel_without_a_condition_number_has_that_of_the_authors_code(kernel):
    assert condition_number(kernel) == SINGULAR == 100_000


def test_a_cell_that_lets_nothing_through_has_a_singular_kernel():
    net, weights = supernet()
    assert kappa(net, images(5), torch.zeros_like(weights)) == SINGULAR


def test_two_equal_images_are_singular_beyond_rounding():
    net, weights = supernet()
    batch = images(4)
    batch[1] = batch[0]
    found = kappa(net.double(), batch.double(), weights.double())
    assert found > 1e9 or found == SINGULAR  # as rounding makes the least eigenvalue positive or not


@pytest.mark.parametrize("back", [norm_back, norm_back_one_by_one])
def test_both_ways_back_through_a_batch_norm_are_those_of_autograd(back):
    features = torch.randn(6, 3, 4, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    scale = torch.rand(3, generator=generator(), dtype=torch.float64).requires_grad_()
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    output = functional.batch_norm(features, None, None, scale, shift, training=True, eps=1e-5)
    cotangents = torch.randn(5, *output.shape, generator=generator(1), dtype=torch.float64)
    mean, variance = features.detach().mean((0, 2, 3)), features.detach().var((0, 2, 3), correction=0)
    found = back(cotangents, features.detach(), scale.detach(), mean, (variance + 1e-5).rsqrt(), 1e-5)
    for number, one in enumerate(cotangents):
        expected = torch.autograd.grad(output, (features, scale, shift), one, retain_graph=True)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours[number], theirs, rtol=1e-9, atol=1e-11)


def test_what_feeds_several_edges_is_computed_once_and_convolutions_of_one_input_share_their_patches():
    net, weights = supernet()
    parameters = [parameter for name, parameter in net.named_parameters() if "weight" in name]
    with Tape(parameters) as tape:
        logits = net(images(3), weights)
    tape.back(logits, torch.ones(1, *logits.shape))
    # In each of 3 cells the nodes 0, 1 and 2 feed edges: 9 averages and 9 ReLUs, 2 for each block and the last one.
    assert len(tape.once) == 3 * 3 * 2 + 2 * 2 + 1
    # The stem; 1x1 and 3x3 of 9 nodes; three convolutions of each block, the first with the cell's last ReLU.
    assert len(tape.patches) == 1 + 2 * 9 + 2 * 3


def test_a_tape_goes_with_its_last_name_without_waiting_for_the_collector():
    net, weights = supernet()
    gc.disable()
    try:
        with Tape([net.classifier.weight, net.stem[0].weight]) as tape:
            logits = net(images(3), weights)
        tape.back(logits, torch.ones(1, *logits.shape))
        held = weakref.ref(tape.entries[0].output)
        del tape
        assert held() is None
    finally:
        gc.enable()


def test_a_change_in_place_is_refused():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, batch: Tensor) -> Tensor:
            return self.layer(batch.flatten(1)).mul_(2)

    with pytest.raises(ValueError, match="in place"):
        ntk(InPlace(), images(2, 2, 1))


def test_the_network_is_still_one_that_autograd_differentiates():
    net, weights = supernet()
    assert isinstance(net, TabularNet)
    kappa(net, images(3), weights)
    net(images(3), weights).sum().backward()
    assert net.classifier.weight.grad is not None
