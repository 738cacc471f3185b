"""The published classes, in the order of their indices, and how the files' label values map to them."""

import torch
from jaxtyping import UInt8
from torch import Tensor

IGNORE = 255
"""The label of a pixel that counts nowhere."""

CAMVID_CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
"""SegNet's order (Badrinarayanan, Kendall and Cipolla, PAMI 2017). Index 11, unlabelled, is ignored."""

CAMVID_VOID = 11

CITYSCAPES_CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic_light",
    "traffic_sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""By train id (Cordts and others, CVPR 2016). BDD100K has the same."""

CITYSCAPES_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label id of each train id, as in the files `_gtFine_labelIds.png`; every other one is ignored."""


def table(value_of_class: tuple[int, ...]) -> UInt8[Tensor, "256"]:
    """From the value in a file to the class whose place holds it, or to `IGNORE`."""
    classes = torch.full((256,), IGNORE, dtype=torch.uint8)
    classes[list(value_of_class)] = torch.arange(len(value_of_class), dtype=torch.uint8)
    return classes


CAMVID_TABLE = table(tuple(range(len(CAMVID_CLASSES))))
LABEL_ID_TABLE = table(CITYSCAPES_LABEL_IDS)
TRAIN_ID_TABLE = table(tuple(range(len(CITYSCAPES_CLASSES))))
