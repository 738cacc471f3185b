"""TE-NAS's two indicators on the proxies of a space: supernets that are drawn anew and measured with operator weights.

Chen, Gong and Wang, ICLR 2021, sections 3.1 and 3.2. The same place among the draws gives the same weights and inputs,
whatever is measured there.

n images, c channels, h w pixels, e edges, o operators
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench import Run
from bench.seeds import derive_seed
from methods.nas._initial import Fan, Init, initialise
from methods.nas._kappa import kappa
from methods.nas._regions import crops, regions
from tasks.nas import NASProblem

Place = tuple[str | int, ...]
"""Names a draw: round, repeat, candidate."""


@runtime_checkable
class Measure(Protocol):
    """Measures a network with some operators on each edge, given as a supernet's weights."""

    def kappa(self, weights: Float[Tensor, "e o"], weights_at: Place, images_at: Place) -> float:
        """Low is good. The places name the draws of initial weights and of inputs."""

    def regions(self, weights: Float[Tensor, "e o"], weights_at: Place, images_at: Place) -> float:
        """High is good."""


@dataclass(frozen=True)
class Indicators:
    """Measures kappa and the number of linear regions."""

    problem: NASProblem
    kappa_net: nn.Module
    region_net: nn.Module
    device: torch.device
    seed: int
    init: Init
    batch: int
    region_batches: int
    region_batch: int

    def kappa(self, weights: Float[Tensor, "e o"], weights_at: Place, images_at: Place) -> float:
        """The condition number of the NTK on augmented training images. Low is good."""
        self._draw(self.kappa_net, "fan_out", ("kappa", *weights_at))
        generator = self._generator("images", *images_at)
        images = self.problem.images
        # A batch is never larger than the part: with an image twice the NTK is singular.
        picked = torch.randperm(len(images), generator=generator)[: self.batch]
        drawn = self.problem.augmented(images[picked], generator).to(self.device)
        return kappa(self.kappa_net, drawn, weights.to(self.device))

    def regions(self, weights: Float[Tensor, "e o"], weights_at: Place, images_at: Place) -> float:
        """The number of linear regions that crops of training images fall into. High is good."""
        self._draw(self.region_net, "fan_in", ("regions", *weights_at))
        side = self.problem.space.region_proxy.side
        number = self.region_batches * self.region_batch
        inputs = crops(self.problem.images, number, side, self._generator("crops", *images_at)).to(self.device)
        return float(regions(self.region_net, inputs.split(self.region_batch), weights.to(self.device)))

    def _generator(self, *place: str | int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.seed, *place))

    def _draw(self, net: nn.Module, fan: Fan, place: Place) -> None:
        initialise(net, self.init, fan, self._generator("weights", *place))


def indicators(
    problem: NASProblem, run: Run, *, init: Init, batch: int, region_batches: int, region_batch: int
) -> Indicators:
    """With the two proxies of the problem's space."""
    space = problem.space
    return Indicators(
        problem,
        kappa_net=space.proxy(space.kappa_proxy, problem.classes).to(run.device),
        region_net=space.proxy(space.region_proxy, problem.classes).to(run.device),
        device=run.device,
        seed=run.stream(),
        init=init,
        batch=batch,
        region_batches=region_batches,
        region_batch=region_batch,
    )
