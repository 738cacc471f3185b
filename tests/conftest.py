"""What every test finds: the toy plug-in, shapes checked at run time, and no settings of the developer's machine."""

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

UNCHECKED = ("methods.nas._tape", "methods.nas._nested")
"""They make functions for each operation of a network: checking those takes six times as long as running them."""

MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "methods").rglob("*.py")}
# A name stands for all below it, too, so the packages of those are left out.
CHECKED = sorted(name for name in MODULES if name not in UNCHECKED and not name.endswith(".__init__"))
PACKAGES = sorted({name.removesuffix(".__init__") for name in MODULES if name.endswith(".__init__")})

# Shapes and types of `tasks` and `methods` are checked here, so that users do not pay for it.
install_import_hook(
    ["tasks", *CHECKED, *(name for name in PACKAGES if not any(one.startswith(f"{name}.") for one in UNCHECKED))],
    "beartype.beartype",
)


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
