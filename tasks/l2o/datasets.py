"""The data sets of the LASSO family: all drawn from a seed, none downloaded."""

import math
from dataclasses import dataclass
from typing import Literal

from bench import DatasetCard

CARDS = (
    DatasetCard(
        name="sparse",
        title="Sparse recovery, Gaussian dictionary, no noise",
        licence="none: drawn from a seed",
        origin="Open-L2O, figure 5 (a) and (d)",
        items="1,024 test and 1,024 validation instances at the published size; training instances without end",
        kind="generated",
        metrics=("nmse_db", "mean_nmse_db"),
    ),
    DatasetCard(
        name="sparse-snr20",
        title="Sparse recovery, Gaussian dictionary, noise at 20 dB",
        licence="none: drawn from a seed",
        origin="Open-L2O, figure 5 (b)",
        items="1,024 test and 1,024 validation instances at the published size; training instances without end",
        kind="generated",
        metrics=("nmse_db", "mean_nmse_db"),
    ),
    DatasetCard(
        name="sparse-snr40",
        title="Sparse recovery, Gaussian dictionary, noise at 40 dB",
        licence="none: drawn from a seed",
        origin="as Open-L2O, figure 5 (b), with less noise",
        items="1,024 test and 1,024 validation instances at the published size; training instances without end",
        kind="generated",
        metrics=("nmse_db", "mean_nmse_db"),
    ),
    DatasetCard(
        name="sparse-ill-conditioned",
        title="Sparse recovery, ill-conditioned dictionary, no noise",
        licence="none: drawn from a seed",
        origin="Open-L2O, figure 5 (c); its condition number is not published",
        items="1,024 test and 1,024 validation instances at the published size; training instances without end",
        kind="generated",
        metrics=("nmse_db", "mean_nmse_db"),
    ),
    DatasetCard(
        name="lasso-5x10",
        title="Lasso objective, 5 measurements of 10 unknowns, no noise",
        licence="none: drawn from a seed",
        origin="Open-L2O, figure 6 (a)",
        items="1,024 test and 1,024 validation instances; training instances without end",
        kind="generated",
        metrics=("relative_loss", "nmse_db", "mean_nmse_db"),
    ),
    DatasetCard(
        name="lasso-25x50",
        title="Lasso objective, 25 measurements of 50 unknowns, no noise",
        licence="none: drawn from a seed",
        origin="Open-L2O, figure 6 (b)",
        items="1,024 test and 1,024 validation instances; training instances without end",
        kind="generated",
        metrics=("relative_loss", "nmse_db", "mean_nmse_db"),
    ),
)

Goal = Literal["signal", "objective"]
"""What is asked for: the signal that was measured, or a small value of the objective."""


@dataclass(frozen=True)
class Recipe:
    """How the instances of a data set are drawn."""

    goal: Goal = "signal"
    ill_conditioned: bool = False
    snr_db: float = math.inf
    shape: tuple[int, int] | None = None
    """Measurements and unknowns, where the data set fixes them; otherwise they are settings of the task."""


RECIPES = {
    "sparse": Recipe(),
    "sparse-snr20": Recipe(snr_db=20.0),
    "sparse-snr40": Recipe(snr_db=40.0),
    "sparse-ill-conditioned": Recipe(ill_conditioned=True),
    "lasso-5x10": Recipe(goal="objective", shape=(5, 10)),
    "lasso-25x50": Recipe(goal="objective", shape=(25, 50)),
}
