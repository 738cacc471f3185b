"""What stage-wise training of an unrolled network costs, against the loop that one would write first."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from jaxtyping import config
from torch import nn

from bench.run import Run
from bench.seeds import derive_seed
from methods.l2o.lista_cpss import LISTACPSS
from tasks.l2o import L2O, SparseProblem

Figure = Callable[[str, float, str, str], None]

METHOD = LISTACPSS(layers=8, stage_steps=(50, 100, 50), lrs=(2e-3, 1e-3, 2e-4))
"""The small budget, with half as many layers."""


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Shapes are checked in tests; users do not pay for it."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def straightforward(problem: SparseProblem) -> nn.Module:
    """Each step draws its batch and runs all layers so far, with slopes for all; Adam and `topk` as they come."""
    scale = 1.001 * torch.linalg.matrix_norm(problem.dictionary.double(), 2).item() ** 2
    matrices = [nn.Parameter(problem.dictionary / scale) for _ in range(METHOD.layers)]
    thetas = [nn.Parameter(torch.tensor(METHOD.weight / scale)) for _ in range(METHOD.layers)]
    for depth in range(1, METHOD.layers + 1):
        for stage, (lr, steps) in enumerate(zip(METHOD.lrs, METHOD.stage_steps, strict=True), start=1):
            moving = range(depth - 1 if stage == 1 else 0, depth)
            optimizer = torch.optim.Adam([v for k in moving for v in (matrices[k], thetas[k])], lr=lr)
            for step in range(steps):
                samples = problem.draw(METHOD.batch, derive_seed(0, depth, stage, step))
                b, x = samples.instances.measurements, samples.instances.start
                for k in range(depth):
                    z = x + (b - x @ problem.dictionary.T) @ matrices[k]
                    shrunk = z.sign() * (z.abs() - thetas[k]).clamp(min=0)
                    count = round(z.shape[1] * METHOD.percents[k] / 100)
                    least = z.detach().abs().topk(count).values[:, -1:]
                    x = torch.where((z.abs() >= least) & (z.abs() > thetas[k]), z, shrunk)
                for variable in (*matrices, *thetas):
                    variable.grad = None
                problem.loss(x, samples).backward()
                optimizer.step()
    net = METHOD.build(problem)
    with torch.no_grad():
        for layer, matrix, theta in zip(net.layers, matrices, thetas, strict=True):
            layer.matrix.copy_(matrix)
            layer.theta.copy_(theta)
    return net


@pytest.mark.usefixtures("unchecked")
@pytest.mark.timeout(600)
def test_training_lista_cpss_layer_by_layer(benchmark: Any, figure: Figure) -> None:
    problem, _ = L2O(measurements=50, unknowns=100, steps=METHOD.layers).load("sparse", "small", 0)
    trained = benchmark.pedantic(lambda: METHOD.fit(problem, Run(seed=0)), rounds=1)
    seconds = benchmark.stats.stats.median

    start = time.perf_counter()
    plain = straightforward(problem)
    ratio = (time.perf_counter() - start) / seconds

    # Same equations and schedule, other samples: how far two seeds are apart.
    assert problem.validation_loss(trained) == pytest.approx(problem.validation_loss(plain), rel=0.1)
    figure("training LISTA-CPSS, 8 layers, small", seconds, "s", "at most 8 s")
    figure("the same by a straightforward loop", ratio, "x", "at least 1.3 x")
