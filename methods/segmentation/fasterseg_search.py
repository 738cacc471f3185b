"""FasterSeg's search: a student and its teacher from one supernet, by latencies of the present device.

Chen, Gong, Liu, Zhang, Li and Wang, ICLR 2020. Parts, in `fasterseg/`:

    search space, 3.1               `supernet.py`, `superkernel.py`, `operators.py`
    Gumbel-softmax over widths      `architecture.py`
    decoupled latency term, 3.3     `latency.regulariser`; the table: `measuring.py`, `prices.py`
    co-search, 3.4                  `searching.weights_loss`, and the loop of `FasterSegSearch.fit`
    derivation                      `derivation.py`
    training, distillation          `training.py`

Phases: latency (times the table), agreement (of the table with measured networks), pretrain, search, teacher, student.

Given its table a fit is a function of its seed. A timed table is not: it is taken once a process, kept in every
checkpoint and in the record, so that a resumed fit goes on with the table it began with. With `table=released` or
`table=macs` fits agree across processes and machines.

Differs from the authors' code (docs/fasterseg.md has more):
1. Faults of it are mended, and can be brought back: `zconv2_price`, `accumulation`, `keying`.
2. A table is scaled to the unit of the published one (`unit`), so that `latency_weight` and the two speeds hold for it.
3. Exits are chosen by each network's own mIoU at its likeliest widths; theirs writes the student's into both files.
4. The full pass of pre-training goes through the teacher's stem and heads, the others through the student's.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from bench import Count, Natural, NonNegative, Positive, Presets, Run, Search, UnitInterval, UserError, method
from bench.training import Memory, descend, frozen
from methods.segmentation._recipe import drawn
from methods.segmentation.fasterseg.architecture import Architecture
from methods.segmentation.fasterseg.derivation import FULL, Scale, derive
from methods.segmentation.fasterseg.genotype import Genotype
from methods.segmentation.fasterseg.latency import next_weight, regulariser
from methods.segmentation.fasterseg.measuring import Geometry, counted, timed_table, timing_rules
from methods.segmentation.fasterseg.prices import prices_from, released_prices
from methods.segmentation.fasterseg.searching import (
    Hard,
    Pricing,
    candidates,
    heads_loss,
    in_published_units,
    pretraining_loss,
    shares,
    weights_loss,
)
from methods.segmentation.fasterseg.supernet import Supernet
from methods.segmentation.fasterseg.training import Training, finished, learning_rate, untrained
from tasks.segmentation import Augmented, SegmentationProblem

STUDENT_WIDTH = 2
"""8 of 12: of the student's stem, and of what enters its heads."""


FEWEST_COLUMNS = 6
"""With fewer there is hardly a choice of where to go down."""


