"""What every test finds: the toy plug-in, shapes checked at run time, and no settings of the developer's machine."""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent.parent
TOYS = ROOT / "tests" / "toys"

# The plug-in is found as an installed package would be: by its entry points, here and in child processes.
sys.path.insert(0, str(TOYS))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(TOYS), *filter(None, [os.environ.get("PYTHONPATH")])])
# Before torch is imported, and in no process that starts others: test processes share the cores, and where each of two
# has a thread for every core, a test takes sixteen times as long.
if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(processes))))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.pop("ALLWIN_STORE", None)
# What a shell starts in the background ignores Ctrl-C and hands that on; tests that interrupt a child would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Loaded before the hook below and so left alone: it makes functions for each operation of a network, and checking those
# takes six times as long as running them.
importlib.import_module("methods.nas._tape")

# Shapes and types of `tasks` and `methods` are checked here, so that users do not pay for it.
install_import_hook(["tasks", "methods"], "beartype.beartype")


@pytest.fixture
def allwin(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own, in an empty folder."""

    def run(*words: str, timeout: float = 240, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "allwin", *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            check=False,
            **options,  # type: ignore[call-overload]
        )

    return run
