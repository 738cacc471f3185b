"""DRN-D-38; the network, its sources and its training are in `_drn`."""

from dataclasses import dataclass
from typing import ClassVar

from bench import Presets, method
from methods.segmentation._drn import DRN, DRNNetwork

DEPTHS = (3, 4, 6, 3)
"""Blocks of the residual stages."""


@method("segmentation", paper="drn")
@dataclass(frozen=True)
class DRND38(DRN):
    """Trains DRN-D-38."""

    presets: ClassVar[Presets] = {
        "smoke": {"steps": 2, "batch": 2},
        "small": {"steps": 45, "batch": 8, "lr": 3e-3, "decay_every": 35},
        "gpu": {"steps": 1500, "decay_every": 1000},
    }

    def network(self, classes: int) -> DRNNetwork:
        return DRNNetwork(classes, DEPTHS)
