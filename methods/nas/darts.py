"""DARTS: the choice of operators is relaxed to weights of a mixture, which are learnt by gradient descent.

Liu, Simonyan and Yang, ICLR 2019.

    relaxation, Eq. 2                       a softmax for each edge: `_choices.Preferences`
    bilevel problem, Eq. 3 and 4            weights on one half of the images, preferences on the other
    one step for the inner problem, Eq. 6   `second_order`; with a step of zero, `first_order`
    Hessian-vector product, Eq. 7 and 8     `second_order`, by a finite difference
    update, Algorithm 1                     the loop of `DARTS.fit`: preferences first, then weights
    derivation, section 2.4                 `_choices.derived`

Equation numbers are from memory. Settings are those of NAS-Bench-201's runs (Dong and Yang, ICLR 2020). On that
benchmark both orders are published to end at the cell whose edges all skip, 54.30 % on CIFAR-10: nothing here forces or
prevents it.

Differs from the authors' code: the look-ahead does not touch the supernet's own weights. From the benchmark's: its
first order takes the step of the weights before that of the preferences.

e edges, o operators
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from bench import Positive, Presets, Run, Search, method
from methods.nas._choices import Preferences, derived, entropy
from methods.nas._one_shot import Batch, PreferenceTraining, Shared
from tasks.nas import Found, NASProblem

Weights = Mapping[str, Tensor]
Loss = Callable[[Weights, Tensor], Tensor]
"""Of a network's weights, by name, and of the preferences."""


def first_order(
    search_loss: Loss, weights: Weights, preferences: Float[Tensor, "e o"]
) -> tuple[Float[Tensor, "e o"], Float[Tensor, ""]]:
    """The gradient of the loss on the search half by the preferences, the weights held; and that loss."""
    loss = search_loss(weights, preferences)
    (slope,) = torch.autograd.grad(loss, preferences)
    return slope, loss.detach()


def second_order(
    train_loss: Loss,
    search_loss: Loss,
    weights: Weights,
    preferences: Float[Tensor, "e o"],
    step_size: float,
    drift: Weights,
    radius: float,
) -> tuple[Float[Tensor, "e o"], Float[Tensor, ""]]:
    """The gradient by the preferences of the search loss one step of the weights on; and that loss.

    w' = w - step_size (grad_w train_loss + drift), where `drift` is what else moves the weights: momentum, decay.
    The gradient is that by the preferences at w', less step_size times the mixed second derivative of the training
    loss times v = grad_w' search_loss. That product is the difference of two gradients by the preferences, at weights
    moved by +-epsilon v with epsilon = radius / ||v||, over 2 epsilon.
    """
    names, values = list(weights), list(weights.values())
    slopes = torch.autograd.grad(train_loss(weights, preferences), values)
    ahead = {
        name: (value - step_size * (slope + drift[name])).detach().requires_grad_()
        for name, value, slope in zip(names, values, slopes, strict=True)
    }
    loss = search_loss(ahead, preferences)
    direct, *v = torch.autograd.grad(loss, [preferences, *ahead.values()])
    epsilon = radius / torch.cat([part.flatten() for part in v]).norm()
    sides = []
    for sign in (1, -1):
        moved = {
            name: (value + sign * epsilon * part).detach() for name, value, part in zip(names, values, v, strict=True)
        }
        sides.append(torch.autograd.grad(train_loss(moved, preferences), preferences)[0])
    product = (sides[0] - sides[1]) / (2 * epsilon)
    return direct - step_size * product, loss.detach()


@method("nas", paper="darts")
@dataclass(frozen=True)
class DARTS(PreferenceTraining):
    """Learns a softmax over the operators of each edge beside the weights of a supernet."""

    order: Literal[1, 2] = 1
    """Whether the preferences follow the gradient at the present weights, or look one step of the weights ahead."""
    radius: Positive = 0.01
    """Of the finite difference of the second order: how far the weights are moved either way. A smaller one need not be
    nearer to the gradient, as long as some ReLU changes its mind on the way."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 2, "batch": 16, "architecture_lr": 0.02},
        "small": {"epochs": 2, "architecture_lr": 0.02},
        "gpu": {"epochs": 5, "architecture_lr": 5e-3},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-3, 0.3)",
        "architecture_lr": "log(1e-5, 1e-1)",
        "architecture_weight_decay": "log(1e-5, 1e-1)",
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        shared = Shared(problem, self, run)
        preferences = Preferences(problem.space, run.generator).to(run.device)
        architect = self.architect(preferences)
        state = {**shared.state, "preferences": preferences, "architect": architect}
        for step in run.steps(shared.steps, state, name="search"):
            batch, judging = shared.next_training(), shared.next_judging()
            shared.set_lr(step / shared.steps)
            slope, search_loss = self._slope(shared, preferences, batch, judging)
            preferences.logits.grad = slope
            architect.step()
            probabilities = preferences.probabilities().detach()
            loss = shared.train(batch, probabilities)
            run.log(step, loss=loss, search_loss=search_loss, entropy=entropy(probabilities))
        probabilities = preferences.probabilities().detach()
        found = derived(problem.space, probabilities)
        run.artefact("architecture", str(found))
        run.artefact("probabilities", probabilities.tolist())
        return Found(found)

    def _slope(
        self, shared: Shared, preferences: Preferences, batch: Batch, judging: Batch
    ) -> tuple[Float[Tensor, "e o"], Float[Tensor, ""]]:
        """What the preferences descend, and the loss on the batch that judges."""

        def loss_on(images: Tensor, labels: Tensor) -> Loss:
            def loss(weights: Weights, logits: Tensor) -> Tensor:
                return cross_entropy(
                    functional_call(shared.net, dict(weights), (images, logits.softmax(dim=-1))), labels
                )

            return loss

        weights = dict(shared.net.named_parameters())
        if self.order == 1:
            return first_order(loss_on(*judging), weights, preferences.logits)
        group = shared.optimizer.param_groups[0]
        moments = {name: shared.optimizer.state[weight].get("momentum_buffer") for name, weight in weights.items()}
        drift = {
            name: self.weight_decay * weight.detach() + (0 if moment is None else self.momentum * moment)
            for (name, weight), moment in zip(weights.items(), moments.values(), strict=True)
        }
        return second_order(
            loss_on(*batch), loss_on(*judging), weights, preferences.logits, group["lr"], drift, self.radius
        )
