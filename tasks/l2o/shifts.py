"""What is held out: the test functions of a problem, and of each shift away from what was learnt.

Open-L2O evaluates optimisers of figure 8 on other networks than the one that they learnt on; the shifts of the other
families are ours, since the sheet of the benchmark names none.

Dimensions: b instances, n unknowns, k iterations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tasks.l2o.lasso import optimum
from tasks.l2o.networks import Trainings
from tasks.l2o.optimisees import Optimisees
from tasks.l2o.problems import Samples, device_of
from tasks.l2o.recipes import Goal
from tasks.l2o.scoring import energy, follow, mean_nmse_db, nmse_db, psnr_db, relative_loss, shown


@dataclass(frozen=True)
class Score:
    """Values by metric, and curves by metric: the value at each iteration that is shown."""

    metrics: Mapping[str, float]
    items: int
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


@runtime_checkable
class HeldOut(Protocol):
    """What only `evaluate` is given. It scores a solution where the solution is."""

    def score(self, solution: Any) -> Score: ...


# The LASSO family -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """Samples, and where the objective is scored the least value of each: found once, for all methods."""

    samples: Samples
    least: Float[Tensor, " b"] | None

    def to(self, device: torch.device) -> "Judged":
        return Judged(self.samples.to(device), None if self.least is None else self.least.to(device))


def judged(samples: Samples, goal: Goal) -> Judged:
    return Judged(samples, optimum(samples.instances) if goal == "objective" else None)


@dataclass(frozen=True)
class SparseTest:
    test: Judged
    goal: Goal
    steps: int
    shifts: Mapping[str, Judged] = field(default_factory=dict)

    def score(self, solution: Any) -> Score:
        device = device_of(solution)
        curves = _sparse_curves(solution, self.test.to(device), shown(self.steps))
        metrics = {name: curve[self.steps] for name, curve in curves.items()}
        first = "relative_loss" if self.goal == "objective" else "nmse_db"
        for shift, moved in self.shifts.items():
            metrics[f"{shift}_{first}"] = _sparse_curves(solution, moved.to(device), [self.steps])[first][self.steps]
        return Score(metrics, len(self.test.samples.signals), curves)


def _sparse_curves(solution: Any, test: Judged, wanted: list[int]) -> dict[str, dict[int, float]]:
    """The metrics at the wanted iterations. One iterate at a time: all in double precision may be gigabytes."""
    instances, signals, least = test.samples.instances, test.samples.signals, test.least
    signal = energy(signals)
    exact = instances.to(torch.float64)
    names = ["nmse_db", "mean_nmse_db", *(["relative_loss"] if least is not None else [])]
    curves: dict[str, dict[int, float]] = {name: {} for name in names}

    def look(k: int, x: Float[Tensor, "b n"]) -> None:
        error = energy(x - signals)
        curves["nmse_db"][k] = nmse_db(error, signal).item()
        curves["mean_nmse_db"][k] = mean_nmse_db(error, signal, signals.shape[-1]).item()
        if least is not None:
            curves["relative_loss"][k] = relative_loss(exact.objective(x.double()), least)

    points = set(wanted)
    with torch.no_grad():
        if 0 in points:
            look(0, instances.start)
        for k, x in enumerate(solution(instances, wanted[-1]), start=1):
            if k in points:
                look(k, x)
    return curves


@dataclass(frozen=True)
class PatchTest:
    samples: Samples
    tiles: Float[Tensor, "b p"]
    """The patches as they are in the images, with their means."""
    synthesis: Float[Tensor, "p n"]
    steps: int
    shifts: Mapping[str, Samples] = field(default_factory=dict)

    def score(self, solution: Any) -> Score:
        device = device_of(solution)
        curve = self._curve(solution, self.samples.to(device), shown(self.steps))
        metrics = {"psnr_db": curve[self.steps]}
        for shift, samples in self.shifts.items():
            metrics[f"{shift}_psnr_db"] = self._curve(solution, samples.to(device), [self.steps])[self.steps]
        return Score(metrics, len(self.tiles), {"psnr_db": curve})

    def _curve(self, solution: Any, samples: Samples, wanted: list[int]) -> dict[int, float]:
        device = samples.signals.device
        synthesis, tiles = self.synthesis.to(device), self.tiles.to(device)
        means = tiles.mean(dim=-1, keepdim=True)
        points = set(wanted)
        with torch.no_grad():
            found = {
                k: psnr_db(x @ synthesis.T + means, tiles)
                for k, x in enumerate(solution(samples.instances, wanted[-1]), start=1)
                if k in points
            }
        return ({0: psnr_db(means.expand_as(tiles), tiles)} if 0 in points else {}) | found


# Functions ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shifted:
    """Functions other than those learnt on, and how their value is told."""

    optimisees: Optimisees
    steps: int
    scale: float = 1.0
    """Their value is divided by it."""


@dataclass(frozen=True)
class FunctionTest:
    optimisees: Optimisees
    steps: int
    shifts: Mapping[str, Shifted] = field(default_factory=dict)

    def score(self, solution: Any) -> Score:
        device = device_of(solution)
        track = follow(solution, self.optimisees.to(device), self.steps)
        metrics = {
            "loss": track.last.mean().item(),
            "median_loss": track.last.median().item(),
            "diverged": 100 * track.diverged.double().mean().item(),
        }
        for shift, shifted in self.shifts.items():
            moved = follow(solution, shifted.optimisees.to(device), shifted.steps)
            metrics[f"{shift}_loss"] = moved.last.mean().item() / shifted.scale
        means = track.values.mean(dim=-1).tolist()
        return Score(metrics, len(track.last), {"loss": dict(zip(track.iterations, means, strict=True))})


@dataclass(frozen=True)
class NetworkTest:
    trainings: Trainings
    images: Float[Tensor, "i c h w"]
    """That no network is fitted to."""
    labels: Int64[Tensor, " i"]
    steps: int
    shifts: Mapping[str, Shifted] = field(default_factory=dict)

    def score(self, solution: Any) -> Score:
        device = device_of(solution)
        trainings = self.trainings.to(device)
        track = follow(solution, trainings, self.steps)
        logits = trainings.logits(track.x, self.images.to(device))
        labels = self.labels.to(device).expand(len(logits), -1)
        # A network that is not finite any more says nothing; it has the loss and the error of a guess.
        guess = torch.zeros_like(logits)
        logits = torch.where(track.diverged[:, None, None], guess, logits)
        metrics = {
            "training_loss": track.last.mean().item(),
            "test_loss": nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).item(),
            "test_error": 100 * (logits.argmax(dim=-1) != labels).double().mean().item(),
            "diverged": 100 * track.diverged.double().mean().item(),
        }
        for shift, shifted in self.shifts.items():
            moved = follow(solution, shifted.optimisees.to(device), shifted.steps)
            metrics[f"{shift}_training_loss"] = moved.last.mean().item()
        means = track.values.mean(dim=-1).tolist()
        return Score(metrics, len(track.last), {"training_loss": dict(zip(track.iterations, means, strict=True))})
