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
On a logarithmic scale it is that of g_t^T x_t / f(x_t)        `slopes`

Differs from the authors' code: an unroll that is not finite ends its run and teaches nothing, and so does one whose
derivative is not (their number is the curve `lost`); a derivative is shortened to a length of 1e4, there for L2O-Scale
alone; evaluation runs are the same functions each time; a stage of the curriculum first evaluates what it begins with;
training ends when the last stage brings nothing more.

Dimensions: b functions, or as many for each particle, n unknowns, t steps.
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
from bench.training import Memory
from methods.l2o._learned import LearnedOptimizer, look
from methods.l2o._rules import AdamRule, NesterovRule, RMSPropRule, Rule
from tasks.l2o import Problem
from tasks.l2o.optimisees import Optimisees
from tasks.l2o.scoring import final_values

TEACHERS: dict[str, Rule] = {
    "adam": AdamRule(0.9, 0.999, 1e-8),
    "rmsprop": RMSPropRule(0.9, 1e-10, 0.0),
    "nag": NesterovRule(0.9),
}

LOGARITHM_ENDS = 0.01
"""Below this part of a function's first value the logarithm goes on as a straight line: some functions get negative."""


@dataclass(frozen=True)
class MetaTraining(ABC):
    """What every learned optimiser's training is set by."""

    updates: Count = 50_000
    """Unrolls of analytic functions, each of which changes the weights once: 10,000 runs of 100 steps for L2O-DM."""
    updates_networks: Count = 50_000
    """The same for networks, where each takes longer."""
    run_steps: Count = 100
    """Length of a run without curriculum."""
    unroll: Count = 20
    batch: Count = 128
    """Analytic functions in a run."""
    batch_networks: Count = 1
    """Networks in a run."""
    lr: Positive = 1e-3
    """Step size of the optimiser of the optimiser."""
    meta_optimizer: Literal["adam", "rmsprop"] = "adam"
    max_norm: Positive = 1e4
    """Longer derivatives of the meta-loss are shortened to it."""
    meta_loss: Literal["sum", "last", "log"] = "sum"
    """Over all steps of an unroll, or of its last one alone, as L2O-RNNprop on the Lasso of figure 6; or of logarithms,
    relative to the first value, as L2O-Scale."""
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
    """Share of the runs that a teacher drives, stage by stage; the last holds on. No curriculum is the first stage."""
    teacher: Literal["adam", "rmsprop", "nag"] = "adam"
    teacher_lr: Positive = 0.01

    @abstractmethod
    def solver(self, problem: Problem, generator: torch.Generator) -> nn.Module:
        """An optimiser at its start, a `LearnedOptimizer`, as the member `optimizer` of what runs it."""

    def penalty(
        self,
        points: Float[Tensor, "t b n"],  # noqa: ARG002
        values: Float[Tensor, "t b"],  # noqa: ARG002
    ) -> Float[Tensor, ""] | float:
        """What is added to the meta-loss of an unroll; of both one may take derivatives. Nothing, as a rule."""
        return 0.0

    def build(self, problem: Problem) -> nn.Module:
        return self.solver(problem, torch.Generator().manual_seed(0))

    def fit(self, problem: Problem, run: Run) -> nn.Module:
        solver = self.solver(problem, run.generator).to(run.device)
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


