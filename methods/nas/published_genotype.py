"""No search: a cell of the DARTS space as it was published, whose network can be counted.

darts-v1, darts-v2               Liu, Simonyan and Yang, "DARTS", ICLR 2019: first and second order
tenas-cifar10, tenas-imagenet    Chen, Gong and Wang, ICLR 2021: what TE-NAS found on these images
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from bench import Presets, Run, Unsupported, method
from tasks.nas import Architecture, Found, NASProblem
from tasks.nas.darts import DARTS, DARTS_IMAGENET, published

NAMES: Mapping[str, str] = {
    "darts-v1": "DARTS_V1",
    "darts-v2": "DARTS_V2",
    "tenas-cifar10": "TENAS_cifar10",
    "tenas-imagenet": "TENAS_imagenet",
}


@method("nas", paper="tenas")
@dataclass(frozen=True)
class PublishedGenotype:
    """No search: a published cell of the DARTS space."""

    genotype: Literal["darts-v1", "darts-v2", "tenas-cifar10", "tenas-imagenet"] = "tenas-cifar10"

    presets: ClassVar[Presets] = {}

    def build(self, problem: NASProblem) -> Found:
        if problem.space not in (DARTS, DARTS_IMAGENET):
            raise Unsupported(f"published-genotype: its cells are of {DARTS.name}, got {problem.space.name}")
        return Found(Architecture(problem.space, published(NAMES[self.genotype]).choice))

    def fit(self, problem: NASProblem, run: Run) -> Found:
        found = self.build(problem)
        run.artefact("architecture", str(found.architecture))
        return found
