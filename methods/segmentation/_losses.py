"""Cross entropies over pixels: the plain one, with or without class weights, and that of hard pixels only (OHEM).

Pixels labelled `IGNORE` take part in none of them. Where no pixel counts, a loss is zero and so is its gradient: a crop
that is all border does not end a fit. Dimensions: b images, k classes, h w pixels.
"""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from tasks.segmentation import IGNORE


def cross_entropy(
    logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b h w"], weights: Float[Tensor, " k"] | None = None
) -> Float[Tensor, ""]:
    """The mean over the labelled pixels; with `weights`, one in which a pixel counts as much as its class."""
    labels = labels.long()
    total = functional.cross_entropy(logits.float(), labels, weights, ignore_index=IGNORE, reduction="sum")
    labelled = labels != IGNORE
    shares = labelled if weights is None else weights[labels * labelled] * labelled
    mass = shares.sum()
    return total / torch.where(mass > 0, mass, 1)


def hard_pixels(
    logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b h w"], threshold: float, kept: int
) -> Bool[Tensor, "b h w"]:
    """Labelled pixels whose class has a probability of at most t = max(`threshold`, the `kept`-th smallest one).

    So at least `kept` stay; where fewer than that are labelled, all of them do. The choice has no gradient.
    """
    labels = labels.long()
    labelled = labels != IGNORE
    probabilities = logits.detach().float().softmax(1).gather(1, (labels * labelled)[:, None])[:, 0]  # b, h, w
    # Ignored pixels count as probability 1: if they are among the `kept` smallest, t is 1 and every pixel is hard.
    probabilities = probabilities.masked_fill(~labelled, 1.0)
    limit = probabilities.new_tensor(threshold)
    if kept:
        limit = torch.maximum(limit, probabilities.flatten().kthvalue(kept).values)
    return labelled & (probabilities <= limit)


def ohem(
    logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b h w"], threshold: float = 0.7, least: float = 1 / 16
) -> Float[Tensor, ""]:
    """Cross entropy over the pixels whose class is not yet known with probability `threshold`.

    At least the share `least` of all pixels, ignored ones included in the count, takes part.
    """
    hard = hard_pixels(logits, labels, threshold, int(least * labels.numel()))
    return cross_entropy(logits, labels.masked_fill(~hard, IGNORE))
