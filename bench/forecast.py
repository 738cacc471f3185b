"""What a plan will cost, from earlier records of the same kind; where there are none it says so."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from bench.grid import Cell
from bench.record import Record, Spec


@dataclass(frozen=True)
class Forecast:
    """Sums over the cells that have a basis. Device time is work, not waiting: two workers take half of it."""

    device_s: float
    energy_j: float | None
    """Of training; None where no record of the kind has it."""
    disk_bytes: int
    cells: int
    """With a basis."""
    without_basis: int
    records: int
    """That the figures come from."""


def forecast(cells: Sequence[Cell], records: Iterable[Record]) -> Forecast:
    """From successful records of the same task, method, data set, budget and device; else of any data set."""
    by_kind: dict[Hashable, list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "ok":
            for kind in _kinds(record.spec):
                by_kind[kind].append(record)
    device_s, energy_j, disk_bytes = 0.0, [], 0.0
    used: set[str] = set()
    without = 0
    for cell in cells:
        basis = next((by_kind[kind] for kind in _kinds(cell.spec) if kind in by_kind), [])
        if not basis:
            without += 1
            continue
        used |= {record.key for record in basis}
        device_s += mean(sum(record.stage_s.values()) for record in basis)
        disk_bytes += mean(len(record.model_dump_json(indent=1)) for record in basis)
        energies = [record.training["fit_energy_j"].value for record in basis if "fit_energy_j" in record.training]
        energy_j += [mean(value for value in energies if value is not None)] if any(energies) else []
    return Forecast(
        device_s=device_s,
        energy_j=sum(energy_j) if energy_j else None,
        disk_bytes=round(disk_bytes),
        cells=len(cells) - without,
        without_basis=without,
        records=len(used),
    )


def _kinds(spec: Spec) -> tuple[Hashable, Hashable]:
    """The nearer kind first."""
    wide = (spec.task, spec.method, spec.budget, spec.device, spec.stages)
    return (*wide, spec.dataset), wide
