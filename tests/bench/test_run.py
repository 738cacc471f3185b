"""Steps that resume, batches that depend on (seed, k) alone, and logging that stops a run that has blown up."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from allwin_toy.descent import Descent
from allwin_toy.task import Toy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.errors import Diverged, TimeLimitExceeded
from bench.run import CURVE_POINTS, Run
from bench.training import Batches, Memory, descend, frozen, lookahead

PROBLEM, _ = Toy().load("normal", "smoke", 0)


class Killed(Exception):
    pass


def kill_at(last: int, phase: str, step: int) -> None:
    if step == last:
        raise Killed


@functools.cache
def uninterrupted() -> tuple[float, dict[str, Any]]:
    run = Run(seed=3)
    net = Descent(steps=40).fit(PROBLEM, run)
    return net.value.item(), run.curves()["loss"].model_dump()


@given(st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_a_fit_killed_at_any_step_ends_with_the_same_bits(tmp_path_factory: pytest.TempPathFactory, step: int) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    with pytest.raises(Killed):
        Descent(steps=40).fit(
            PROBLEM, Run(seed=3, checkpoints=folder, save_every_s=0, on_step=functools.partial(kill_at, step))
        )
    run = Run(seed=3, checkpoints=folder)
    net = Descent(steps=40).fit(PROBLEM, run)
    assert run.resumed
    assert (net.value.item(), run.curves()["loss"].model_dump()) == uninterrupted()


def two_phases(run: Run, log: list[tuple[str, int]]) -> torch.Tensor:
    net = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        net.weight.zero_()
    for phase, number in (("search", 5), ("retrain", 4)):
        for step in run.steps(number, {"net": net}, name=phase):
            log.append((phase, step))
            with torch.no_grad():
                net.weight += torch.rand(net.weight.shape, generator=run.generator)
            if phase == "search" and step == 2:
                run.stop()
    return net.weight.detach()


def test_a_phase_that_stopped_early_is_finished_and_is_not_entered_again(tmp_path: Path) -> None:
    whole = two_phases(Run(seed=0), [])
    log: list[tuple[str, int]] = []
    with pytest.raises(Killed):
        two_phases(Run(seed=0, checkpoints=tmp_path, save_every_s=0, on_step=functools.partial(kill_at, 1)), log)
    assert log == [("search", 0)]

    # Resumed once into the second phase, killed there, and resumed again.
    def kill_in_second(phase: str, step: int) -> None:
        if (phase, step) == ("retrain", 2):
            raise Killed

    log.clear()
    with pytest.raises(Killed):
        two_phases(Run(seed=0, checkpoints=tmp_path, save_every_s=0, on_step=kill_in_second), log)
    assert log == [("search", 1), ("search", 2), ("retrain", 0), ("retrain", 1)]
    log.clear()
    assert torch.equal(two_phases(Run(seed=0, checkpoints=tmp_path, save_every_s=0), log), whole)
    assert log == [("retrain", 2), ("retrain", 3)]


def test_nested_loops_and_repeated_names_are_refused() -> None:
    run = Run(seed=0)
    with pytest.raises(RuntimeError, match="only the outermost loop counts"):
        for _ in run.steps(1, {}):
            next(run.steps(1, {}, name="inner"))
    with pytest.raises(RuntimeError, match="two phases are called 'fit'"):
        next(run.steps(1, {}))


def test_what_cannot_be_saved_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"state\['best'\] has no state_dict"):
        next(Run(seed=0).steps(1, {"best": 3}))  # type: ignore[dict-item]


def test_a_logged_infinity_stops_the_run_and_names_the_step() -> None:
    run = Run(seed=0)
    with pytest.raises(Diverged, match="loss is inf at step 3"):
        for step in run.steps(10, {}):
            run.log(step, loss=torch.tensor(float("inf") if step == 3 else 1.0))


def test_a_long_curve_is_averaged_down_and_keeps_its_mean() -> None:
    run = Run(seed=0)
    for step in run.steps(1000, {}):
        run.log(step, loss=float(step))
    curve = run.curves()["loss"]
    assert len(curve.x) == CURVE_POINTS
    # 1,000 steps in 200 bins of 5: the first bin holds 0 .. 4, whose mean is 2; the mean of all is 499.5.
    assert curve.y[0] == 2
    assert sum(y for y in curve.y if y is not None) / len(curve.y) == pytest.approx(499.5)


def test_a_series_of_phases_is_one_curve_and_a_named_phase_has_its_own() -> None:
    run = Run(seed=0)
    for phase in ("layer-1/stage-1", "layer-1/stage-2", "retrain"):
        for step in run.steps(3, {}, name=phase):
            run.log(step, loss=1.0)
    curves = run.curves()
    assert curves["loss"].x == [0, 1, 2, 3, 4, 5]
    assert curves["retrain/loss"].x == [0, 1, 2]


def test_the_time_limit_ends_a_loop() -> None:
    with pytest.raises(TimeLimitExceeded):
        for _ in Run(seed=0, time_limit_s=1e-9).steps(10, {}):
            pass


def test_macs_of_all_steps_are_those_of_the_sampled_ones() -> None:
    run, net = Run(seed=0), nn.Linear(8, 4)
    for _ in run.steps(10, {"net": net}):
        net(torch.ones(3, 8)).sum().backward()
    # Forward 3 x 8 x 4; backward the same again for the weight, and nothing for an input without gradient: 192 a step.
    assert run.fit_macs().value == 10 * 2 * 3 * 8 * 4


def test_a_fit_without_steps_says_that_its_macs_were_not_counted() -> None:
    assert "no steps" in Run(seed=0).fit_macs().reason


@given(rows=st.integers(1, 9), size=st.integers(1, 9), taken=st.integers(1, 12))
def test_batches_run_through_every_row_before_one_comes_again(rows: int, size: int, taken: int) -> None:
    batches = Batches(torch.arange(rows), size, Run(seed=1))
    seen = torch.cat([next(batches) for _ in range(taken)])
    assert len(seen) == taken * size
    for start in range(0, len(seen) - rows + 1, rows):
        assert seen[start : start + rows].sort().values.tolist() == list(range(rows))


@given(st.integers(0, 20))
def test_the_state_of_batches_is_where_they_are(taken: int) -> None:
    first, second = (Batches((torch.arange(7), torch.arange(7)), 3, Run(seed=1)) for _ in range(2))
    for _ in range(taken):
        next(first)
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(next(first), next(second), strict=True))


def test_a_plan_gives_each_epoch_its_own_batches_and_resumes_inside_one() -> None:
    def plan(epoch: int, generator: torch.Generator) -> list[torch.Tensor]:
        return list(torch.randperm(6, generator=generator).split(2))[: 1 + epoch % 2]

    reference = Batches(torch.arange(6), 1, Run(seed=2), plan)
    expected = [next(reference) for _ in range(7)]
    batches = Batches(torch.arange(6), 1, Run(seed=2), plan)
    for _ in range(3):
        next(batches)
    resumed = Batches(torch.arange(6), 1, Run(seed=2), plan)
    resumed.load_state_dict(batches.state_dict())
    assert all(torch.equal(next(resumed), batch) for batch in expected[3:])


def test_two_sources_of_one_run_draw_different_orders() -> None:
    run = Run(seed=0)
    first, second = Batches(torch.arange(50), 50, run), Batches(torch.arange(50), 50, run)
    assert not torch.equal(next(first), next(second))


def test_descend_steps_down_the_clipped_gradient() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    # The gradient of half the square is (3, 4), of length 5; clipped to 1 it is (0.6, 0.8).
    descend(torch.optim.SGD([weight], lr=1.0), 0.5 * weight.square().sum(), max_norm=1.0)
    assert weight.tolist() == pytest.approx([2.4, 3.2], abs=1e-5)


def test_gradients_pass_through_a_frozen_module_and_none_stays() -> None:
    critic, image = nn.Linear(2, 1), torch.ones(2, requires_grad=True)
    with frozen(critic):
        critic(image).sum().backward()
    assert image.grad is not None
    assert critic.weight.grad is None
    assert critic.weight.requires_grad


def test_looking_ahead_stays_in_the_graph() -> None:
    net, rate = nn.Linear(1, 1, bias=False), torch.tensor(0.5, requires_grad=True)
    with torch.no_grad():
        net.weight.fill_(3.0)
    # One step of 0.1 on rate x w squared / 2 gives w (1 - 0.1 rate) = 2.85, whose slope by rate is -0.3.
    ahead = lookahead(net, rate * 0.5 * net.weight.square().sum(), 0.1)["weight"]
    assert ahead.item() == pytest.approx(2.85)
    assert torch.autograd.grad(ahead.sum(), rate)[0].item() == pytest.approx(-0.3)


def test_memory_names_what_it_holds() -> None:
    memory = Memory(baseline=0.5)
    with pytest.raises(AttributeError, match="holds baseline, and no bseline"):
        _ = memory.bseline
    memory.load_state_dict({"baseline": 2.0})
    assert memory.baseline == 2.0


@pytest.mark.parametrize("value", [float("nan"), {"rate": float("inf")}, object()])
def test_an_artefact_that_is_no_json_fails_where_it_is_made(value: object) -> None:
    with pytest.raises(ValueError, match="artefact genotype cannot be kept as JSON"):
        Run(seed=0).artefact("genotype", value)
