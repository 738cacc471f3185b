"""Latency, MACs, parameters, memory and energy, each figure with its instrument, each in a pass of its own.

Importing this package does not import torch; its modules do.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.contracts import Budget, Workload
from bench.errors import TimeLimitExceeded
from bench.record import Measurement, not_measured

if TYPE_CHECKING:
    import torch

Pass = Callable[[], dict[str, Measurement]]

UNITS = {
    "parameters": "parameter",
    "macs": "MAC",
    "latency_ms": "ms",
    "first_call_ms": "ms",
    "throughput_per_s": "item/s",
    "peak_memory_bytes": "byte",
    "energy_j": "J",
}
"""The costs of a solution, in the order in which they are shown, and their units."""


def profile(workload: Workload, solution: Any, device: "torch.device", budget: Budget) -> dict[str, Measurement]:
    """All costs of a solution in eval mode. One that cannot be measured says why; the others are measured all the same.

    The caller sees to it that nothing of allwin's runs beside it. Times and energies tell what strangers used.
    """
    from bench.measure.energy import measure_energy
    from bench.measure.latency import RULES, measure_latency
    from bench.measure.macs import measure_macs
    from bench.measure.memory import measure_memory
    from bench.measure.mode import evaluating
    from bench.measure.neighbours import Neighbours, wait_for_quiet
    from bench.measure.parameters import measure_parameters

    # Latency first, so that its first call is the workload's; memory after it, so that all is warm.
    passes: tuple[tuple[Pass, tuple[str, ...]], ...] = (
        (lambda: measure_latency(workload, device, RULES[budget]), ("latency_ms", "first_call_ms", "throughput_per_s")),
        (lambda: {"peak_memory_bytes": measure_memory(workload, device)}, ("peak_memory_bytes",)),
        (lambda: {"macs": measure_macs(workload)}, ("macs",)),
        (lambda: {"parameters": measure_parameters(solution, workload.call)}, ("parameters",)),
        (lambda: {"energy_j": measure_energy(workload, device, budget)}, ("energy_j",)),
    )
    costs: dict[str, Measurement] = {}
    if budget != "smoke":
        wait_for_quiet()
    with evaluating(solution):
        for measure, names in passes:
            with Neighbours(device) as neighbours:
                measured = _attempt(measure, names)
            costs |= {name: _beside(cost, neighbours.detail) for name, cost in measured.items()}
    return {name: costs[name] for name in UNITS}


def _beside(cost: Measurement, neighbours: dict[str, Any]) -> Measurement:
    """A count is the same whoever else runs; a time or an energy is not."""
    if cost.value is None or cost.unit not in ("ms", "item/s", "J"):
        return cost
    return cost.model_copy(update={"detail": cost.detail | neighbours})


def _attempt(measure: Pass, names: tuple[str, ...]) -> dict[str, Measurement]:
    try:
        return measure()
    except TimeLimitExceeded:
        # The trial's end, not this pass's.
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return {name: not_measured(UNITS[name], reason) for name in names}
