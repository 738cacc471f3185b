"""Ray's start: on this machine, reachable from it alone, or on a cluster, to which the code is shipped."""

import importlib.metadata
import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import UserError
from bench.source import package_folders

OBJECT_STORE_BYTES = 512 * 2**20
"""For the problems of the trials in flight, and the solutions that wait for their profile; more goes to the disk."""

OWN_PACKAGES = ("allwin", "bench", "tasks", "methods")
"""Of the tree: what a worker imports."""


def import_ray(address: str | None) -> ModuleType:
    """Ray, told beforehand what it reads when it is imported."""
    settings = {
        # It prints what happens to workers on standard output, where a JSON document may stand; our records tell it.
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # A trial that is measured is not to stand behind whatever else runs on the machine, as it would at Ray's 15.
        "RAY_worker_niceness": "0",
    }
    if address is None:
        # Whoever reaches a port of Ray's can run code here. By its name this switch is for other systems; what it does
        # everywhere is to make 127.0.0.1 the node's address, to which all servers are then bound.
        settings["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    import ray

    return ray


def start(cpus: int) -> None:
    """Starts Ray on this machine. Raises `UserError` where it does not."""
    words = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    _init(import_ray(None), "local", "--engine inline does without", **words)


def connect(address: str, method_paths: Sequence[Path] = ()) -> None:
    """Connects to a cluster, and ships the code to it. Raises `UserError` where there is none."""
    with tempfile.TemporaryDirectory(prefix="allwin-code-") as folder:
        _stage_code(Path(folder), method_paths)
        environment = {"working_dir": folder}
        _init(import_ray(address), address, f"is a cluster running at {address}?", runtime_env=environment)


def _init(ray: ModuleType, address: str, mend: str, **words: Any) -> None:
    try:
        # "local" is not any cluster that happens to run here.
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **words)
    except (OSError, ray.exceptions.RayError, RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"Ray does not start: {first}; {mend}") from error


def _stage_code(folder: Path, method_paths: Sequence[Path]) -> None:
    """Copies what workers import into a folder that is shipped: our packages, those of plug-ins, and methods by path.

    A plug-in's metadata goes along, since by its entry points it is found.
    """
    for name in OWN_PACKAGES:
        _copy_package(name, folder)
    for distribution in importlib.metadata.distributions():
        points = [point for point in distribution.entry_points if point.group in ("allwin.tasks", "allwin.methods")]
        for top in {point.module.split(".")[0] for point in points}:
            _copy_package(top, folder)
        metadata = getattr(distribution, "_path", None)
        if points and isinstance(metadata, Path) and metadata.is_dir():
            shutil.copytree(metadata, folder / metadata.name, dirs_exist_ok=True)
    if method_paths:
        (folder / "by_path").mkdir()
    for path in method_paths:
        shutil.copy(path, folder / "by_path" / path.name)


def _copy_package(name: str, folder: Path) -> None:
    """A package's folder, or the one file of a module."""
    spec = importlib.util.find_spec(name)
    if spec and spec.origin and not spec.submodule_search_locations:
        shutil.copy(spec.origin, folder)
    for root in package_folders(name):
        shutil.copytree(root, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"), dirs_exist_ok=True)
