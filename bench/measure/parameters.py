"""How many numbers a network holds."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from bench.record import Measurement, not_measured

UNIT = "parameter"


def measure_parameters(solution: Any, call: Any = None) -> Measurement:
    """Parameters, trainable or not, each shared tensor once; buffers apart, in the detail.

    Of a solution that is no network, such as an architecture, those of the network that its workload calls, if any.
    """
    network = solution if isinstance(solution, nn.Module) else call
    if not isinstance(network, nn.Module):
        return not_measured(UNIT, "the solution is no nn.Module")
    # `parameters` and `buffers` leave out the repeats of a tensor that has several names.
    detail = {
        "trainable": _elements(parameter for parameter in network.parameters() if parameter.requires_grad),
        "buffers": _elements(network.buffers()),
    }
    return Measurement(value=_elements(network.parameters()), unit=UNIT, instrument="nn.Module", detail=detail)


def _elements(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)
