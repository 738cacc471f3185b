"""The surrogate loss and the two parts of the PU risk, which the methods of this folder share.

p positives, u unlabelled, n scores
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.pu import PUProblem, scores


def sigmoid_loss(margin: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """1 / (1 + exp(margin)). Bounded, and loss(z) + loss(-z) = 1."""
    return torch.sigmoid(-margin)


def pu_parts(
    positive: Float[Tensor, " p"], unlabelled: Float[Tensor, " u"], prior: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """What is lost on positives, pi R_p+, and an estimate of what is lost on negatives, R_u- - pi R_p-.

    The unlabelled images, taken for negatives, lose R_u-; the share of it that is due to the positives among them is
    pi R_p-. The sum of the two parts is an unbiased estimate of the risk (nnPU, Eq. 2).
    """
    on_positives = prior * sigmoid_loss(positive).mean()
    on_negatives = sigmoid_loss(-unlabelled).mean() - prior * sigmoid_loss(-positive).mean()
    return on_positives, on_negatives


def validation_risk(net: nn.Module, problem: PUProblem) -> Float[Tensor, ""]:
    """The unbiased PU risk on the validation part, in eval mode. It needs no labelled negative."""
    on_positives, on_negatives = pu_parts(
        scores(net, problem.validation_positive), scores(net, problem.validation_unlabelled), problem.prior
    )
    return on_positives + on_negatives
