"""L2O-DM: an LSTM that maps the gradient of each coordinate to its step.

Andrychowicz, Denil, Gomez, Hoffman, Pfau, Schaul, Shillingford and de Freitas, "Learning to learn by gradient descent
by gradient descent", NeurIPS 2016; as in Open-L2O (Chen et al., JMLR 2022), figures 6 to 8.

    networks     features of g on a logarithmic scale        `log_and_sign`; d = 0.01 linear( LSTM(features) )
    elsewhere    g as it is; d = linear( LSTM(g) )

Trained as `_meta` says. With `curriculum` and `imitation` it is the benchmark's L2O-enhanced on this base.

Differs from the benchmark: gradients are those of each function, where its are of the mean over 128 functions;
`gradient_scale` makes up for that where they are taken as they are.

Dimensions: b functions, n unknowns, r = b n coordinates.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Positive, Presets, method
from methods.l2o._learned import LSTM, LearnedSolver, Seen, State, truncated_normal
from methods.l2o._meta import MetaTraining
from tasks.l2o import Problem
from tasks.l2o.optimisees import Optimisees

HIDDEN = 20
LOG_RANGE = 5.0
"""p: gradients below e^-p count as small."""
NETWORK_STEP = 0.01
"""Scale of the output on networks; 1 elsewhere."""


def log_and_sign(gradient: Float[Tensor, " r"]) -> Float[Tensor, "r 2"]:
    """(max(log |g| / p, -1), clip(e^p g, -1, 1)): size and direction, whatever the order of magnitude."""
    # As the authors do, so that a gradient of zero has a logarithm.
    tiny = torch.finfo(gradient.dtype).eps
    size = ((gradient.abs() + tiny).log() / LOG_RANGE).clamp(min=-1)
    direction = (math.exp(LOG_RANGE) * gradient).clamp(-1, 1)
    return torch.stack([size, direction], dim=1)


class DM(nn.Module):
    particles: ClassVar[int] = 1

    def __init__(self, networks: bool, gradient_scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.networks = networks
        self.gradient_scale = gradient_scale
        self.lstm = LSTM(2 if networks else 1, HIDDEN, 2, generator)
        self.outer = nn.Parameter(truncated_normal(1, HIDDEN, generator))
        self.outer_bias = nn.Parameter(torch.zeros(1))

    def begin(
        self,
        optimisees: Optimisees,
        generator: torch.Generator,  # noqa: ARG002 -- nothing is drawn
    ) -> tuple[Float[Tensor, "b n"], State]:
        return optimisees.start, self.lstm.begin(optimisees.start.numel())

    def step(self, seen: Seen, state: State) -> tuple[Float[Tensor, "b n"], State]:
        flat = seen.gradient.flatten()
        features = log_and_sign(flat) if self.networks else self.gradient_scale * flat[:, None]
        hidden, state = self.lstm(features, state)
        outer = torch.addmm(self.outer_bias, hidden, self.outer.T).view_as(seen.gradient)
        return NETWORK_STEP * outer if self.networks else outer, state


@method("l2o", paper="open_l2o")
@dataclass(frozen=True)
class L2ODM(MetaTraining):
    """A learned optimiser: an LSTM from the gradient of each coordinate to its step."""

    gradient_scale: Positive = 0.0078125
    """Gradients of analytic functions are multiplied by it: 1 over the 128 functions of the benchmark's mean."""

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
            "updates": 1000,
            "updates_networks": 200,
            "lr": 3e-3,
            "batch": 32,
            "validate_every": 25,
            "validation_networks": 2,
            "stages": (100, 200, 500),
        },
        "gpu": {"updates": 5000, "updates_networks": 2000, "stages": (100, 200, 500)},
    }

    def solver(self, problem: Problem, generator: torch.Generator) -> LearnedSolver:
        return LearnedSolver(DM(problem.trains_networks, self.gradient_scale, generator))
