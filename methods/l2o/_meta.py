"""How optimisers that are networks are trained: truncated backpropagation through time, curriculum and imitation.

Open-L2O (Chen et al., JMLR 2022); curriculum and imitation by Chen, Zhang, Zhou, Chang, Sankaranarayanan, Wang and
Wang, "Training Stronger Baselines for Learning to Optimize", NeurIPS 2020.

    run          a start and `length` steps of the optimiser on functions of its own; x and state go on from one unroll
                 to the next, without gradients across
    unroll       `unroll` steps, and one update of the optimiser's weights
    meta-loss    the sum of f over an unroll, its last point included           `unrolled`
    curriculum   runs that grow by stages                                       `Course`
    imitation    now and then a teacher drives x, and is to be copied           `imitated`

Second derivatives are left out, as there. So a gradient g_t is a constant, f(x_t) reaches the weights through x_t
alone, and the meta-loss has the same derivative as the sum of g_t^T x_t: no function is ever differentiated through.

Differs from the authors' code: an unroll that is not finite ends its run and teaches nothing (its number is the curve
`lost`); evaluation runs are the same functions each time; a stage of the curriculum first evaluates what it begins
with.

Dimensions: b functions, n unknowns.
"""

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, Positive, Run, UnitInterval
from bench.seeds import derive_seed
from bench.training import Memory, descend
from methods.l2o._learned import LearnedOptimizer, LearnedSolver
from methods.l2o._rules import AdamRule, NesterovRule, RMSPropRule, Rule
from tasks.l2o import Problem
from tasks.l2o.optimisees import Optimisees
from tasks.l2o.scoring import final_values

TEACHERS: dict[str, Rule] = {
    "adam": AdamRule(0.9, 0.999, 1e-8),
    "rmsprop": RMSPropRule(0.9, 1e-10, 0.0),
    "nag": NesterovRule(0.9),
}


@dataclass(frozen=True)
class MetaTraining(ABC):
    """What every learned optimiser's training is set by."""

    updates: Count = 50_000
    """Unrolls, each of which changes the weights once: 10,000 runs of 100 steps for L2O-DM."""
    run_steps: Count = 100
    """Length of a run without curriculum."""
    unroll: Count = 20
    batch: Count = 128
    """Analytic functions in a run."""
    batch_networks: Count = 1
    """Networks in a run."""
    lr: Positive = 1e-3
    """Adam's step size."""
    meta_loss: Literal["sum", "last"] = "sum"
    """Over all steps of an unroll, or of its last one alone, as L2O-RNNprop on the Lasso of figure 6."""
    validate_every: Count = 500
    """Updates between evaluations, of which the best one's weights are kept: 100 runs of 100 steps."""
    validation_functions: Count = 20
    """Analytic functions in an evaluation."""
    validation_networks: Count = 20
    """Networks in an evaluation."""
    curriculum: bool = False
    stages: tuple[Count, ...] = (100, 200, 500, 1000, 1500, 2000, 2500, 3000)
    """Lengths of the runs, stage by stage; each stage is evaluated at the length of the next."""
    imitation: bool = False
    imitation_rates: tuple[UnitInterval, ...] = (0.0, 0.1, 0.3)
    """Share of the runs that a teacher drives, stage by stage; the last holds on."""
    teacher: Literal["adam", "rmsprop", "nag"] = "adam"
    teacher_lr: Positive = 0.01

    @abstractmethod
    def network(self, problem: Problem, generator: torch.Generator) -> nn.Module:
        """The optimiser at its start, a `LearnedOptimizer`."""

    def build(self, problem: Problem) -> LearnedSolver:
        return LearnedSolver(self.network(problem, torch.Generator().manual_seed(0)))

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        solver = LearnedSolver(self.network(problem, run.generator)).to(run.device)
        meta_train(solver, problem.to(run.device), run, self)
        return solver


class Course:
    """When the runs grow longer, which weights are kept, and when there is nothing left to learn."""

    PATIENCE: ClassVar[int] = 3
    """Evaluations that a stage of the curriculum is given at least."""

    def __init__(self, how: MetaTraining) -> None:
        self._lengths = how.stages if how.curriculum else (how.run_steps,)
        self._open = not how.curriculum
        self.stage = 0
        self.best = math.inf
        self.evaluations = 0
        self.improved = False
        self.kept: dict[str, Tensor] = {}

    @property
    def length(self) -> int:
        """Of the runs."""
        return self._lengths[self.stage]

    @property
    def evaluated_length(self) -> int:
        """Of the evaluation runs: that of the next stage."""
        return self._lengths[min(self.stage + 1, len(self._lengths) - 1)]

    def begin_stage(self, loss: float, net: nn.Module) -> None:
        """Takes the weights that a stage begins with as the best so far."""
        self.best, self.evaluations, self.improved = loss, 0, False
        self._keep(net)

    def judge(self, loss: float, net: nn.Module) -> Literal["on", "next stage", "over"]:
        """What an evaluation means. Where the stage ends, the net has its best weights again."""
        self.evaluations += 1
        if loss < self.best:
            self.best, self.improved = loss, True
            self._keep(net)
            return "on"
        if self._open or self.evaluations < self.PATIENCE:
            return "on"
        net.load_state_dict(self.kept)
        last = self.stage + 1 == len(self._lengths)
        if not self.improved or last:
            return "over"
        self.stage += 1
        return "next stage"

    def _keep(self, net: nn.Module) -> None:
        self.kept = copy.deepcopy(net.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)