@method("segmentation", paper="fasterseg")
@dataclass(frozen=True)
class FasterSegSearch(Training):
    """Searches a student and a teacher in one supernet, trains the teacher, and distils it into the student."""

    layers: Count = 16
    """Columns of the supernet; at least 6."""
    channels: Count = 12
    """Of the supernet for a stride of 1, at full width: 96, 192 and 384 at the three scales."""
    teacher: bool = True
    """Whether a teacher is searched too, and distilled into the student."""
    regulariser: Literal["decoupled", "coupled", "none"] = "decoupled"
    """The latency term of the student's architecture: operators, ways and widths apart, weighted by how far each can
    move the latency; all in one; or none."""
    latency_weight: NonNegative = 0.01
    """Of that term at the start; it is halved or doubled after each epoch."""
    fps_low: Positive = 155.0
    """If either derived student is at most this fast by the table, the weight is doubled."""
    fps_high: Positive = 175.0
    """If either reaches this, it is halved. Both speeds are made for 16 columns: fewer are faster."""

    table: Literal["measured", "released", "macs"] = "measured"
    """Latencies of the device of this fit; those that the authors released, of a GTX 1080Ti; or multiply-adds."""
    unit: Literal["published", "device"] = "published"
    """Whether the table is scaled so that the supernet costs at the start what it cost the authors."""
    table_warmup: Count = 10
    """Calls of an operator before it is timed."""
    table_seconds: Positive = 3.0
    """For how long each of some 650 entries is timed."""
    table_calls: Count = 100_000
    """Or so many times, if that is sooner."""
    agreement_networks: Natural = 20
    """So many random networks are timed, to tell how well the table predicts."""
    zconv2_price: Literal["own", "conv2"] = "own"
    """What prices two zoomed convolutions: their own entry, or that of two plain ones, A FAULT OF THE RELEASED CODE."""
    accumulation: Literal["grid", "in-place", "released"] = "grid"
    """How the expected latency is added up; the last two are FAULTS OF THE RELEASED CODE: totals are overwritten while
    they are read, and with `released` a stale index looks up the wrong scale's ways too."""
    keying: Literal["mended", "released"] = "mended"
    """Whether exit 16 goes down where the supernet means it, or one layer before, A FAULT OF THE RELEASED CODE."""

    pretrain_epochs: Natural = 20
    pretrain_epoch_steps: Count = 495
    pretrain_batch: Count = 3
    pretrain_lr: Positive = 0.02
    pretrain_crop_height: Count = 256
    pretrain_crop_width: Count = 512
    search_epochs: Count = 30
    search_epoch_steps: Count = 743
    search_batch: Count = 2
    search_lr: Positive = 0.01
    """Of the weights."""
    search_crop_height: Count = 224
    search_crop_width: Count = 448
    reduction: Positive = 2.0
    """Images are made so many times smaller before a search looks at them."""
    search_lr_decay: UnitInterval = 0.978
    """What is left of a step size of the weights after an epoch of pre-training or search."""
    max_norm: Positive = 5.0
    """Gradients of the weights are clipped to this norm."""
    architecture_lr: Positive = 3e-4
    """Adam's step size for the architecture."""

    teacher_epochs: Count = 600
    distillation: Literal["per-element", "per-pixel", "none"] = "per-element"
    """As in `fasterseg`."""
    distillation_weight: NonNegative = 1.0

    presets: ClassVar[Presets] = {
        "smoke": {
            "layers": 6,
            "channels": 3,
            "table_warmup": 1,
            "table_seconds": 0.01,
            "table_calls": 3,
            "agreement_networks": 3,
            "pretrain_epochs": 1,
            "pretrain_epoch_steps": 1,
            "pretrain_batch": 2,
            "pretrain_crop_height": 64,
            "pretrain_crop_width": 64,
            "search_epochs": 1,
            "search_epoch_steps": 2,
            "search_crop_height": 64,
            "search_crop_width": 64,
            "reduction": 1.0,
            "epochs": 1,
            "teacher_epochs": 1,
            "epoch_steps": 1,
            "batch": 2,
        },
        "small": {
            "layers": 6,
            "channels": 3,
            "table_warmup": 2,
            "table_seconds": 0.02,
            "table_calls": 20,
            "pretrain_epochs": 4,
            "pretrain_epoch_steps": 10,
            "pretrain_batch": 4,
            "pretrain_crop_height": 96,
            "pretrain_crop_width": 128,
            "search_epochs": 10,
            "search_epoch_steps": 10,
            "search_batch": 4,
            "search_crop_height": 96,
            "search_crop_width": 128,
            "reduction": 1.0,
            "architecture_lr": 2e-2,
            "fps_low": 240.0,
            "fps_high": 270.0,
            "epochs": 150,
            "teacher_epochs": 150,
            "epoch_steps": 1,
            "batch": 8,
            "lr": 0.02,
        },
        "gpu": {
            "layers": 8,
            "channels": 6,
            "table_warmup": 5,
            "table_seconds": 0.05,
            "table_calls": 50,
            "pretrain_epochs": 5,
            "pretrain_epoch_steps": 20,
            "pretrain_batch": 8,
            "pretrain_crop_height": 160,
            "pretrain_crop_width": 224,
            "search_epochs": 10,
            "search_epoch_steps": 30,
            "search_batch": 8,
            "search_crop_height": 160,
            "search_crop_width": 224,
            "architecture_lr": 5e-3,
            "epochs": 600,
            "teacher_epochs": 600,
            "epoch_steps": 1,
            "batch": 16,
            "lr": 0.02,
        },
    }
    search: ClassVar[Search] = {
        "latency_weight": "log(1e-3, 1e-1)",
        "architecture_lr": "log(1e-4, 3e-2)",
        "search_lr": "log(1e-3, 1e-1)",
        "lr": "log(1e-3, 1e-1)",
    }

    def fit(self, problem: SegmentationProblem, run: Run) -> nn.Module:
        if self.layers < FEWEST_COLUMNS:
            raise UserError(
                f"segmentation/fasterseg-search: layers must be at least {FEWEST_COLUMNS}, got {self.layers}; "
                f"set it with --set fasterseg-search.layers={FEWEST_COLUMNS}"
            )
        scales = {"student": Scale(self.channels, STUDENT_WIDTH, STUDENT_WIDTH)}
        if self.teacher:
            scales["teacher"] = Scale(self.channels, FULL, FULL)
        architectures = {
            name: Architecture(self.layers, scale.stem, scale.head, widths=name == "student").to(run.device)
            for name, scale in scales.items()
        }
        geometry = Geometry(problem.workload_size, problem.classes, tuple(scales.items()))
        # What later phases depend on is in the state of each, so that a resumed one finds what it began with.
        memory = Memory(groups={}, table={}, agreement=[], weight=self.latency_weight)
        self._price(geometry, memory, run)
        supernet = drawn(lambda: Supernet(self.layers, scales, problem.classes), problem.seed, "supernet")
        supernet.to(run.device)
        self._search(problem, run, supernet, architectures, memory)
        run.artefact("latency_table", memory.table)
        genotypes = self._derive(problem, run, supernet, architectures, self._pricing(memory, architectures))

        taught = None
        if self.teacher:
            taught = untrained(genotypes["teacher"], problem, "teacher", run)
            self.train(taught, "teacher", self.teacher_epochs, problem, run).eval()
        net = untrained(genotypes["student"], problem, "student", run)
        self.train(net, "student", self.epochs, problem, run, taught, self.distillation, self.distillation_weight)
        return finished(net, genotypes["student"], problem.classes, deployed=self.deployed)

    def _price(self, geometry: Geometry, memory: Memory, run: Run) -> None:
        """Puts the table into `memory`, in milliseconds of its own device."""
        if self.table == "measured":
            rules = timing_rules(self.table_warmup, self.table_seconds, self.table_calls)
            timed_table(geometry, memory, run, rules, layers=self.layers, networks=self.agreement_networks)
        else:
            memory.table = (released_prices() if self.table == "released" else counted(geometry)).to_json()

    def _pricing(self, memory: Memory, architectures: dict[str, Architecture]) -> Pricing:
        prices = prices_from(memory.table)
        if self.unit == "published":
            prices = in_published_units(prices, architectures["student"])
        return Pricing(prices, self.zconv2_price, self.keying)

    def _search(
        self,
        problem: SegmentationProblem,
        run: Run,
        supernet: Supernet,
        architectures: dict[str, Architecture],
        memory: Memory,
    ) -> None:
        """Pre-trains the supernet on half of the images; then its weights on those, its architecture on the others."""
        order = torch.randperm(len(problem.images), generator=run.generator)
        halves = order[: (len(order) + 1) // 2], order[len(order) // 2 :]
        hard = Hard(self.threshold, self.least)

        def batches(half: int, size: int, crop: tuple[int, int]) -> Augmented:
            scales = tuple(scale / self.reduction for scale in problem.scales)
            rows = halves[half]
            return Augmented(problem.images[rows], problem.labels[rows], size, run, crop=crop, scales=scales)

        weights, schedule = self._weights(supernet, self.pretrain_lr, self.pretrain_epoch_steps)
        firsts = batches(0, self.pretrain_batch, (self.pretrain_crop_height, self.pretrain_crop_width))
        state: dict[str, Any] = {"supernet": supernet, "weights": weights, "schedule": schedule, "first": firsts}
        state["memory"] = memory
        for step in run.steps(self.pretrain_epochs * self.pretrain_epoch_steps, state, name="pretrain"):
            images, labels = next(firsts)
            loss = pretraining_loss(supernet, architectures, images, labels, hard, run.generator)
            descend(weights, loss, self.max_norm)
            schedule.step()
            run.log(step, loss=loss)

        weights, schedule = self._weights(supernet, self.search_lr, self.search_epoch_steps)
        crop = self.search_crop_height, self.search_crop_width
        firsts, seconds = batches(0, self.search_batch, crop), batches(1, self.search_batch, crop)
        optimizers = {
            name: torch.optim.Adam(architecture.parameters(), self.architecture_lr, betas=(0.5, 0.999))
            for name, architecture in architectures.items()
        }
        student = architectures["student"]
        scale = Scale(self.channels, STUDENT_WIDTH, STUDENT_WIDTH)
        state = {"supernet": supernet, "weights": weights, "schedule": schedule, "first": firsts, "second": seconds}
        state |= {"memory": memory}
        state |= {f"architecture-{name}": architecture for name, architecture in architectures.items()}
        state |= {f"optimizer-{name}": optimizer for name, optimizer in optimizers.items()}
        pricing: Pricing | None = None
        for step in run.steps(self.search_epochs * self.search_epoch_steps, state, name="search"):
            # Not before the loop: only now has a resumed search the table that it began with.
            pricing = pricing or self._pricing(memory, architectures)
            images, labels = next(seconds)
            for name, optimizer in optimizers.items():
                with frozen(supernet):
                    maps = supernet(images, name, architectures[name].mixture("sampled", run.generator))
                    loss = heads_loss(maps, labels, hard)
                    run.log(step, **{f"{name}_loss": loss})
                    if name == "student" and self.regulariser != "none":
                        term = regulariser(
                            self.regulariser, student, *pricing.of_cells, run.generator, self.accumulation
                        )
                        run.log(step, latency_term_ms=term)
                        loss = loss + memory.weight * term
                    descend(optimizer, loss)

            images, labels = next(firsts)
            with frozen(*architectures.values()):
                loss = weights_loss(supernet, architectures, images, labels, hard, run.generator)
            descend(weights, loss, self.max_norm)
            schedule.step()
            run.log(step, weights_loss=loss, latency_weight=memory.weight)
            if (step + 1) % self.search_epoch_steps == 0:
                slower, other = pricing.latencies(student, scale, "student")
                memory.weight = next_weight(memory.weight, (1000 / slower, 1000 / other), self.fps_low, self.fps_high)
                run.log(step, latency_exits_16_ms=slower, latency_exits_8_ms=other, **shares(student))
                for name, architecture in architectures.items():
                    run.log(step, **{f"{name}_entropy_{part}": h for part, h in architecture.entropies().items()})

    def _weights(self, supernet: Supernet, lr: float, epoch_steps: int) -> tuple[torch.optim.SGD, LambdaLR]:
        weights = torch.optim.SGD(supernet.parameters(), lr, self.momentum, weight_decay=self.weight_decay)
        decay = self.search_lr_decay
        return weights, LambdaLR(weights, lambda step: learning_rate(1.0, decay, step // epoch_steps))

    def _derive(
        self,
        problem: SegmentationProblem,
        run: Run,
        supernet: Supernet,
        architectures: dict[str, Architecture],
        pricing: Pricing,
    ) -> dict[str, Genotype]:
        """The networks; of both pairs of exits the one with the better objective."""
        judged = problem.validation_images, problem.validation_labels
        if not len(judged[0]):
            # Cityscapes has no other part for it than the one that is scored.
            judged = problem.images, problem.labels
        genotypes = {}
        told: dict[str, Any] = {}
        for name, architecture in architectures.items():
            scale = Scale(self.channels, architecture.stem, architecture.head)
            skips = name == "student"
            latencies = pricing.latencies(architecture, scale, name, skips=skips)
            found = candidates(supernet, name, architecture, judged, problem.classes, latencies)
            best = max(found, key=lambda candidate: candidate.objective)
            logits = architecture.logits().detached()
            genotypes[name] = derive(logits, best.exits, scale, skips=skips, keying=self.keying)
            told[name] = {"candidates": [asdict(candidate) for candidate in found], "logits": logits.to_json()}
            run.artefact(f"genotype_{name}", genotypes[name].to_json())
        run.artefact("architecture", told)
        return genotypes
