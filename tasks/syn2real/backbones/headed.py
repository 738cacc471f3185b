"""A backbone with a new head: what networks for images and for scenes have in common.

b batch, h w pixels, k classes
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from tasks.syn2real.backbones import Backbone


class Headed(nn.Module, ABC):
    """The head answers from maps of the backbone, so that what is asked of the maps costs no second pass."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    @abstractmethod
    def decode(
        self, maps: Mapping[int, Float[Tensor, "b _ _ _"]], size: tuple[int, int]
    ) -> Float[Tensor, "b k *pixels"]:
        """Maps of the backbone to logits of an image of `size` (h, w)."""

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k *pixels"]:
        height, width = images.shape[2:]
        return self.decode(self.backbone.maps(images), (height, width))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Those of the backbone, then the head."""
        return {**self.backbone.groups(), "new_head": list(self.head.parameters())}