def meta_train(solver: LearnedSolver, problem: Problem, run: Run, how: MetaTraining) -> None:
    """Trains the solver's optimiser. It ends with the best weights that an evaluation has seen."""
    net: Any = solver.optimizer
    seed = run.stream()
    optimizer = torch.optim.Adam(net.parameters(), how.lr)
    course = Course(how)
    batch, judges = (
        (how.batch_networks, how.validation_networks)
        if problem.trains_networks
        else (how.batch, how.validation_functions)
    )
    evaluation = problem.optimisees(judges, derive_seed(seed, "evaluation"))
    # A run in progress: its number, the steps done, and what goes on from unroll to unroll.
    ride = Memory(number=-1, done=0, lost=0, imitates=False, x=None, gradient=None, state=(), kept=())
    optimisees: Optimisees | None = None

    def judged() -> float:
        loss = final_values(solver, evaluation, course.evaluated_length).mean().item()
        return loss if math.isfinite(loss) else math.inf

    for step in run.steps(
        how.updates, {"net": net, "optimizer": optimizer, "course": course, "ride": ride}, name="meta-train"
    ):
        if step == 0:
            course.begin_stage(judged(), net)
        if ride.number < 0 or ride.done >= course.length:
            ride.number, ride.done = ride.number + 1, 0
            optimisees = problem.optimisees(batch, derive_seed(seed, ride.number))
            rates = how.imitation_rates if how.imitation else (0.0,)
            dice = torch.Generator().manual_seed(derive_seed(seed, "imitation", ride.number))
            ride.imitates = torch.rand((), generator=dice).item() < rates[min(course.stage, len(rates) - 1)]
            ride.x, ride.state = optimisees.start, net.begin(optimisees)
            ride.kept = TEACHERS[how.teacher].begin(ride.x)
            _, ride.gradient = optimisees.value_and_gradient(ride.x, 0)
        elif optimisees is None:
            optimisees = problem.optimisees(batch, derive_seed(seed, ride.number))
        steps = min(how.unroll, course.length - ride.done)
        loss, values = (imitated if ride.imitates else unrolled)(net, optimisees, ride, steps, how)
        if math.isfinite(values):
            descend(optimizer, loss)
            ride.x, ride.state = ride.x.detach(), tuple(part.detach() for part in ride.state)
            if not ride.imitates:
                run.log(step, loss=values)
        else:
            ride.done, ride.lost = course.length, ride.lost + 1
            run.log(step, lost=ride.lost)
        if (step + 1) % how.validate_every == 0 or step + 1 == how.updates:
            verdict = course.judge(judged(), net)
            if math.isfinite(course.best):
                run.log(step, validation_loss=course.best)
            if verdict == "next stage":
                course.begin_stage(judged(), net)
                ride.done = course.length
            if verdict == "over":
                run.stop()
    net.load_state_dict(course.kept)


def unrolled(
    net: LearnedOptimizer, optimisees: Optimisees, ride: Memory, steps: int, how: MetaTraining
) -> tuple[Float[Tensor, ""], float]:
    """What to descend for the meta-loss of an unroll, and the mean value of the functions in it; the ride goes on."""
    x, gradient, state = ride.x, ride.gradient, ride.state
    surrogate = x.new_zeros(())
    total = x.new_zeros(())
    for number in range(1, steps + 1):
        update, state = net.step(gradient, state)
        x = x + update
        value, gradient = optimisees.value_and_gradient(x, ride.done + number)
        if how.meta_loss == "sum" or number == steps:
            surrogate = surrogate + (gradient * x).sum()
        total = total + value.mean()
    ride.x, ride.gradient, ride.state, ride.done = x, gradient, state, ride.done + steps
    return surrogate / len(x), (total / steps).item()


def imitated(
    net: LearnedOptimizer, optimisees: Optimisees, ride: Memory, steps: int, how: MetaTraining
) -> tuple[Float[Tensor, ""], float]:
    """The same where the teacher drives: half the mean square between its steps and the optimiser's, summed."""
    rule = TEACHERS[how.teacher]
    x, gradient, state, kept = ride.x, ride.gradient, ride.state, ride.kept
    distance = x.new_zeros(())
    total = x.new_zeros(())
    for number in range(1, steps + 1):
        update, state = net.step(gradient, state)
        move, kept = rule.step(gradient, kept)
        distance = distance + 0.5 * (how.teacher_lr * move - update).square().mean()
        x = x + how.teacher_lr * move
        value, gradient = optimisees.value_and_gradient(x, ride.done + number)
        total = total + value.mean()
    ride.x, ride.gradient, ride.state, ride.kept, ride.done = x, gradient, state, kept, ride.done + steps
    return distance, (total / steps).item()
