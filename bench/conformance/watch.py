"""Watches what a call does to the process around it: global state, files, network. Used by `allwin check`."""

import contextlib
import functools
import os
import random
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

CHANGES_FILES = frozenset(
    {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
)
"""Python's audit events, besides `open`, that change the file system; their first argument is a path."""


@dataclass
class Observation:
    """What was seen during a call."""

    sandbox: Path
    """The empty folder in which the call works."""
    folders: tuple[Path, ...]
    """Where it may write."""
    connections: list[str] = field(default_factory=list)
    """Addresses that were to be reached; none was."""
    writes: list[str] = field(default_factory=list)
    """What was written or changed where it may not, and the working folder if it was left."""
    random: list[str] = field(default_factory=list)
    """What became of the global random generators that a checkpoint does not hold."""
    flags: list[str] = field(default_factory=list)
    """Global switches left other than they were found."""
    drew: bool = False
    """Whether torch's global generator was drawn from, which is allowed: dropout and initial weights do."""

    def may_write(self, place: Path) -> bool:
        if place.is_relative_to(self.sandbox):
            return False
        # Compilers keep their caches in the system's temporary folder.
        allowed = (*self.folders, Path("/dev"), Path(tempfile.gettempdir()).resolve())
        return "__pycache__" in place.parts or any(place.is_relative_to(folder) for folder in allowed)


TORCHS_OWN = ("TORCH", "TRITON_")
"""Environment variables that torch sets for its compiler when the first optimiser is made."""

_observing: list[Observation] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _observing:
        return
    if event in ("socket.connect", "socket.getaddrinfo"):
        _meet_connection(event, arguments)
    elif (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITE_FLAGS) or event in CHANGES_FILES:
        _meet_write(arguments[0])


def _meet_connection(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and arguments[0].family == socket.AF_UNIX:
        return
    address = arguments[1] if event == "socket.connect" else arguments[:2]
    where = ":".join(map(str, address[:2]))
    _observing[-1].connections.append(where)
    # To the method the network is simply down; what it does then is its own affair.
    raise ConnectionRefusedError(f"there is no network inside fit: {where}")


def _meet_write(path: Any) -> None:
    if isinstance(path, (str, bytes, os.PathLike)):
        place = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 -- the link itself is meant, not its target
        if not _observing[-1].may_write(place):
            _observing[-1].writes.append(str(place))


@functools.cache
def _install_hook() -> None:
    # Python has no way to take an audit hook back, so there is one for the life of the process.
    sys.addaudithook(_audit)


@contextlib.contextmanager
def observed(*folders: Path) -> Iterator[Observation]:
    """Watches what happens inside, in a working folder that is empty; writing below `folders` is allowed."""
    _install_hook()
    with tempfile.TemporaryDirectory(prefix="allwin-") as empty:
        home, sandbox = Path.cwd(), Path(empty).resolve()
        seen = Observation(sandbox, tuple(folder.resolve() for folder in folders))
        flags, environment, generators = _flags(), dict(os.environ), _generators()
        os.chdir(sandbox)
        _observing.append(seen)
        try:
            yield seen
        finally:
            _observing.pop()
            if Path.cwd() != sandbox:
                seen.writes.append(f"the working folder became {Path.cwd()}")
            os.chdir(home)
            # torch.save writes by itself, unseen by Python: what it left shows all the same.
            seen.writes = sorted({*seen.writes, *(str(path) for path in sandbox.rglob("*"))})
            seen.flags = [f"{name}: {flags[name]} -> {now}" for name, now in _flags().items() if now != flags[name]]
            # Names only: a value may be a secret.
            changed = {name for name, _ in environment.items() ^ os.environ.items()}
            seen.flags += [
                f"environment variable {name}" for name in sorted(changed) if not name.startswith(TORCHS_OWN)
            ]
            seen.random, seen.drew = _compare(generators, _generators())


def _flags() -> dict[str, str]:
    """Switches of the whole process, by name."""
    return {
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "grad mode": str(torch.is_grad_enabled()),
        "threads": str(torch.get_num_threads()),
        "deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()),
        "cudnn.benchmark": str(torch.backends.cudnn.benchmark),
        "cudnn.deterministic": str(torch.backends.cudnn.deterministic),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "numpy error handling": str(np.geterr()),
    }


def _generators() -> dict[str, Any]:
    return {
        "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],  # noqa: NPY002
        "random": random.getstate(),
        "torch seed": torch.initial_seed(),
        "torch": torch.get_rng_state().tolist(),
    }


def _compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[list[str], bool]:
    moved = [f"{name}'s global generator moved" for name in ("numpy", "random") if before[name] != after[name]]
    if before["torch seed"] != after["torch seed"]:
        moved.append("torch's global generator was seeded anew")
    return moved, before["torch"] != after["torch"]


def tensors(value: Any, name: str = "problem") -> Iterator[tuple[str, torch.Tensor | np.ndarray]]:
    """Every tensor and array inside a value, with the path that leads to it."""
    yield from _tensors(value, name, set())


def _tensors(value: Any, name: str, met: set[int]) -> Iterator[tuple[str, torch.Tensor | np.ndarray]]:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        yield name, value
        return
    if isinstance(value, (str, bytes, int, float, type, type(os), Path)) or value is None or id(value) in met:
        return
    met.add(id(value))
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{name}[{key!r}]", met)
    elif isinstance(value, (tuple, list)):
        for position, item in enumerate(value):
            yield from _tensors(item, f"{name}[{position}]", met)
    elif isinstance(value, torch.nn.Module) or (hasattr(value, "__dict__") and not callable(value)):
        for key, item in vars(value).items():
            yield from _tensors(item, f"{name}.{key}", met)


def copied(value: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value.copy()


def equal(left: Any, right: Any) -> bool:
    """Equality to the bit, NaN included, of tensors, arrays and plain values."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        if left.dtype != right.dtype or left.shape != right.shape:
            return False
        return torch.equal(_bits(left), _bits(right))
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    return type(left) is type(right) and bool(left == right)


def _bits(value: torch.Tensor) -> torch.Tensor:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
