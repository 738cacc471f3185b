"""What an energy counter is, whichever hardware has it."""

from collections.abc import Mapping
from typing import Any, Protocol

Reading = Mapping[str, int]
"""Domain (`gpu`, `package-0`, `dram-0`) -> a counter in its own unit."""


class UnreadableError(RuntimeError):
    """An energy that cannot be told. The message is the reason, and the remedy where there is one."""


class Counter(Protocol):
    """A counter of energy that only grows."""

    instrument: str
    scope: str
    """Whose energy it is, in words: more than the process's."""
    poll_s: float
    """It has to be read this often, lest it wrap unseen; infinite where it does not wrap."""

    def read(self) -> Reading:
        """Raises `UnreadableError`."""

    def joules(self, before: Reading, after: Reading) -> dict[str, float]:
        """Energy between two readings by domain; raises `UnreadableError` for a counter that went backwards."""

    def state(self) -> dict[str, Any]:
        """Temperature, clocks and the like, as far as the hardware tells."""

    def check_alone(self) -> None:
        """Raises `UnreadableError` where others are seen to share what is counted."""
