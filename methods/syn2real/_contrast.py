"""Contrast with a frozen teacher: pull an image to the teacher's view of it, push it from those of other images.

CSG (Chen and others, ICLR 2021), with the queue of MoCo (He and others, CVPR 2020).

    h, a projection head                 `projection_head`, its result on the unit sphere
    h~, its average                      in `Contrast`, moved at the start of a step; the teacher itself never moves
    Eq. 4, InfoNCE                       `info_nce`
    queue of keys of earlier batches     `KeyQueue`
    all of one layer                     `Contrast`

Differs from the authors' code: keys that do not fit at the end of the queue go on at its beginning. Theirs enters the
first keys of the batch there again.

n images or patches, c channels, d dimensions of the projection, k length of the queue
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class KeyQueue(nn.Module):
    """A ring of the last `length` keys. It starts as Gaussian noise on the unit sphere."""

    keys: Tensor
    place: Tensor

    def __init__(self, length: int, dimensions: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("keys", normalize(torch.randn(length, dimensions, generator=generator), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def push(self, keys: Float[Tensor, "n d"]) -> None:
        """The oldest keys give way to these. Of more than the ring holds the last stay."""
        length = len(self.keys)
        last = torch.arange(len(keys), device=self.keys.device)[-length:]
        self.keys.index_copy_(0, (self.place + last) % length, keys.detach()[-length:])
        self.place.add_(len(keys)).remainder_(length)


def info_nce(
    queries: Float[Tensor, "n d"], keys: Float[Tensor, "n d"], queue: Float[Tensor, "k d"], temperature: float
) -> Float[Tensor, ""]:
    """Mean over queries of -ln of the share of their own key among it and the queue, of exp(cosine / temperature).

    All must have unit length.
    """
    own = (queries * keys).sum(1, keepdim=True)
    logits = torch.cat([own, queries @ queue.T], dim=1) / temperature
    return cross_entropy(logits, torch.zeros(len(queries), dtype=torch.int64, device=queries.device))


def projection_head(width: int, dimensions: int) -> nn.Sequential:
    """Linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dimensions))


class Contrast(nn.Module):
    """The contrast of one layer: the student's head, its average for the teacher, and the queue.

    `head` is to be trained, or left as it was drawn, as the authors' code for segmentation does. With `momentum` 0 the
    teacher's vectors go through the student's head itself.
    """

    def __init__(
        self,
        width: int,
        *,
        dimensions: int,
        queue: int,
        temperature: float,
        momentum: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.head = projection_head(width, dimensions)
        self.averaged = AveragedModel(self.head, multi_avg_fn=get_ema_multi_avg_fn(momentum)).requires_grad_(False)
        self.queue = KeyQueue(queue, dimensions, generator)
        self.temperature = temperature

    def forward(self, student: Float[Tensor, "n c"], teacher: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
        """One step: the average follows the head, the loss of pooled vectors is formed, then the keys are queued."""
        self.averaged.update_parameters(self.head)
        queries = normalize(self.head(student), dim=1)
        with torch.no_grad():
            keys = normalize(self.averaged(teacher), dim=1)
        # A copy, since the queue is overwritten before anybody calls backward.
        loss = info_nce(queries, keys, self.queue.keys.clone(), self.temperature)
        self.queue.push(keys)
        return loss
