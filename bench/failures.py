"""An exception as a record tells it: a typed cause, one line, and a traceback that names no machine."""

import traceback

import torch

from bench.errors import (
    Cause,
    Diverged,
    MissingData,
    NotANumber,
    TimeLimitExceeded,
    Unsupported,
)
from bench.provenance import without_paths
from bench.record import FailedStage, Failure

TRACEBACK_LINES = 30
"""The end of a traceback says most."""


def failure_from(error: BaseException, stage: FailedStage) -> Failure:
    """An exception as a typed cause, its message, and the end of its traceback without this machine's paths."""
    lines = "".join(traceback.format_exception(error)).splitlines()[-TRACEBACK_LINES:]
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure(
        cause=_cause(error),
        message=without_paths(message.replace("\n", " "))[:2000],
        stage=stage,
        traceback=without_paths("\n".join(lines)),
    )


def _cause(error: BaseException) -> Cause:
    match error:
        case TimeLimitExceeded():
            return "timeout"
        case MemoryError() | torch.cuda.OutOfMemoryError():
            return "oom"
        case RuntimeError() if "can't allocate memory" in str(error):
            return "oom"
        case NotANumber():
            return "nan"
        case Diverged():
            return "diverged"
        case Unsupported():
            return "unsupported"
        case MissingData():
            return "missing-data"
        case ModuleNotFoundError():
            return "missing-dependency"
        case ImportError() | SyntaxError():
            return "import-error"
        case SystemExit() | GeneratorExit():
            return "crash"
    return "error"
