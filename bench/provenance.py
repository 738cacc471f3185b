"""Where, when and with what a record was made. Nothing here imports torch."""

import functools
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from bench.record import Accelerator, Provenance

ROOT = Path(__file__).resolve().parent.parent
"""The checkout or the installed tree."""

PACKAGES = ("torch", "torchvision", "numpy", "ray", "pandas", "scipy", "scikit-learn", "mlxtend")
"""Those whose version a reader may need."""


@dataclass(frozen=True)
class Origin:
    """What the driver knows of a run and its workers are told: the command, the suite, the engine."""

    command: str
    suite: str
    engine: Literal["inline", "ray"]
    driver_pid: int
    git_commit: str
    git_dirty: bool | None


def origin(suite: str, engine: Literal["inline", "ray"], command: Sequence[str]) -> Origin:
    """Of a run in this process. Absolute paths in the command keep only their last part: a record may be published."""
    commit, dirty = git_state()
    words = shlex.join(without_paths(word) for word in ("allwin", *command))
    return Origin(words, suite, engine, os.getpid(), commit, dirty)


def without_paths(text: str) -> str:
    """Text in which absolute paths are shortened: to below the checkout or site-packages, else to their last part."""
    text = text.replace(f"{ROOT}{os.sep}", "")
    text = re.sub(r"(?<![\w.])/[^\s'\",:;()]*/site-packages/", "", text)
    return re.sub(r"(?<![\w.~/])/(?:[^\s/'\",:;()]+/)+([^\s/'\",:;()]+)", r"\1", text)


@functools.cache
def git_state() -> tuple[str, bool | None]:
    """The commit and whether tracked files differ from it; empty outside a checkout."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return "", None
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", None


@functools.cache
def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def accelerator() -> Accelerator | None:
    """The first CUDA device, read through NVML; None without one."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        return Accelerator(
            name=str(pynvml.nvmlDeviceGetName(handle)),
            memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
            driver=str(pynvml.nvmlSystemGetDriverVersion()),
        )
    except pynvml.NVMLError:
        return None


def gpu_memory_bytes() -> dict[str, int]:
    """By NVML's numbers of the boards; empty without any."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = {str(index): pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())}
        return {name: int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) for name, handle in handles.items()}
    except pynvml.NVMLError:
        return {}


def hardware(device: str) -> str:
    """The group inside which costs may be compared."""
    found = accelerator() if device == "cuda" else None
    return found.name if found else f"{cpu_name()}, {cores()} cores"


@functools.cache
def _machine() -> dict[str, Any]:
    return {
        "allwin": _allwin_version(),
        "python": platform.python_version(),
        "packages": _packages(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def collect(origin: Origin, device: str, threads: int, flags: dict[str, Any], data_fingerprint: str) -> Provenance:
    """The provenance of a trial in this process."""
    return Provenance(
        **_machine(),
        git_commit=origin.git_commit,
        git_dirty=origin.git_dirty,
        accelerator=accelerator() if device == "cuda" else None,
        threads=threads,
        flags=flags,
        hardware=hardware(device),
        engine=origin.engine,
        driver_pid=origin.driver_pid,
        worker_pid=os.getpid(),
        command=origin.command,
        suite=origin.suite,
        data_fingerprint=data_fingerprint,
    )


@functools.cache
def _allwin_version() -> str:
    try:
        return importlib.metadata.version("allwin")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
