"""No search: one given cell, trained from scratch as NAS-Bench-201 trains all of its cells.

Dong and Yang, ICLR 2020: SGD with Nesterov's momentum, step size on half a cosine down to zero, random shifts and
mirrors. The suite `nas-cells` trains every cell of `digits-cells` with it; `python -m tasks.nas.tabulate` makes the
table of that data set from the records.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import cross_entropy

from bench import Count, Natural, NonNegative, Positive, Presets, Run, UnitInterval, Unsupported, method
from bench.training import Batches, descend
from tasks.nas import Found, NASProblem, TabularSpace


@method("nas")
@dataclass(frozen=True)
class OneCell:
    """No search: trains the cell of a given number, which is how `digits-cells` came about."""

    cell: Natural = 0
    """In the order of all choices of operators, the last edge fastest."""
    epochs: Count = 200
    batch: Count = 256
    lr: Positive = 0.1
    momentum: UnitInterval = 0.9
    weight_decay: NonNegative = 5e-4
    augment: bool = True
    """Whether training images are shifted, and mirrored where that makes sense."""

    presets: ClassVar[Presets] = {
        "smoke": {"epochs": 1, "batch": 32},
        "small": {"epochs": 12, "batch": 50},
        "gpu": {"epochs": 12},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        space = problem.space
        if not isinstance(space, TabularSpace):
            raise Unsupported(f"cells of {space.name} have no numbers; one-cell needs a tabular space")
        architecture = space.architecture(self.cell)
        net = problem.network(architecture).to(run.device)
        optimizer = torch.optim.SGD(
            net.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay, nesterov=self.momentum > 0
        )
        epoch = max(1, len(problem.images) // self.batch)  # steps
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs * epoch)
        batches = Batches((problem.images, problem.labels), self.batch, run)

        state = {"net": net, "optimizer": optimizer, "schedule": schedule, "batches": batches}
        for step in run.steps(self.epochs * epoch, state):
            images, labels = next(batches)
            if self.augment:
                images = problem.augmented(images, run.generator)
            loss = cross_entropy(net(images.to(run.device)), labels.to(run.device))
            descend(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss)
        run.artefact("architecture", str(architecture))
        return Found(architecture, network=net)
