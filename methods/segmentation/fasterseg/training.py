"""Training of a derived network: hard pixels at three heads, and for a student what its teacher says.

    L_teacher = OHEM(p8) + 0.2 OHEM(p16) + 0.2 OHEM(p32)        `supervised`
    L_student = the same + KL(teacher || student)               `distilled`

b images, k classes, h w pixels
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import kl_div
from torch.optim.lr_scheduler import LambdaLR

from bench import Count, NonNegative, Positive, Run, UnitInterval
from bench.training import descend
from methods.segmentation._losses import ohem
from methods.segmentation._recipe import drawn
from methods.segmentation.fasterseg.genotype import Genotype
from methods.segmentation.fasterseg.network import DerivedNetwork
from tasks.segmentation import Augmented, SegmentationProblem

Distillation = Literal["per-element", "per-pixel", "none"]
"""Whether a student follows a teacher, and over what the divergence is averaged. The released code averages over every
element, classes too, which is a k-th of the divergence of a pixel."""


def supervised(
    maps: list[Tensor], labels: Int[Tensor, "b h w"], auxiliary: float, threshold: float, least: float
) -> Float[Tensor, ""]:
    """The loss of the head, and `auxiliary` times those of the others."""
    first, *others = (ohem(logits, labels, threshold, least) for logits in maps)
    return first + auxiliary * torch.stack(others).sum()


def distilled(
    student: Float[Tensor, "b k h w"], teacher: Float[Tensor, "b k h w"], average: Distillation
) -> Float[Tensor, ""]:
    """KL(teacher || student) at temperature 1. Ignored pixels count too."""
    by_element = kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="none", log_target=True)
    match average:
        case "per-element":
            return by_element.mean()
        case "per-pixel":
            return by_element.sum(1).mean()
        case "none":
            return by_element.new_zeros(())


def learning_rate(lr: float, decay: float, epoch: int) -> float:
    """What is left of `lr` after so many epochs: lr decay^epoch."""
    return lr * decay**epoch


def train(
    net: DerivedNetwork,
    phase: str,
    batches: Augmented,
    run: Run,
    *,
    epochs: int,
    epoch_steps: int,
    lr: float,
    lr_decay: float,
    momentum: float,
    weight_decay: float,
    auxiliary: float,
    threshold: float,
    least: float,
    teacher: nn.Module | None = None,
    distillation: Distillation = "none",
    distillation_weight: float = 1.0,
) -> None:
    """A phase of a fit. A `teacher` is not changed; it stands in eval mode."""
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum, weight_decay=weight_decay)
    schedule = LambdaLR(optimizer, lambda step: learning_rate(1.0, lr_decay, step // epoch_steps))
    state = {"net": net, "optimizer": optimizer, "schedule": schedule, "batches": batches}
    net.train()
    for step in run.steps(epochs * epoch_steps, state, name=phase):
        images, labels = next(batches)
        maps = net.with_auxiliary(images)
        loss = supervised(maps, labels, auxiliary, threshold, least)
        run.log(step, loss=loss)
        if teacher is not None and distillation != "none":
            with torch.no_grad():
                taught = teacher(images)
            divergence = distilled(maps[0], taught, distillation)
            run.log(step, divergence=divergence)
            loss = loss + distillation_weight * divergence
        descend(optimizer, loss)
        schedule.step()


def untrained(genotype: Genotype, problem: SegmentationProblem, name: str, run: Run) -> DerivedNetwork:
    """A network with all that training uses; its weights depend on the problem's seed and the name."""
    return drawn(lambda: DerivedNetwork(genotype, problem.classes), problem.seed, name).to(run.device)


@dataclass(frozen=True)
class Training:
    """What all methods train a derived network by, with the authors' values."""

    epochs: Count = 600
    """Each of `epoch_steps` batches; of the student, where a teacher is trained too."""
    epoch_steps: Count = 1000
    batch: Count = 12
    """Crops a step."""
    lr: Positive = 0.01
    """SGD's step size at the start."""
    lr_decay: UnitInterval = 0.992
    """What is left of it after an epoch."""
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 5e-4
    """Of all parameters, batch norms among them."""
    auxiliary: NonNegative = 0.2
    """The weight of each auxiliary head's loss."""
    threshold: UnitInterval = 0.7
    """OHEM: pixels whose class has a probability of at most this are kept."""
    least: UnitInterval = 0.0625
    """OHEM: this share of the pixels is kept at least."""
    deployed: bool = False
    """Whether the solution leaves out the auxiliary heads, and the attention that the released code builds and never
    calls: the published number of parameters counts them."""

    def train(
        self,
        net: DerivedNetwork,
        phase: str,
        epochs: int,
        problem: SegmentationProblem,
        run: Run,
        teacher: nn.Module | None = None,
        distillation: Distillation = "none",
        distillation_weight: float = 1.0,
    ) -> DerivedNetwork:
        """A phase of a fit, on all training images; gives the network back."""
        train(
            net,
            phase,
            problem.batches(self.batch, run),
            run,
            epochs=epochs,
            epoch_steps=self.epoch_steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            auxiliary=self.auxiliary,
            threshold=self.threshold,
            least=self.least,
            teacher=teacher,
            distillation=distillation,
            distillation_weight=distillation_weight,
        )
        return net


def finished(net: DerivedNetwork, genotype: Genotype, classes: int, *, deployed: bool) -> nn.Module:
    """The trained network; `deployed` without what only training uses."""
    if not deployed:
        return net
    bare = DerivedNetwork(genotype, classes, auxiliary=False, attention=False)
    kept = bare.state_dict().keys()
    bare.load_state_dict({name: value for name, value in net.state_dict().items() if name in kept})
    return bare.to(next(net.parameters()).device)
