"""The running-average-power-limit counters of the processor's sockets, in microjoules, as Linux shows them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.counters import Reading, UnreadableError

POWERCAP = Path("/sys/class/powercap")
DRAM = "dram"


@dataclass(frozen=True)
class Zone:
    counter: Path
    wraps_at_uj: int


class RaplCounter:
    """All sockets, and their memory where it is counted apart. `psys` is left out: it contains the others."""

    instrument = "rapl"
    scope = "whole sockets, the work of others included"
    # The smallest range in use, 65 kJ, lasts more than a minute at 1 kW.
    poll_s = 20.0

    def __init__(self, root: Path = POWERCAP) -> None:
        """Raises `UnreadableError` where the system shows no zones, or does not let them be read."""
        self._zones: dict[str, Zone] = {}
        # `intel-rapl:0:1` is a part of socket 0; `intel-rapl-mmio:0` would count it twice. AMD's carry Intel's name.
        for folder in sorted(root.glob("intel-rapl:[0-9]*")):
            numbers = folder.name.split(":")[1:]
            name = _read(folder / "name")
            if len(numbers) == 1 and name.startswith("package"):
                self._zones[name] = _zone(folder)
            elif len(numbers) == 2 and name == DRAM:
                self._zones[f"{DRAM}-{numbers[0]}"] = _zone(folder)
        if not any(name.startswith("package") for name in self._zones):
            raise UnreadableError(
                f"{root} has no RAPL package zone: virtual machines and most containers hide them; "
                "measure on the bare machine"
            )
        self.read()

    def read(self) -> Reading:
        return {name: int(_read(zone.counter)) for name, zone in self._zones.items()}

    def joules(self, before: Reading, after: Reading) -> dict[str, float]:
        """A counter that is lower than before has wrapped once."""
        spent = {}
        for name, zone in self._zones.items():
            microjoules = after[name] - before[name]
            spent[name] = (microjoules if microjoules >= 0 else microjoules + zone.wraps_at_uj) / 1e6
        return spent

    def state(self) -> dict[str, Any]:
        return {}

    def check_alone(self) -> None:
        """Sockets are always shared with the system; `scope` says so."""


def _zone(folder: Path) -> Zone:
    return Zone(folder / "energy_uj", int(_read(folder / "max_energy_range_uj")))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError as error:
        raise UnreadableError(
            f"no permission to read {path}; `sudo chmod a+r {path}` gives it until the next boot"
        ) from error
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error
