"""What solvers without training share: their step, and the fair choice of what is free in them."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from bench import Run
from bench.training import Memory
from tasks.l2o import Problem, SparseProblem
from tasks.l2o.lasso import lipschitz

StepRule = Literal["spectral", "frobenius"]


def step_size(dictionary: Float[Tensor, "m n"], rule: StepRule) -> float:
    """1 / ||A||_2^2, less a thousandth; or 1 / ||A||_F^2, far shorter, which the figures of Open-L2O use."""
    return 1 / (lipschitz(dictionary) if rule == "spectral" else dictionary.double().square().sum().item())


def tune(
    solver: Callable[[float], nn.Module], values: Sequence[float], name: str, problem: Problem, run: Run
) -> nn.Module:
    """The solver whose last iterate does best on the problem's validation part, after as many iterations as are scored.

    A single candidate needs no search. Each of several is a step of the phase `tune`, so that the search is measured as
    training. The value that is chosen is kept as the artefact `name`. Raises `ValueError` if none stays finite.
    """
    if len(values) == 1:
        return solver(values[0]).to(run.device)
    problem = problem.to(run.device)
    scores = Memory(loss=[])
    for step in run.steps(len(values), {"scores": scores}, name="tune"):
        loss = problem.validation_loss(solver(values[step]).to(run.device))
        scores.loss.append(loss if math.isfinite(loss) else math.inf)
        if math.isfinite(loss):
            run.log(step, validation_loss=loss)
    best = min(scores.loss)
    if math.isinf(best):
        raise ValueError(f"no {name} of {', '.join(map(str, values))} stays finite; add smaller ones")
    value = values[scores.loss.index(best)]
    run.artefact(name, value)
    return solver(value).to(run.device)


def tune_weight(
    solver: Callable[[float], nn.Module], weights: Sequence[float], problem: SparseProblem, run: Run
) -> nn.Module:
    """Chooses the weight of the l1 norm. Where the objective is scored there is nothing to choose: it has its own."""
    return tune(solver, (problem.weight,) if problem.goal == "objective" else weights, "weight", problem, run)
