"""Which trials fit side by side into a memory: by what they declare, or by what earlier ones of their kind needed."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from bench.record import Record, Spec

MARGIN = 1.25
"""A trial is taken to need this much more than the largest of its kind did."""

USABLE = 0.9
"""Of a memory: contexts, fragments and the system need the rest."""


@dataclass(frozen=True)
class Capacity:
    """The memories of a node."""

    host_bytes: int
    gpu_bytes: dict[str, int]
    """By the number that the driver gives each GPU."""


@dataclass
class Memory:
    """One memory, and who is in it."""

    total_bytes: int
    careful: bool
    """Whether a trial of unknown need is alone. Beside others it could take them down with it; on a host, where each
    trial has a limit that is watched, it is let in."""
    needs: dict[str, int | None] = field(default_factory=dict)
    """By key; None where it is not known."""

    def admits(self, need_bytes: int | None) -> bool:
        """Whether there is room. What is larger than the whole memory may try, alone."""
        if not self.needs:
            return True
        if self.careful and (need_bytes is None or None in self.needs.values()):
            return False
        return sum((need or 0) for need in (*self.needs.values(), need_bytes)) <= USABLE * self.total_bytes

    def enter(self, key: str, need_bytes: int | None) -> None:
        self.needs[key] = need_bytes

    def leave(self, key: str) -> None:
        self.needs.pop(key, None)


class Needs:
    """What trials need, learned from records as they come."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._peaks: dict[Hashable, int] = {}
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        peak = record.training.get("fit_peak_memory_bytes")
        if record.status != "ok" or peak is None or peak.value is None:
            return
        # What the allocator holds, where it is known, is what the device lacks.
        used = int(peak.detail.get("reserved_bytes", peak.value))
        kind = _kind(record.spec)
        self._peaks[kind] = max(used, self._peaks.get(kind, 0))

    def of(self, spec: Spec, declared_bytes: int | None) -> int | None:
        """In bytes, with a margin where it was learned; None where nobody knows."""
        learned = self._peaks.get(_kind(spec))
        return declared_bytes if learned is None else int(MARGIN * learned)


def _kind(spec: Spec) -> Hashable:
    """All but the seed: parameters and settings set sizes."""
    return spec.model_copy(update={"seed": 0}).model_dump_json()
