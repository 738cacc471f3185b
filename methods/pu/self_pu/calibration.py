"""Self-calibration: how far each unlabelled image of a batch is trusted to its own prediction, learned by a look-ahead.

Learning to reweight (Ren, Zeng, Yang and Urtasun, ICML 2018) gives each term of a batch's loss a weight of zero, takes
one step of size s down the weighted loss, and asks how a judge's loss M, on other images, depends on the weights. All
weights being zero, the step goes nowhere, and the loss is linear in them. So the answer for the term phi_i is closed:

    dM / dweight_i = -s <grad M, grad phi_i>

which is the derivative of phi_i along -s grad M. One forward-mode pass gives it for all images at once, with no graph
of the step, no second network and no loop. `benefits` is the gain, -dM / dweight; `instance_weights` makes weights of
it.

b images of a batch, p its labelled positives, u its unlabelled images
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.functional import softplus

from methods.pu._risks import sigmoid_loss

LEAST = 1e-10
"""Added to the weight of the PU risk, so that an image that helps in neither way keeps it."""

Loss = Callable[[Tensor], Tensor]


def entropy(scores: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """H(p) = -p log p - (1 - p) log(1 - p) of the probability p = sigmoid(score), in nats."""
    return softplus(scores) - scores * scores.sigmoid()


def traceless(
    net: nn.Module, parameters: Mapping[str, Tensor], images: Float[Tensor, "b c h w"]
) -> Float[Tensor, " b"]:
    """Scores in the net's own mode, which leave no trace in its batch statistics."""
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    return functional_call(net, ({**parameters}, buffers), (images,))


def slope(net: nn.Module, images: Float[Tensor, "b c h w"], loss: Loss) -> dict[str, Tensor]:
    """The gradient of a loss of the scores of these images, by name of parameter."""
    parameters = dict(net.named_parameters())
    slopes = torch.autograd.grad(loss(traceless(net, parameters, images)), list(parameters.values()))
    return dict(zip(parameters, slopes, strict=True))


def benefits(
    net: nn.Module, images: Float[Tensor, "b c h w"], positives: int, judged: dict[str, Tensor], lr: float, sign: float
) -> Float[Tensor, "u 2"]:
    """How much less the judge would lose for a unit of weight on the PU loss and on the entropy of an unlabelled image.

    The first `positives` images are labelled, `judged` is the gradient of the judge's loss, `lr` the size of the step.
    A `sign` of -1 looks ahead at rising entropy, as the released code does.
    """
    unlabelled = len(images) - positives

    def terms(parameters: dict[str, Tensor]) -> Tensor:
        scores = traceless(net, parameters, images)[positives:]
        return torch.stack([sigmoid_loss(-scores) / unlabelled, sign * entropy(scores) / len(images)], 1)

    parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}
    return lr * jvp(terms, (parameters,), (judged,))[1]


def weighted_parts(
    positive: Float[Tensor, " p"], unlabelled: Float[Tensor, " u"], weights: Float[Tensor, " u"], prior: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The two parts of the PU risk, each unlabelled image's loss times its weight; labelled ones have a weight of 1."""
    on_positives = prior * sigmoid_loss(positive).mean()
    return on_positives, (weights * sigmoid_loss(-unlabelled)).mean() - prior * sigmoid_loss(-positive).mean()


def instance_weights(gains: Float[Tensor, "u 2"], most: float) -> Float[Tensor, "u 2"]:
    """For each unlabelled image a weight on its PU loss and one on its entropy; they sum to 1.

    In the order of the batch, images are given weight on their entropy until `most` is spent; the others keep (1, 0).
    """
    pu_risk, own = gains.clamp(min=0).unbind(1)
    share = own / (pu_risk + LEAST + own)
    share = torch.where(share.cumsum(0) <= most, share, torch.zeros_like(share))
    return torch.stack([1 - share, share], 1)
