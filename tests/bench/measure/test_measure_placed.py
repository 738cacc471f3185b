"""Where a workload is measured."""

import torch
from torch import nn

from bench.contracts import Workload
from bench.measure.device import placed

META = torch.device("meta")
"""Another device than a CPU, which every machine has."""


def workload() -> Workload:
    return Workload(nn.Linear(3, 4), (torch.ones(2, 3), "scale"), 2, "two rows")


def test_the_network_of_a_solution_that_is_none_is_moved_with_its_inputs() -> None:
    moved = placed(workload(), "an architecture", META)
    assert moved.call.weight.device == META
    assert moved.inputs[0].device == META
    assert moved.inputs[1] == "scale"
    assert (moved.items, moved.label) == (2, "two rows")


def test_a_network_stays_where_its_fit_left_it() -> None:
    asked = workload()
    assert placed(asked, asked.call, META) is asked
    assert asked.call.weight.device.type == "cpu"


def test_what_is_no_network_cannot_be_moved() -> None:
    asked = Workload(len, (torch.ones(2, 3),), 2, "two rows")
    assert placed(asked, "an architecture", META) is asked