def meta_train(solver: nn.Module, problem: Problem, run: Run, how: MetaTraining) -> None:
    """Trains the solver's optimiser. It ends with the best weights that an evaluation has seen."""
    net: Any = solver.optimizer
    seed = run.stream()
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(net.parameters(), how.lr)
        if how.meta_optimizer == "adam"
        else torch.optim.RMSprop(net.parameters(), how.lr, alpha=0.9)
    )
    course = Course(how)
    updates, batch, judges = (
        (how.updates_networks, how.batch_networks, how.validation_networks)
        if problem.trains_networks
        else (how.updates, how.batch, how.validation_functions)
    )
    evaluation = problem.optimisees(judges, derive_seed(seed, "evaluation"))
    # A run in progress: its number, the steps done, and what goes on from unroll to unroll.
    ride = Memory(number=-1, done=0, lost=0, imitates=False, x=None, first=None, state=(), kept=())
    optimisees: Optimisees | None = None

    def judged() -> float:
        loss = final_values(solver, evaluation, course.evaluated_length).mean().item()
        return loss if math.isfinite(loss) else math.inf

    # Not in the first step: the multiply-adds of that one stand for those of all.
    course.begin_stage(judged(), net)
    for step in run.steps(
        updates, {"net": net, "optimizer": optimizer, "course": course, "ride": ride}, name="meta-train"
    ):
        fresh = ride.number < 0 or ride.done >= course.length
        if fresh:
            ride.number, ride.done = ride.number + 1, 0
        if fresh or optimisees is None:
            optimisees = problem.optimisees(batch, derive_seed(seed, ride.number)).repeated(net.particles)
        if fresh:
            _begin(ride, net, optimisees, derive_seed(seed, "begin", ride.number), course.stage, how)
        steps = min(how.unroll, course.length - ride.done)
        loss, value = (imitated if ride.imitates else unrolled)(net, optimisees, ride, steps, how)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), how.max_norm)
        ride.x, ride.state = ride.x.detach(), tuple(part.detach() for part in ride.state)
        if torch.stack([value, norm]).isfinite().all():
            optimizer.step()
            run.log(step, **({"imitation": loss} if ride.imitates else {"loss": value}))
        else:
            ride.done, ride.lost = course.length, ride.lost + 1
            run.log(step, lost=float(ride.lost))
        if (step + 1) % how.validate_every == 0 or step + 1 == updates:
            loss_now = judged()
            if math.isfinite(loss_now):
                run.log(step, validation_loss=loss_now)
            verdict = course.judge(loss_now, net)
            if verdict == "next stage":
                course.begin_stage(judged(), net)
                ride.done = course.length
            if verdict == "over":
                run.stop()
            if how.curriculum:
                run.log(step, run_length=course.length)
    net.load_state_dict(course.kept)


def _begin(ride: Memory, net: Any, optimisees: Optimisees, seed: int, stage: int, how: MetaTraining) -> None:
    """A run from its start."""
    generator = torch.Generator().manual_seed(seed)
    rates = how.imitation_rates if how.imitation else (0.0,)
    ride.imitates = torch.rand((), generator=generator).item() < rates[min(stage, len(rates) - 1)]
    ride.x, ride.state = net.begin(optimisees, generator)
    ride.first = optimisees.value(ride.x, 0)
    ride.kept = TEACHERS[how.teacher].begin(ride.x)


def slopes(
    values: Float[Tensor, " b"], first: Float[Tensor, " b"], meta_loss: Literal["sum", "last", "log"]
) -> Float[Tensor, " b"]:
    """How the meta-loss grows with each function's value: by 1, or as its logarithm does."""
    return 1 / torch.maximum(values, LOGARITHM_ENDS * first.abs()) if meta_loss == "log" else torch.ones_like(values)


def unrolled(
    net: LearnedOptimizer, optimisees: Optimisees, ride: Memory, steps: int, how: MetaTraining
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """What to descend for the meta-loss of an unroll, and the mean value of the functions in it; the ride goes on."""
    x, state = ride.x, ride.state
    seen = look(optimisees, x, ride.done)
    surrogate = x.new_zeros(())
    points, values = [], []
    for number in range(1, steps + 1):
        update, state = net.step(seen, state)
        x = x + update
        seen = look(optimisees, x, ride.done + number)
        # Worth f(x), with its derivative.
        value = seen.value + (seen.gradient * (x - seen.x)).sum(dim=-1)
        if how.meta_loss != "last" or number == steps:
            surrogate = surrogate + (slopes(seen.value, ride.first, how.meta_loss) * value).mean()
        points.append(x)
        values.append(value)
    ride.x, ride.state, ride.done = x, state, ride.done + steps
    all_values = torch.stack(values)
    return surrogate + how.penalty(torch.stack(points), all_values), all_values.detach().mean()


def imitated(
    net: LearnedOptimizer, optimisees: Optimisees, ride: Memory, steps: int, how: MetaTraining
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The same where the teacher drives: half the mean square between its steps and the optimiser's, summed."""
    rule = TEACHERS[how.teacher]
    x, state, kept = ride.x, ride.state, ride.kept
    distance = x.new_zeros(())
    values = []
    for number in range(steps):
        seen = look(optimisees, x, ride.done + number)
        update, state = net.step(seen, state)
        move, kept = rule.step(seen.gradient, kept)
        distance = distance + 0.5 * (how.teacher_lr * move - update).square().mean()
        x = x + how.teacher_lr * move
        values.append(seen.value)
    ride.x, ride.state, ride.kept, ride.done = x, state, kept, ride.done + steps
    return distance, torch.stack(values).mean()
