"""How far iterates have come: errors of sparse vectors and patches, and values of functions along a run.

Dimensions: b instances, n unknowns, k iterations.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tasks.l2o.optimisees import Optimisees

NMSE_FLOOR_DB = -200.0
"""What a perfect recovery is given. Single precision ends at about -140 dB."""
SAMPLE_GUARD = 1e-10
"""Added to both mean squares of an instance before their ratio is taken, as the authors do."""
PSNR_CEILING_DB = 200.0
LAST_STEPS = 10
"""The loss of a network is the mean over its last minibatches: a single one is noisy."""


def energy(x: Float[Tensor, "*k b n"]) -> Float[Tensor, "*k b"]:
    """The squared norm of each instance's vector, in double precision."""
    return x.double().square().sum(dim=-1)


def nmse_db(error: Float[Tensor, "*k b"], signal: Float[Tensor, " b"]) -> Float[Tensor, "*k"]:
    """10 log10 of one ratio over all instances, of squared error to squared signal; not below `NMSE_FLOOR_DB`."""
    return (10 * (error.sum(dim=-1) / signal.sum()).log10()).clamp(min=NMSE_FLOOR_DB)


def mean_nmse_db(error: Float[Tensor, "*k b"], signal: Float[Tensor, " b"], unknowns: int) -> Float[Tensor, "*k"]:
    """The mean over instances of each one's NMSE in dB, guarded by `SAMPLE_GUARD`; it ends at about -90 dB."""
    ratio = (error / unknowns + SAMPLE_GUARD) / (signal / unknowns + SAMPLE_GUARD)
    return 10 * ratio.log10().mean(dim=-1)


def relative_loss(objective: Float[Tensor, " b"], least: Float[Tensor, " b"]) -> float:
    """Eq. 19: how far the mean objective is above the mean optimum, as a multiple of the latter."""
    return ((objective.mean() - least.mean()) / least.mean()).item()


def psnr_db(patches: Float[Tensor, "b p"], truth: Float[Tensor, "b p"]) -> float:
    """Of grey values from 0 to 1, clipped to that; one mean square over all patches; at most `PSNR_CEILING_DB`."""
    error = (patches.double().clamp(0, 1) - truth.double()).square().mean()
    return (-10 * error.log10()).clamp(max=PSNR_CEILING_DB).item()


# Functions along a run ------------------------------------------------------------------------------------------------


def shown(steps: int) -> list[int]:
    """The iterations of a curve: 0 to `steps`, those whose number has at most two digits that are not its last zeros.

    1,000 iterations are 191 points, 10,000 are 281, among them all at which something was published.
    """
    kept = [k for k in range(steps) if k < 100 or k % 10 ** (len(str(k)) - 2) == 0]
    return [*kept, steps]


@dataclass(frozen=True)
class Track:
    """Values of functions along a run. A function that is not finite any more keeps its last finite value."""

    iterations: list[int]
    values: Float[Tensor, "k b"]
    """In double precision."""
    last: Float[Tensor, " b"]
    """At the end; of functions that differ from step to step the mean over the last `LAST_STEPS`."""
    diverged: Bool[Tensor, " b"]
    """Whether a function was not finite at its end."""
    x: Float[Tensor, "b n"]
    """The last iterate."""


def follow(solution: Any, optimisees: Optimisees, steps: int) -> Track:
    """Runs a solution and looks at its values on the way. Memory does not grow with the number of iterations."""
    wanted = set(shown(steps))
    final = set(range(max(1, steps - LAST_STEPS + 1), steps + 1)) if optimisees.stochastic else {steps}
    kept: dict[int, Tensor] = {}
    with torch.no_grad():
        x, finite = optimisees.start, optimisees.value(optimisees.start, 0).double()
        kept[0] = finite
        alive = finite.isfinite()
        ends = []
        for k, x in iterates(solution, optimisees, steps):
            if k not in wanted and k not in final:
                continue
            value = optimisees.value(x, k).double()
            alive = value.isfinite()
            finite = torch.where(alive, value, finite)
            if k in wanted:
                kept[k] = finite
            if k in final:
                ends.append(finite)
    return Track(sorted(kept), torch.stack([kept[k] for k in sorted(kept)]), torch.stack(ends).mean(0), ~alive, x)


def final_values(solution: Any, optimisees: Optimisees, steps: int) -> Float[Tensor, " b"]:
    """The values at the end, infinite where an iterate was not finite."""
    track = follow(solution, optimisees, steps)
    return torch.where(track.diverged, torch.inf, track.last)


def iterates(solution: Any, optimisees: Optimisees, steps: int) -> Iterator[tuple[int, Float[Tensor, "b n"]]]:
    """Iterates 1 to `steps` with their numbers. Raises `ValueError` if a solution gives fewer or more."""
    k = 0
    for k, x in enumerate(solution(optimisees, steps), start=1):
        if k > steps:
            break
        yield k, x
    if k != steps:
        came = f"only {k}" if k < steps else "more"
        raise ValueError(f"l2o: a solution must give {steps} iterates, got {came}")


def last(iterates: Iterable[Float[Tensor, "b n"]]) -> Float[Tensor, "b n"]:
    """The last of some iterates, the others forgotten on the way."""
    (x,) = deque(iterates, maxlen=1)
    return x
