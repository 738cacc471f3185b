"""What the classic iterations share: their step, and the fair choice of their weight."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Run
from bench.training import Memory
from tasks.l2o import SparseProblem
from tasks.l2o.lasso import lipschitz

StepRule = Literal["spectral", "frobenius"]


def step_size(dictionary: Float[Tensor, "m n"], rule: StepRule) -> float:
    """1 / ||A||_2^2, less a thousandth; or 1 / ||A||_F^2, far shorter, which the figures of Open-L2O use."""
    return 1 / (lipschitz(dictionary) if rule == "spectral" else dictionary.double().square().sum().item())


def tune(solver: Callable[[float], nn.Module], weights: Sequence[float], problem: SparseProblem, run: Run) -> nn.Module:
    """The solver whose last iterate does best on the validation samples. Where the objective is scored, its own weight.

    A single candidate needs no search. Each of several is a step of the phase `tune`, so that the search is measured as
    training.
    """
    if problem.goal == "objective":
        return solver(problem.weight).to(run.device)
    if len(weights) == 1:
        return solver(weights[0]).to(run.device)
    validation = problem.validation.to(run.device)
    scores = Memory(loss=[])
    for step in run.steps(len(weights), {"scores": scores}, name="tune"):
        with torch.no_grad():
            iterates = solver(weights[step]).to(run.device)(validation.instances, problem.steps)
        loss = problem.loss(iterates[-1], validation) / len(validation.signals)
        scores.loss.append(loss.item())
        run.log(step, validation_loss=loss)
    weight = weights[scores.loss.index(min(scores.loss))]
    run.artefact("weight", weight)
    return solver(weight).to(run.device)
