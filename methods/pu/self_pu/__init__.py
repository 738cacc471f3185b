"""Self-PU: a classifier from positive and unlabelled data that is its own teacher.

Chen, Chen, Chen, Yuan, Gong, Chen and Wang, ICML 2020. Three parts over nnPU's risk, each with a switch:

    self-paced selection      `self_paced`    confident unlabelled images leave for a trusted set: selection.py
    self-calibrated loss      `calibration`   images are weighted between PU risk and entropy: calibration.py
    self-distillation         `distillation`  two students and their averages in time: distillation.py

turns.py has what each student sees in an epoch, judges.py who judges the weights.

An epoch is one pass over the trusted images, then one over labelled positives and the rest. Settings in epochs are
those of a run of `PUBLISHED_EPOCHS`; a shorter run scales them. With all three parts off and `final_lr=1` this is
`nnpu`, to the bit where the batch size divides the number of unlabelled images.

Differs from the authors' code (docs/pu.md says more):
1. The consistency is that of the sigmoids; theirs is a softmax over one score and always zero (`consistency`).
2. Calibration looks at half of the validation images, none of them a labelled negative; theirs at the test images
   (`calibration`).
3. The step looks ahead at falling entropy, the one that is taken; theirs at rising (`lookahead_sign`).
4. The solution is chosen by a validation PU risk; theirs is the best on the test part (`pu.trajectory`).
5. Batches have a fixed number of labelled positives, as in `nnpu`. Students follow the same random order; distilled,
   they see the same batches, of what either does not trust, and each learns from its own part of them.
6. The weight on entropies is limited by a running sum of normalised weights, for both students.

b images of a batch, p its labelled positives, u its unlabelled images, t trusted images
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from bench import (
    Count,
    Natural,
    NonNegative,
    Positive,
    Presets,
    Run,
    Search,
    UnitInterval,
    method,
)
from bench.seeds import derive_seed
from bench.training import Batches, Memory, descend
from methods.pu._risks import pu_parts
from methods.pu._selection import Candidates
from methods.pu.nnpu import nnpu
from methods.pu.self_pu.calibration import benefits, entropy, instance_weights, slope, weighted_parts
from methods.pu.self_pu.distillation import average, consistency_weight, distance, gated
from methods.pu.self_pu.judges import Judge, halves, judge_of
from methods.pu.self_pu.selection import prior_of_rest, trust, trusted_per_class
from methods.pu.self_pu.turns import Student, View, trusted_batches, turns
from tasks.pu import PUProblem, scores

PUBLISHED_EPOCHS = 200


@method("pu", paper="self-pu")
@dataclass(frozen=True)
class SelfPU:
    """Trusts its confident predictions at a growing pace, calibrates its loss, and distils two students into itself."""

    epochs: Count = 200
    """Passes over the unlabelled images. All other epochs below are those of a run of 200, and scale with this."""
    batch_positive: Count = 4
    """With `batch_unlabelled`, the authors' 256 in MNIST's ratio of 1,000 to 60,000."""
    batch_unlabelled: Count = 252
    batch_trusted: Count = 256
    lr: Positive = 5e-4
    """Adam's step size at the start."""
    final_lr: UnitInterval = 0.0
    """The share of it that a cosine leaves at the end; 1 keeps it constant."""
    weight_decay: NonNegative = 5e-3
    beta: NonNegative = 0.0
    """How far the negative part may fall below zero before it is pushed back; as in `nnpu`."""
    gamma: NonNegative = 1.0
    """Step size of that push, relative to `lr`."""

    self_paced: bool = True
    """Whether confident images leave the unlabelled ones for a trusted set."""
    start: Natural = 10
    """The epoch after which images are first trusted; calibration begins with it."""
    stop: Natural = 50
    """The epoch from which on the trusted set stays, calibration has ended and distillation begins."""
    every: Count = 10
    """Epochs between two selections."""
    pace: UnitInterval = 0.5
    """The share of the unlabelled images that would be trusted at full pace, at epoch 100."""
    pace_gap: UnitInterval = 0.1
    """By how much the first of two students is slower, and the second faster."""
    in_and_out: bool = True
    """Whether each selection starts anew; otherwise what is trusted stays so."""
    soft_labels: bool = False
    """Whether trusted images are trained by the entropy of their predictions (the README's commands) instead of by
    their pseudo-labels (the code's default)."""
    update_prior: bool = False
    """Whether the risk on the rest reckons with the prior that equal numbers of trusted images leave there."""

    calibration: Literal["pu", "clean", "test-inputs", "none"] = "pu"
    """What judges the weights: the PU risk of validation images; labelled images, an oracle, which needs
    `pu.clean_labels`; the entropy of test images, A FAULT OF THE RELEASED CODE, which needs `pu.test_inputs`."""
    calibration_positive: Count = 16
    """With `calibration_unlabelled`, the validation images of one look-ahead."""
    calibration_unlabelled: Count = 240
    lookahead_lr: Positive = 1e-3
    """Size of the step that is looked ahead."""
    lookahead_sign: Literal["consistent", "reversed"] = "consistent"
    """Whether the step that is looked ahead lowers the entropy, as the one taken does, or raises it, A FAULT OF THE
    RELEASED CODE."""
    entropy_share: UnitInterval = 0.0625
    """The largest weight of all entropies of a batch, as a share of its images: 16 of 256."""

    distillation: bool = True
    """Whether there are two students and their teachers."""
    gate: NonNegative = 0.1
    """Students learn from each other where they differ by less than this share of the batch's risk."""
    teachers: bool = True
    """Whether each student has a teacher, its average over time."""
    consistency: Literal["sigmoid", "softmax"] = "sigmoid"
    """How students follow their teachers; softmax is A FAULT OF THE RELEASED CODE: it is always zero."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 20, "batch_positive": 6, "batch_unlabelled": 250},
        "small": {"epochs": 40, "batch_positive": 6, "batch_unlabelled": 250},
        "gpu": {"epochs": 40},
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-5, 1e-2)",
        "weight_decay": "log(1e-6, 1e-1)",
        "pace": "uniform(0.1, 0.9)",
        "gate": "log(1e-3, 1)",
    }

    def build(self, problem: PUProblem) -> nn.Module:
        return problem.build_network()

    def fit(self, problem: PUProblem, run: Run) -> nn.Module:
        positives = Batches(problem.positive.to(run.device), self.batch_positive, run)
        unlabelled, order = problem.unlabelled.to(run.device), run.stream()
        students = [self._student(problem, run, number) for number in range(2 if self.distillation else 1)]
        judging, choosing = halves(problem) if self.calibration == "pu" else (problem, problem)
        sizes = (self.calibration_positive, self.calibration_unlabelled)
        judges, judge = judge_of(self.calibration, judging, sizes, run)
        candidates = Candidates(choosing)
        clock = Memory(updates=0)  # of the teachers
        selections = {self._at(epoch): epoch for epoch in range(self.start, self.stop, self.every)}
        distilled_from = self._at(self.stop)

        state: dict[str, Any] = {"positives": positives, "candidates": candidates, "clock": clock, **judges}
        for number, student in enumerate(students, 1):
            state |= {f"student-{number}": student.net, f"optimizer-{number}": student.optimizer}
            state |= {f"teacher-{number}": student.teacher, f"trusted-{number}": student.trusted}

        for phase, first, last in self._phases():
            for step in run.steps(last - first, state, name=f"epochs/{phase}"):
                epoch = first + step
                taught = self.teachers and self.distillation and epoch >= distilled_from
                follow = consistency_weight(epoch * PUBLISHED_EPOCHS / self.epochs) if taught else 0.0
                for student in students:
                    self._set_lr(student.optimizer, epoch)
                    if taught and epoch == distilled_from:
                        student.teacher.load_state_dict(student.net.state_dict())

                seed = derive_seed(order, "trusted", epoch)
                for student in students:
                    for indices, labels in trusted_batches(student, self.batch_trusted, seed):
                        images = unlabelled[indices.to(run.device)]
                        loss = self._on_trusted(student, images, labels.to(run.device), follow)
                        descend(student.optimizer, loss)
                if taught:
                    self._average(students, clock)

                risks = []
                together, seed = phase == "distil", derive_seed(order, epoch)
                for batch in turns(students, together, len(unlabelled), self.batch_unlabelled, seed):
                    labelled = next(positives)
                    # All forward passes first, then all steps: neither student may see the other one ahead.
                    views = []
                    for student, indices, learned in batch:
                        images = torch.cat([labelled, unlabelled[indices.to(run.device)]])  # p + u, c, h, w
                        weights = self._weights(student, images, judge) if judge and phase == "pace" else None
                        # One pass: apart, each would be normalised by its own statistics, which tell the label.
                        own = learned.to(run.device)
                        views.append(View(student, images, student.net(images), len(labelled), own, weights))
                    objectives = []
                    for view in views:
                        peers = [peer.values for peer in views if peer is not view and together]
                        if len(view.learned):
                            risk, objective = self._on_rest(view, peers, follow)
                            risks.append(risk.detach())
                            objectives.append((view.student, objective))
                    for student, objective in objectives:
                        descend(student.optimizer, objective)
                if taught:
                    self._average(students, clock)

                if self.self_paced and epoch in selections:
                    for student in students:
                        self._select(student, problem, unlabelled, selections[epoch])
                networks = {f"student-{number}": student.net for number, student in enumerate(students, 1)}
                if taught:
                    networks |= {f"teacher-{number}": student.teacher for number, student in enumerate(students, 1)}
                run.log(step, risk=torch.stack(risks).mean(), trusted=len(students[0].trusted.indices))
                run.log(step, validation_risk=candidates.offer(epoch, **networks))
        run.artefact("chosen", candidates.chosen)
        return candidates.solution(students[0].net)

    # What is trained -------------------------------------------------------------------------------------------------

    def _on_trusted(
        self, student: Student, images: Float[Tensor, "t c h w"], labels: Float[Tensor, " t"], follow: float
    ) -> Float[Tensor, ""]:
        """The loss of a batch of trusted images."""
        values = student.net(images)
        loss = entropy(values).mean() if self.soft_labels else binary_cross_entropy_with_logits(values, labels)
        if follow:
            with torch.no_grad():
                target = student.teacher(images)
            loss = loss + follow * distance(values, target, self.consistency)
        return loss

    def _on_rest(
        self, view: View, peers: Sequence[Float[Tensor, " b"]], follow: float
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The PU risk of what a student learns from in a batch, and the objective of its step."""
        student, size = view.student, self.batch_positive + len(view.learned)
        own = view.own(view.values)
        positive, rest_values = own.tensor_split([self.batch_positive])
        prior = student.trusted.prior
        if view.weights is None:
            risk, objective = nnpu(*pu_parts(positive, rest_values, prior), self.beta, self.gamma)
        else:
            on_risk, on_entropy = view.weights.unbind(1)
            risk, objective = nnpu(*weighted_parts(positive, rest_values, on_risk, prior), self.beta, self.gamma)
            objective = objective + (on_entropy * entropy(rest_values)).sum() / size
        for values in peers:
            objective = objective + gated(distance(own, view.own(values), "sigmoid"), risk.detach(), self.gate)
        if follow:
            with torch.no_grad():
                target = view.own(student.teacher(view.images))
            objective = objective + follow * distance(own, target, self.consistency)
        return risk, objective

    def _weights(self, student: Student, images: Tensor, judge: Judge) -> Tensor:
        judged_images, loss = judge()
        judged = slope(student.net, judged_images, loss)
        sign = 1.0 if self.lookahead_sign == "consistent" else -1.0
        gains = benefits(student.net, images, self.batch_positive, judged, self.lookahead_lr, sign)
        return instance_weights(gains, self.entropy_share * len(images))

    def _average(self, students: Sequence[Student], clock: Memory) -> None:
        for student in students:
            average(student.teacher, student.net, clock.updates)
        clock.updates += 1

    def _select(self, student: Student, problem: PUProblem, unlabelled: Tensor, epoch: int) -> None:
        """Trusts anew, in-and-out, or trusts more."""
        per_class = trusted_per_class(len(unlabelled), epoch, student.top)
        values = scores(student.net, unlabelled).cpu()
        trusted = student.trusted
        if not self.in_and_out:
            values[trusted.indices.cpu()] = torch.where(trusted.labels.cpu() > 0, torch.inf, -torch.inf)
        trusted.indices, trusted.labels = trust(values, per_class)
        if self.update_prior:
            trusted.prior = prior_of_rest(problem.prior, len(unlabelled), per_class)

    # What it is made of ----------------------------------------------------------------------------------------------

    def _student(self, problem: PUProblem, run: Run, number: int) -> Student:
        net = problem.build_network(number).to(run.device)
        gap = (-self.pace_gap, self.pace_gap)[number] if self.distillation else 0.0
        return Student(
            net=net,
            teacher=copy.deepcopy(net).requires_grad_(False),
            optimizer=torch.optim.Adam(net.parameters(), self.lr, weight_decay=self.weight_decay),
            trusted=Memory(indices=torch.empty(0, dtype=torch.long), labels=torch.empty(0), prior=problem.prior),
            top=self.pace + gap,
        )

    # What happens when -----------------------------------------------------------------------------------------------

    def _at(self, epoch: int) -> int:
        """An epoch of 200, as one of this run."""
        return round(epoch * self.epochs / PUBLISHED_EPOCHS)

    def _phases(self) -> Iterator[tuple[str, int, int]]:
        """Name, first epoch and the one after the last, of those phases that have any."""
        start, stop = self._at(self.start), self._at(self.stop)
        for name, first, last in (("warm-up", 0, start), ("pace", start, stop), ("distil", stop, self.epochs)):
            if last > first:
                yield name, first, last

    def _set_lr(self, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        share = self.final_lr + (1 - self.final_lr) * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        for group in optimizer.param_groups:
            group["lr"] = self.lr * share
