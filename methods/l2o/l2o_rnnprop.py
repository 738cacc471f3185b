"""L2O-RNNprop: an LSTM on Adam's two features of the gradient, which decides on bounded steps for each coordinate.

Lv, Jiang and Li, "Learning Gradient Descent: Better Generalization and Longer Horizons", ICML 2017; as in Open-L2O
(Chen et al., JMLR 2022), figures 6 to 8.

    m~ = m / (sqrt(v) + eps),  g~ = g / (sqrt(v) + eps), moments bias-corrected        `RNNprop.features`
    d = 0.01 tanh( linear( LSTM( elu( linear(m~, g~) ) ) ) )

Trained as `_meta` says. With `curriculum` and `imitation` it is the benchmark's L2O-enhanced on this base. Differs from
the benchmark on the Lasso: there it was trained on runs of 1,000 steps for the loss of the last step (`run_steps`,
`meta_loss`).

Dimensions: b functions, n unknowns, r = b n coordinates.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Count, Presets, UnitInterval, method
from methods.l2o._learned import LSTM, LearnedSolver, Seen, State, truncated_normal
from methods.l2o._meta import MetaTraining
from methods.l2o._rules import AdamRule, Kept
from tasks.l2o import Problem
from tasks.l2o.optimisees import Optimisees

BETA = 0.95
"""Of both moments."""
EPS = 1e-8
HIDDEN = 20
LARGEST_STEP = 0.01


class RNNprop(nn.Module):
    particles: ClassVar[int] = 1

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.moments = AdamRule(BETA, BETA, EPS)
        self.inner = nn.Parameter(truncated_normal(HIDDEN, 2, generator))
        self.inner_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.lstm = LSTM(HIDDEN, HIDDEN, 2, generator)
        self.outer = nn.Parameter(truncated_normal(1, HIDDEN, generator))
        self.outer_bias = nn.Parameter(torch.zeros(1))

    def begin(
        self,
        optimisees: Optimisees,
        generator: torch.Generator,  # noqa: ARG002 -- nothing is drawn
    ) -> tuple[Float[Tensor, "b n"], State]:
        start = optimisees.start
        return start, (*self.moments.begin(start), *self.lstm.begin(start.numel()))

    def features(self, gradient: Float[Tensor, "b n"], kept: Kept) -> tuple[Float[Tensor, "r 2"], Kept]:
        """m~ and g~ of each coordinate, and the moments for the next step."""
        mean, square, kept = self.moments.moments(gradient, kept)
        scale = square.sqrt() + EPS
        return torch.stack([(mean / scale).flatten(), (gradient / scale).flatten()], dim=1), kept

    def step(self, seen: Seen, state: State) -> tuple[Float[Tensor, "b n"], State]:
        features, kept = self.features(seen.gradient, state[:3])
        inner = nn.functional.elu(torch.addmm(self.inner_bias, features, self.inner.T))
        hidden, state = self.lstm(inner, state[3:])
        outer = torch.addmm(self.outer_bias, hidden, self.outer.T)
        return LARGEST_STEP * outer.tanh().view_as(seen.gradient), (*kept, *state)


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class L2ORNNprop(MetaTraining):
    """A learned optimiser on Adam's features of the gradient, with bounded steps."""

    updates: Count = 500
    """Unrolls of analytic functions, each of which changes the weights once: 100 runs of 100 steps."""
    updates_networks: Count = 500
    """The same for networks, where each takes longer."""
    validate_every: Count = 50
    """Updates between evaluations, of which the best one's weights are kept: 10 runs of 100 steps."""
    imitation_rates: tuple[UnitInterval, ...] = (0.3,)
    """Share of the runs that a teacher drives, stage by stage; the last holds on."""

    presets: ClassVar[Presets] = {
        "smoke": {
            "updates": 6,
            "updates_networks": 6,
            "run_steps": 8,
            "unroll": 4,
            "batch": 4,
            "validate_every": 3,
            "validation_functions": 2,
            "validation_networks": 1,
            "stages": (4, 8),
        },
        "small": {
            "updates_networks": 200,
            "lr": 3e-3,
            "batch": 32,
            "validate_every": 25,
            "validation_networks": 2,
            "stages": (100, 200, 500),
        },
        "gpu": {"stages": (100, 200, 500)},
    }

    def solver(self, problem: Problem, generator: torch.Generator) -> LearnedSolver:  # noqa: ARG002 -- one for all
        return LearnedSolver(RNNprop(generator))
