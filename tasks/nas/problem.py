"""What a search is given, what it gives back, and what judges it.

n m t images, c channels, h w pixels, a architectures, s scored architectures
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bench import Unsupported
from tasks.nas.augmentation import augmented
from tasks.nas.spaces import Architecture, Norms, Space
from tasks.nas.tabular import TabularSpace


@dataclass(frozen=True)
class Found:
    """A solution: an architecture, and the scores of others where the method scores architectures."""

    architecture: Architecture
    scored: tuple[Architecture, ...] = ()
    """Mostly the problem's sample."""
    scores: Float[Tensor, " s"] | None = None
    """One for each of those; high is good."""
    network: nn.Module | None = None
    """A network trained with the architecture, which only `digits-cells-training` looks at."""


@dataclass(frozen=True)
class NASProblem:
    """What a search works with; it holds no test data."""

    space: Space
    images: Float[Tensor, "n c h w"]
    """For weights and scores."""
    labels: Int64[Tensor, " n"]
    search_images: Float[Tensor, "m c h w"]
    """For architecture parameters and validation."""
    search_labels: Int64[Tensor, " m"]
    classes: int
    background: Float[Tensor, " c"]
    """What comes in where an image is shifted by up to `padding` pixels."""
    padding: int
    flips: bool
    sample: tuple[Architecture, ...]
    """A fixed random sample, without repeats, for methods that score architectures."""
    channels: int
    """Of a supernet in which architectures share weights."""
    cells: int
    """Its size, to be given to `space.layers`."""
    network_channels: int
    """Of the network that is trained with an architecture in the end."""
    network_cells: int
    validations: Float[Tensor, " a"] | None
    """What `validation` looks up, by number; none where nothing was trained."""
    seed: int
    oracle_best: Architecture | None = None
    """FOR ORACLES ONLY: the architecture that the table's test accuracies, which the rank goes by, show to be best."""
    workload_images: int = 1
    """In one call of the found network, when it is profiled."""
    needs_network: bool = False
    """Whether a solution must bring its trained network."""

    def validation(self, architecture: Architecture) -> float:
        """The validation accuracy, in %, of a network trained with the architecture: one trial of a multi-trial search.

        On `nasbench201` after 12 epochs, the mean over seeds; on `digits-cells` of a single training, by the problem's
        seed. How long that training took is in neither table. Whoever asks counts the questions.
        """
        if self.validations is None:
            raise Unsupported(f"no architecture of {self.space.name} has been trained, so none can be tried out")
        assert isinstance(self.space, TabularSpace)
        return self.validations[self.space.number(architecture)].item()

    def network(self, architecture: Architecture) -> nn.Module:
        """The network that is trained with an architecture in the end. Initial weights are drawn by torch."""
        layers = self.space.layers(self.network_cells)
        return self.space.network(architecture, self.network_channels, layers, self.classes, self.images.shape[1])

    def supernet(self, norms: Norms = Norms(), add_zeros: bool = False) -> nn.Module:  # noqa: B008 -- frozen
        """A network in which all architectures share weights: images and operator weights to logits."""
        layers = self.space.layers(self.cells)
        return self.space.supernet(
            self.channels, layers, self.classes, self.images.shape[1], norms=norms, add_zeros=add_zeros
        )

    def augmented(self, images: Float[Tensor, "b c h w"], generator: torch.Generator) -> Float[Tensor, "b c h w"]:
        """Images shifted at random, and mirrored where that makes sense, as networks are trained with them."""
        return augmented(images, self.background, self.padding, self.flips, generator)


@dataclass(frozen=True)
class NASHeldOut:
    """What only `evaluate` sees."""

    space: Space
    test: Mapping[str, Float[Tensor, " a"]]
    """Test accuracies by metric and number; empty where nothing was trained."""
    network_channels: int
    network_cells: int
    classes: int
    shape: tuple[int, int, int]
    validation: tuple[Float[Tensor, "m c h w"], Int64[Tensor, " m"]] | None = None
    test_part: tuple[Float[Tensor, "t c h w"], Int64[Tensor, " t"]] | None = None
    """Images and labels to measure the trained network that a solution brings; none where a table is looked up."""
