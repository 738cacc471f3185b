"""Where a workload lies, and waiting for its device.

Without the wait a clock would read when work was handed over and not when it was done.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts import Workload


def placed(workload: Workload, solution: Any, device: torch.device) -> Workload:
    """The workload, on the device that it is measured on.

    A solution that is a network lies where its fit left it, and its task follows it there. Another one, such as an
    architecture, lies nowhere: the network that its workload calls and the inputs are moved to the device.
    """
    if isinstance(solution, nn.Module) or not isinstance(workload.call, nn.Module):
        return workload
    inputs = tuple(item.to(device) if isinstance(item, Tensor) else item for item in workload.inputs)
    return replace(workload, call=workload.call.to(device), inputs=inputs)


def synchronise(device: torch.device) -> None:
    """Returns when the device has done all that was handed to it. A CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
