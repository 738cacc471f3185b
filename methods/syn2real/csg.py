"""CSG: learn from synthetic images without letting the features of different images crowd together.

Chen, Yu, De Mello, Liu, Alvarez, Wang and Anandkumar, ICLR 2021 (arXiv 2104.02290).

    A-pool                               `_apool.py`; its attention is always the student's
    InfoNCE against a frozen teacher     `_contrast.py`: projection heads, their averages, a queue a layer
    views                                `_augment.py`: RandAugment; for scenes, jittered colours of the key alone
    L = L_task + lambda sum of layers    the loop of `CSG.fit`
    patches of scenes, Eq. 6             `patches`

Each part has a switch: `stages`, `attention_pooling`, `augment`, `momentum_heads`, `trained_heads`, `guidance`.

Differs from the authors' code:
1. The projection heads of scenes are trained. In theirs no optimiser has them, so they stay as they were drawn:
   `trained_heads=false`.
2. The queue goes on at its beginning where keys do not fit at its end; theirs enters the first ones again. It holds
   49,152 keys for scenes, a multiple of their 384 a step, not 65,536.
3. Images are squares of one size (`syn2real.side`), so that a random crop of that size has no room along a longer side;
   translations are in proportion to it, as if the files were 224 pixels high.

b batch, c channels, h w pixels, d dimensions of a projection
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bench import (
    Count,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Presets,
    Run,
    Search,
    UnitInterval,
    Unsupported,
    UserError,
    method,
)
from bench.seeds import derive_seed
from methods.syn2real._apool import attentional_pool, patches
from methods.syn2real._augment import RANGES, augmented, colour_jittered, draw
from methods.syn2real._contrast import Contrast
from methods.syn2real._training import Recipe, Training
from tasks.syn2real import Syn2RealProblem, Transfer
from tasks.syn2real.backbones.dense import build_dense

PUBLISHED_SIDE = 224


@method("syn2real", paper="csg")
@dataclass(frozen=True)
class CSG(Recipe):
    """Fine-tunes while each synthetic image stays close to the teacher's view of it and away from those of others."""

    steps: Count = 142_860
    """Updates where images have a class: 30 epochs of VisDA-17's 4,762 whole batches."""
    dense_optimizer: Literal["sgd", "rolling-sgd"] = "rolling-sgd"
    """Of scenes: with the step size inside the momentum, as in CSG's released code, or torch's."""
    held_from: UnitInterval = 1.0
    """Share of the updates after which step sizes fall no more; at 1, as in CSG's released code, they fall to zero."""
    guidance: NonNegative = 0.1
    """Weight of the contrast, lambda, where images have a class."""
    dense_guidance: NonNegative = 75.0
    """The same where each pixel has one."""
    stages: tuple[int, ...] = (3, 4)
    """Which maps are contrasted."""
    temperature: Positive = 0.07
    dimensions: Count = 128
    """Of a projection."""
    queue: Count = 65_536
    """Keys of earlier batches, for each stage; to be well below the number of images, or an image meets itself."""
    dense_queue: Count = 49_152
    momentum_heads: bool = True
    """Whether the teacher's projection heads follow the student's slowly; otherwise both share one."""
    head_momentum: Fraction = 0.999
    trained_heads: bool = True
    """Whether the projection heads learn; false is what the released code does for scenes."""
    attention_pooling: bool = True
    """Whether maps are pooled by attention in the contrast; otherwise by their plain mean."""
    patches: Count = 8
    """Along each side of a scene's maps; each patch is contrasted by itself."""
    augment: bool = True
    """Whether query and key are two views; otherwise both are the image itself."""
    operations: Natural = 1
    """Of RandAugment, on each view."""
    magnitude: NonNegative = 6.0
    """Of 30."""
    jitter: NonNegative = 0.4
    """Of brightness, contrast, saturation and hue of a scene's key."""

    presets: ClassVar[Presets] = {
        "smoke": {
            "steps": 2,
            "batch": 4,
            "dense_steps": 2,
            "dense_batch": 2,
            "lr": 1e-2,
            "warm_up": 1,
            "checks": 2,
            "queue": 16,
            "dense_queue": 160,
        },
        "small": {
            "steps": 108,
            "lr": 1e-2,
            "dense_steps": 160,
            "dense_batch": 4,
            "dense_lr": 1e-2,
            "warm_up": 20,
            "checks": 4,
            "queue": 256,
            "dense_queue": 4096,
        },
        "gpu": {
            "steps": 3000,
            "lr": 1e-3,
            "dense_steps": 1500,
            "dense_lr": 3e-3,
            "checks": 10,
            "queue": 1024,
            "dense_queue": 12288,
        },
    }
    search: ClassVar[Search] = {
        "lr": "log(1e-5, 1e-1)",
        "guidance": "log(1e-3, 10)",
        "dense_guidance": "log(1e-2, 100)",
        "temperature": "log(1e-2, 1)",
    }

    def fit(self, problem: Syn2RealProblem, run: Run) -> Transfer:
        self._check(problem)
        teacher = problem.teacher().to(run.device)
        contrasts = self._contrasts(teacher.widths, problem).to(run.device)
        heads = nn.ModuleList(cast(Contrast, contrast).head for contrast in contrasts.values())
        network = self.build(problem)
        training = Training(problem, run, self, network, extra=heads if self.trained_heads else None)
        views, weight = run.stream(), self.dense_guidance if problem.dense else self.guidance

        state = training.state | {"contrasts": contrasts}
        for step in run.steps(training.steps, state):
            training.hand_tuned(step)
            images, labels, *_ = training.batch()
            query, key = self._views(images, problem.dense, derive_seed(views, step))
            reading = network.read(query)
            task_loss = problem.loss(reading.logits, labels)
            with torch.no_grad():
                known = teacher.maps(teacher.normalise(key))
                # The key's attention is the student's too, which costs a pass of its own where the views differ.
                own = reading.maps if key is query else network.backbone.maps(network.backbone.normalise(key))
            contrast = torch.zeros((), device=run.device)
            for stage in self.stages:
                student = self._pooled(reading.maps[stage], reading.maps[stage], problem.dense)
                with torch.no_grad():
                    target = self._pooled(known[stage], own[stage], problem.dense)
                contrast = contrast + contrasts[str(stage)](student, target)
            training.update(step, task_loss + weight * contrast, loss=task_loss, contrast=contrast)
        return training.solution()

    def _check(self, problem: Syn2RealProblem) -> None:
        """Raises `UserError` for stages that there are not, `Unsupported` where the maps of crops have no such grid."""
        if not self.stages or not set(self.stages) <= {3, 4}:
            raise UserError(f"csg: stages must be 3, 4 or both, got {list(self.stages)}; set --set csg.stages=[3,4]")
        if not problem.dense:
            return
        # Shapes alone: neither weights are read nor is anything computed.
        with torch.device("meta"):
            backbone = build_dense(problem.backbone, problem.classes, pretrained=None).backbone
            maps = backbone.maps(torch.empty(1, 3, problem.crop, problem.crop))
        for stage in self.stages:
            side = maps[stage].shape[-1]
            if side % self.patches:
                raise Unsupported(
                    f"csg: the map of stage {stage} of {problem.backbone} has {side} x {side} places in a crop of "
                    f"{problem.crop} pixels, which {self.patches} x {self.patches} patches do not divide; set "
                    "--set csg.patches=1, or another syn2real.crop or backbone"
                )

    def _contrasts(self, widths: dict[int, int], problem: Syn2RealProblem) -> nn.ModuleDict:
        seed = derive_seed(problem.seed, "syn2real", "projections")
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.ModuleDict(
                {
                    str(stage): Contrast(
                        widths[stage],
                        dimensions=self.dimensions,
                        queue=self.dense_queue if problem.dense else self.queue,
                        temperature=self.temperature,
                        momentum=self.head_momentum if self.momentum_heads else 0.0,
                        generator=generator,
                    )
                    for stage in self.stages
                }
            )

    def _views(
        self, images: UInt8[Tensor, "b 3 h w"], dense: bool, seed: int
    ) -> tuple[UInt8[Tensor, "b 3 h w"], UInt8[Tensor, "b 3 h w"]]:
        """Query and key. Those of a scene show the same crop: what is contrasted are places."""
        if not self.augment:
            return images, images
        generator = torch.Generator().manual_seed(seed)
        if dense:
            return images, colour_jittered(images, self.jitter, generator)
        reach = RANGES["translate-x"] * images.shape[-1] / PUBLISHED_SIDE
        query, key = (
            augmented(images, draw(len(images), self.operations, generator), self.magnitude, reach) for _ in range(2)
        )
        return query, key

    def _pooled(
        self, maps: Float[Tensor, "b c h w"], attention_from: Float[Tensor, "b c h w"], dense: bool
    ) -> Float[Tensor, "n c"]:
        """One vector for each image, or for each patch of a scene."""
        if dense:
            maps, attention_from = patches(maps, self.patches), patches(attention_from, self.patches)
        return attentional_pool(maps, attention_from) if self.attention_pooling else maps.mean((2, 3))
