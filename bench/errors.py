"""What can go wrong, sorted by who has to mend it."""

import re
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from pydantic import ValidationError

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


LINE_BREAKERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""Control characters and line breaks: what came from a file may hold any."""


class UserError(ValueError):
    """Something the user can mend. The message is one line: what must hold, what came, the mend."""

    def __init__(self, message: str) -> None:
        super().__init__(LINE_BREAKERS.sub(" ", message))


class MissingData(UserError):
    """A data set is not where it should be."""


class Diverged(RuntimeError):
    """A logged quantity is no longer finite."""


class Unsupported(RuntimeError):
    """A method cannot solve this problem at all. The trial is skipped with this reason; it has not failed."""


class TimeLimitExceeded(RuntimeError):
    """A trial used up its time."""


class NotANumber(RuntimeError):
    """A metric came out as NaN or infinite."""


def first_problem(error: "ValidationError") -> str:
    """The first thing that is wrong with a document, and where it stands."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
