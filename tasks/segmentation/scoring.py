"""Scores from one confusion matrix over all pixels of a data set.

k classes; rows are the truth, columns the prediction; every argument is a count of pixels
"""

from jaxtyping import Float, Int64, Integer, UInt8
from torch import Tensor

from tasks.segmentation.classes import IGNORE


def confusion(
    predicted: Integer[Tensor, "b h w"], labels: UInt8[Tensor, "b h w"], classes: int
) -> Int64[Tensor, "k k"]:
    """How many pixels of each true class were given each class. Pixels labelled `IGNORE` are not counted."""
    valid = labels != IGNORE
    cells = labels[valid].long() * classes + predicted[valid].long()
    return cells.bincount(minlength=classes**2).reshape(classes, classes)


def class_ious(matrix: Int64[Tensor, "k k"]) -> Float[Tensor, " k"]:
    """Intersection over union of each class; NaN where neither truth nor prediction has a pixel of it."""
    matrix = matrix.double()
    hits = matrix.diagonal()
    return hits / (matrix.sum(0) + matrix.sum(1) - hits)


def mean_iou(matrix: Int64[Tensor, "k k"]) -> float:
    """Mean over the classes that truth or prediction has; NaN if there is no pixel."""
    return class_ious(matrix).nanmean().item()


def pixel_accuracy(matrix: Int64[Tensor, "k k"]) -> float:
    """Share of the pixels that are right; NaN if there is no pixel."""
    matrix = matrix.double()
    return (matrix.diagonal().sum() / matrix.sum()).item()


def mean_accuracy(matrix: Int64[Tensor, "k k"]) -> float:
    """Share of each class's pixels that are right, averaged over the classes that the truth has."""
    matrix = matrix.double()
    return (matrix.diagonal() / matrix.sum(1)).nanmean().item()
