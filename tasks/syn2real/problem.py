"""What a method is given, and what only the evaluation sees.

b batch, n images, v validation images, h w pixels, k classes
"""

from dataclasses import dataclass

from jaxtyping import Int64, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench import Run
from bench.seeds import derive_seed
from bench.training import Batches
from tasks.segmentation.classes import IGNORE
from tasks.syn2real.backbones import Backbone, BackboneName, frozen_copy
from tasks.syn2real.crops import Crops
from tasks.syn2real.networks import Network, build
from tasks.syn2real.pictures import Pictures
from tasks.syn2real.scoring import in_pieces


@dataclass(frozen=True)
class Syn2RealProblem:
    """What a method learns from: synthetic images, as bytes. It holds no real one."""

    images: UInt8[Tensor, "n 3 h w"]
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n h w"]
    """The class of each image, or of each of its pixels, or `IGNORE`."""
    validation_images: UInt8[Tensor, "v 3 h w"]
    """Synthetic too: the only ones that may select anything."""
    validation_labels: Int64[Tensor, " v"] | UInt8[Tensor, "v h w"]
    class_names: tuple[str, ...]
    dense: bool
    """Whether each pixel has a class."""
    backbone: BackboneName
    crop: int
    """Pixels, high and wide, of what dense networks are trained on."""
    seed: int
    trajectory: bool = False
    """Whether a solution keeps the networks of every epoch, so that their best on the real images can be told."""

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def build_network(self, *, ibn: bool = False) -> Network:
        """Backbone with ImageNet's weights and a new head, the same for all methods of a seed; in eval mode."""
        seed = derive_seed(self.seed, "syn2real", "head")
        return build(self.backbone, self.classes, dense=self.dense, ibn=ibn, seed=seed)

    def teacher(self) -> Backbone:
        """What the backbone is before it is trained, without gradients."""
        return frozen_copy(self.build_network().backbone)

    def batches(self, size: int, run: Run, *constants: Tensor) -> Batches | Crops:
        """Endless batches of images and labels: of a dense problem crops, else whole, with what belongs to each."""
        if self.dense:
            return Crops(self.images, self.labels, size, run, self.crop)
        return Batches((self.images.to(run.device), self.labels.to(run.device), *constants), size, run)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, the mean over all that has a class."""
        return cross_entropy(logits, labels.long(), ignore_index=IGNORE)

    def validation_loss(self, network: nn.Module) -> float:
        """Of the synthetic images that were set apart, in eval mode; a pixel without a class counts as right."""

        def look(images: Tensor, labels: Tensor) -> Tensor:
            losses = cross_entropy(network(images), labels.long(), ignore_index=IGNORE, reduction="none")
            return losses.mean((1, 2)) if self.dense else losses

        parts = self.validation_images, self.validation_labels
        return in_pieces(network, parts, look, single=self.dense).mean().item()


@dataclass(frozen=True)
class Syn2RealHeldOut:
    """The real images, and what else is measured besides."""

    images: UInt8[Tensor, "n 3 h w"]
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n h w"]
    source_images: UInt8[Tensor, "v 3 _ _"]
    """The synthetic validation images."""
    source_labels: Int64[Tensor, " v"] | UInt8[Tensor, "v _ _"]
    class_names: tuple[str, ...]
    dense: bool
    mirrored: bool = False
    """Whether predictions are averaged over mirror images."""
    imagenet: Pictures | None = None
