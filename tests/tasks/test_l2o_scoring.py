"""How L2O scores: errors in dB, relative losses, and what is kept of functions along a run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasks.l2o.lasso import sparse_signals
from tasks.l2o.scoring import (
    energy,
    final_values,
    follow,
    iterates,
    last,
    psnr_db,
    relative_loss,
    shown,
)
from tasks.l2o.scoring import mean_nmse_db as mean_of_db
from tasks.l2o.scoring import nmse_db as db_of_mean


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def nmse_db(x: torch.Tensor, signals: torch.Tensor) -> float:
    return db_of_mean(energy(x - signals), energy(signals)).item()


def mean_nmse_db(x: torch.Tensor, signals: torch.Tensor) -> float:
    return mean_of_db(energy(x - signals), energy(signals), signals.shape[-1]).item()


# Errors ---------------------------------------------------------------------------------------------------------------


def test_zero_has_exactly_zero_db():
    signals = sparse_signals(64, 50, 0.5, generator())
    assert nmse_db(torch.zeros_like(signals), signals) == 0
    assert mean_nmse_db(torch.zeros_like(signals), signals) == 0


def test_a_perfect_recovery_has_the_stated_floors():
    signals = torch.ones(4, 50)
    assert nmse_db(signals, signals) == -200
    # Mean squares 0 and 1, each with the guard: 10 log10(1e-10 / (1 + 1e-10)).
    assert mean_nmse_db(signals, signals) == pytest.approx(-100, abs=1e-6)


def test_one_ratio_over_the_set_and_the_mean_of_ratios_are_told_apart():
    signals = torch.tensor([[10.0, 0.0], [1.0, 0.0]])
    guess = torch.tensor([[9.0, 0.0], [0.0, 0.0]])
    # Errors 1 and 1, powers 100 and 1: 2 / 101 together; -20 dB and 0 dB one by one.
    assert nmse_db(guess, signals) == pytest.approx(10 * math.log10(2 / 101), abs=1e-5)
    assert mean_nmse_db(guess, signals) == pytest.approx(-10, abs=1e-5)


def test_an_error_that_is_not_a_number_stays_one():
    signals = torch.ones(2, 3)
    assert math.isnan(nmse_db(signals * math.nan, signals))
    assert nmse_db(signals * math.inf, signals) == math.inf


def test_the_relative_loss_takes_means_before_it_divides():
    # (3 + 5) / 2 over (1 + 3) / 2, less one; the mean of the two ratios would give 11 / 6 - 1 + 1/2.
    assert relative_loss(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 3.0])) == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 2**20))
def test_nmse_does_not_change_with_the_unit_of_the_signal(scale, seed):
    signals, noise = sparse_signals(8, 20, 0.5, generator(seed)), torch.randn(8, 20, generator=generator(seed + 1))
    guess = signals + 0.1 * noise
    assert nmse_db(scale * guess, scale * signals) == pytest.approx(nmse_db(guess, signals), abs=1e-4)


def test_the_metrics_of_many_iterates_are_those_of_each():
    signals = sparse_signals(8, 20, 0.5, generator())
    points = [scale * signals for scale in (0.0, 0.5, 0.9)]
    error, signal = torch.stack([energy(x - signals) for x in points]), energy(signals)
    assert db_of_mean(error, signal).tolist() == [nmse_db(x, signals) for x in points]
    assert mean_of_db(error, signal, 20).tolist() == [mean_nmse_db(x, signals) for x in points]


def test_the_psnr_of_a_hand_worked_pair():
    truth = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    # Errors 0.1, 0 (2 is clipped to 1), 0.1 and 0.1: a mean square of 0.03 / 4.
    guess = torch.tensor([[0.1, 2.0], [0.4, 0.6]])
    assert psnr_db(guess, truth) == pytest.approx(-10 * math.log10(0.0075), abs=1e-4)
    # Values are 0 to 1: an error of 1 everywhere is 0 dB.
    assert psnr_db(torch.zeros(3, 4), torch.ones(3, 4)) == 0
    assert psnr_db(truth, truth) == 200


# The iterations of a curve --------------------------------------------------------------------------------------------


def test_curves_show_every_iteration_at_which_something_was_published():
    points = shown(10_000)
    assert {*range(21), 50, 100, 1000, 10_000} <= set(points)
    assert points == sorted(set(points))
    assert len(points) == 281
    assert shown(1000) == [*range(100), *range(100, 1001, 10)]
    assert shown(16) == list(range(17))
    # The end is shown whatever its digits.
    assert shown(1234)[-2:] == [1200, 1234]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40_000))
def test_curves_stay_short_and_begin_and_end_where_they_must(steps):
    points = shown(steps)
    assert (points[0], points[-1]) == (0, steps)
    assert points == sorted(set(points))
    assert len(points) < 400


# Runs -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Functions whose value at an iterate is what is in it, at every step a thousandth of the step more."""

    start: torch.Tensor
    stochastic: ClassVar[bool] = False
    sizes: ClassVar[tuple[int, ...]] = (1,)

    def value(self, x: torch.Tensor, step: int) -> torch.Tensor:
        return x[:, 0] + step / 1000

    def value_and_gradient(self, x: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.value(x, step), torch.zeros_like(x)

    def repeated(self, times: int) -> "Table":
        return Table(self.start.repeat_interleave(times, dim=0))

    def to(self, target: torch.device) -> "Table":
        return self


class Noisy(Table):
    stochastic: ClassVar[bool] = True


class Play(nn.Module):
    """Iterate k of function j is `script(k)[j]`."""

    def __init__(self, script) -> None:
        super().__init__()
        self.script = script

    def forward(self, optimisees: Table, steps: int) -> Iterator[torch.Tensor]:
        return (torch.tensor(self.script(k))[:, None] for k in range(1, steps + 1))


START = torch.tensor([[5.0], [6.0]])


def test_a_run_is_valued_at_its_own_steps_from_the_start_on():
    track = follow(Play(lambda k: [10.0 - k, 20.0 - k]), Table(START), 4)
    assert track.iterations == [0, 1, 2, 3, 4]
    expected = [[5.0, 6.0], *([10 - k + k / 1000, 20 - k + k / 1000] for k in range(1, 5))]
    assert track.values.flatten().tolist() == pytest.approx([v for row in expected for v in row], rel=1e-6)
    assert track.last.tolist() == pytest.approx([6.004, 16.004])
    assert track.diverged.tolist() == [False, False]
    assert track.x.tolist() == [[6.0], [16.0]]
    assert track.values.dtype == torch.float64


def test_functions_that_differ_from_step_to_step_end_with_the_mean_over_the_last_ten():
    play = Play(lambda k: [float(k), 2.0 * k])
    # The mean of 91 to 100 and of twice these, and of 0.091 to 0.1.
    assert follow(play, Noisy(START), 100).last.tolist() == pytest.approx([95.5955, 191.0955])
    assert follow(play, Table(START), 100).last.tolist() == pytest.approx([100.1, 200.1])
    # A run that is shorter than ten steps is averaged whole, without its start.
    assert follow(play, Noisy(START), 3).last.tolist() == pytest.approx([2.002, 4.002])


def test_a_function_that_is_lost_keeps_its_last_finite_value_and_counts_as_diverged():
    lost = Play(lambda k: [float(k), 2.0 if k < 5 else (math.nan if k == 5 else math.inf)])
    for table, ends in ((Table(START), 12.012), (Noisy(START), 7.5075)):
        track = follow(lost, table, 12)
        assert track.diverged.tolist() == [False, True]
        assert track.values[:, 1].tolist() == pytest.approx([6, 2.001, 2.002, 2.003] + 9 * [2.004])
        # Noisy: steps 3 to 12, of which two were finite at 2.003 and 2.004.
        assert track.last[0].item() == pytest.approx(ends)
        assert track.last[1].item() == pytest.approx(2.004, abs=2e-4)
        assert final_values(lost, table, 12)[1].item() == math.inf
        assert final_values(lost, table, 12)[0].item() == pytest.approx(ends)


def test_a_function_that_comes_back_has_not_diverged():
    back = Play(lambda k: [1.0, math.inf if k == 2 else 3.0])
    track = follow(back, Table(START), 4)
    assert track.diverged.tolist() == [False, False]
    assert track.values[:, 1].tolist() == pytest.approx([6, 3.001, 3.001, 3.003, 3.004])


def test_a_run_keeps_no_iterate_but_the_last():
    alive: list[int] = [0]
    most: list[int] = [0]

    class Counted(torch.Tensor):
        pass

    class Long(nn.Module):
        def forward(self, optimisees: Table, steps: int) -> Iterator[torch.Tensor]:
            import weakref

            for _ in range(steps):
                x = torch.zeros(2, 1).as_subclass(Counted)
                alive[0] += 1
                most[0] = max(most[0], alive[0])
                weakref.finalize(x, lambda: alive.__setitem__(0, alive[0] - 1))
                yield x

    follow(Long(), Table(START), 300)
    # The one before and the new one.
    assert most[0] <= 3
    last(Long()(Table(START), 300))
    assert most[0] <= 3


@pytest.mark.parametrize(
    ("given", "message"), [(3, "must give 5 iterates, got only 3"), (7, "must give 5 iterates, got more")]
)
def test_a_solution_that_stops_early_or_runs_on_is_told_so(given, message):
    class Other(nn.Module):
        def forward(self, optimisees: Table, steps: int) -> Iterator[torch.Tensor]:
            return iter([START] * given)

    with pytest.raises(ValueError, match=message):
        follow(Other(), Table(START), 5)
    with pytest.raises(ValueError, match=message):
        list(iterates(Other(), Table(START), 5))
