"""What a step of meta-training costs, next to a plain loop over functions that differentiates through each of them."""

import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.training import Memory
from methods.l2o._learned import Seen
from methods.l2o._meta import unrolled
from methods.l2o.l2o_rnnprop import L2ORNNprop, RNNprop
from tasks.l2o.functions import Functions, LeastSquares

FUNCTIONS = Functions("rastrigin", 10).draw(32, 0)
STEPS = 20
Figure = Callable[[str, float, str, str], None]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def row(functions: LeastSquares, number: int) -> LeastSquares:
    parts = {field.name: getattr(functions, field.name) for field in fields(functions)}
    return replace(functions, **{k: v[number : number + 1] for k, v in parts.items() if isinstance(v, Tensor)})


def batched(net: RNNprop) -> list[Tensor]:
    x, state = net.begin(FUNCTIONS, torch.Generator())
    ride = Memory(done=0, x=x, first=FUNCTIONS.value(x), state=state)
    loss, _ = unrolled(net, FUNCTIONS, ride, STEPS, L2ORNNprop())
    return list(torch.autograd.grad(loss, list(net.parameters())))


def plain(net: RNNprop) -> list[Tensor]:
    total = torch.zeros(())
    for number in range(len(FUNCTIONS.start)):
        function = row(FUNCTIONS, number)
        x, state = net.begin(function, torch.Generator())
        for _ in range(STEPS):
            free = x.detach().requires_grad_()
            value = function.value(free)
            (gradient,) = torch.autograd.grad(value.sum(), free)
            update, state = net.step(Seen(free.detach(), value.detach(), gradient, function.sizes), state)
            x = x + update
            total = total + function.value(x).sum() / len(FUNCTIONS.start)
    return list(torch.autograd.grad(total, list(net.parameters())))


def test_an_unroll_of_32_functions_with_its_derivative(benchmark: Any, figure: Figure) -> None:
    net = RNNprop(torch.Generator().manual_seed(0))
    start = time.perf_counter()
    expected = plain(net)
    loop = time.perf_counter() - start
    found = benchmark.pedantic(batched, (net,), rounds=5, warmup_rounds=1)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * theirs.abs().max().item())
    taken = benchmark.stats.stats.median
    figure("an unroll of 32 functions, 20 steps, with its derivative", 1e3 * taken, "ms", "none; one thread")
    figure("the same, one function after another through f", loop / taken, "times", "at least 10")
    assert loop / taken > 5
