"""What the parts of ASG and CSG cost, as ratios in one run. Run by `tox -e bench`; skipped by the tests.

Times are the process's own, on one thread: others who use the machine disturb them least.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.training import descend
from methods.syn2real._apool import attentional_pool
from methods.syn2real._augment import Draws, augmented, draw
from methods.syn2real._proxy import proxy_divergence
from methods.syn2real._sgd import RollingSGD
from tasks.syn2real.backbones import build_backbone, frozen_copy

Figure = Callable[[str, float, str, str], None]

BATCH = 32
SIDE = 96
ROUNDS = 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def pictures(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (number, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


@pytest.mark.timeout(600)
def test_a_guided_step_with_the_teachers_features_kept(benchmark: Any, figure: Figure) -> None:
    student = build_backbone("efficientnet-lite0", pretrained="shipped")
    teacher = frozen_copy(student)
    optimizer = RollingSGD([p for group in student.groups().values() for p in group], 1e-4, 0.9, 5e-4)
    images = student.normalise(pictures(BATCH))
    with torch.no_grad():
        kept = teacher.features(images)

    def step(find: Callable[[], Tensor]) -> None:
        with torch.no_grad():
            probabilities = teacher.old_head(find()).softmax(1)
        descend(optimizer, proxy_divergence(student(images), probabilities))

    def ratio() -> float:
        return seconds(lambda: step(lambda: teacher.features(images))) / seconds(lambda: step(lambda: kept))

    ratios: list[float] = []
    benchmark.pedantic(lambda: ratios.append(ratio()), rounds=ROUNDS, warmup_rounds=1)
    found = statistics.median(ratios[1:])
    figure("a guided step with a pass of the teacher / with its features kept", found, "x", "above 1.1 x")
    assert found > 1.1


def pooled_in_a_loop(maps: Tensor) -> Tensor:
    """Attentional pooling, place by place."""
    pooled = []
    for one in maps:
        mean = one.mean((1, 2))
        total = sum(one[:, i, j] @ mean for i in range(one.shape[1]) for j in range(one.shape[2]))
        parts = (one[:, i, j] @ mean / total * one[:, i, j] for i in range(one.shape[1]) for j in range(one.shape[2]))
        pooled.append(sum(parts))
    return torch.stack(pooled)


def test_attentional_pooling_against_a_loop(benchmark: Any, figure: Figure) -> None:
    maps = torch.rand(BATCH, 672, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attentional_pool(maps), pooled_in_a_loop(maps))
    loop = statistics.median(seconds(lambda: pooled_in_a_loop(maps)) for _ in range(3))
    spent: list[float] = []

    def often() -> None:
        # One call is shorter than what the clock tells apart.
        spent.append(seconds(lambda: [attentional_pool(maps) for _ in range(50)]) / 50)

    benchmark.pedantic(often, rounds=ROUNDS, warmup_rounds=1)
    found = loop / statistics.median(spent)
    figure("attentional pooling place by place / at once", found, "x", "at least 5 x")
    assert found > 5


def test_views_of_a_batch_against_one_by_one(benchmark: Any, figure: Figure) -> None:
    images = pictures(4 * BATCH)
    draws = draw(len(images), 1, torch.Generator().manual_seed(0))

    def one_by_one() -> Tensor:
        rows = [slice(row, row + 1) for row in range(len(images))]
        return torch.cat(
            [
                augmented(images[row], Draws(draws.operations[row], draws.negative[row], draws.chances[row]), 6.0)
                for row in rows
            ]
        )

    assert torch.equal(augmented(images, draws, 6.0), one_by_one())
    ratios: list[float] = []
    benchmark.pedantic(
        lambda: ratios.append(seconds(one_by_one) / seconds(lambda: augmented(images, draws, 6.0))),
        rounds=ROUNDS,
        warmup_rounds=1,
    )
    found = statistics.median(ratios[1:])
    figure("views of 128 images one by one / by operation", found, "x", "above 1 x")
    assert found > 1
