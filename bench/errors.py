"""What can go wrong, sorted by who has to mend it."""

from typing import Literal, get_args

Cause = Literal[
    "error",
    "oom",
    "timeout",
    "nan",
    "diverged",
    "unsupported",
    "missing-data",
    "missing-dependency",
    "import-error",
    "crash",
    "interrupted",
]
"""Why a trial left no result. `error`: the method raised; `crash`: its process went away."""

CAUSES: tuple[str, ...] = get_args(Cause)


class UserError(ValueError):
    """Something the user can mend. The message is one line: what must hold, what came, the mend."""


class MissingData(UserError):
    """A data set is not where it should be."""


class Diverged(RuntimeError):
    """A logged quantity is no longer finite."""


class Unsupported(RuntimeError):
    """A method cannot solve this problem at all. The trial is skipped with this reason; it has not failed."""


class TimeLimitExceeded(RuntimeError):
    """A trial used up its time."""


class MemoryLimitExceeded(RuntimeError):
    """A trial used more memory than it may."""


class NotANumber(RuntimeError):
    """A metric came out as NaN or infinite."""
