"""`allwin doctor`: whether this machine has what allwin needs, and how to mend what it has not."""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import click

from allwin.options import json_option, store_option
from allwin.output import print_json, print_line, print_table
from bench import data, registry, suite
from bench.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout, or the folder of installed packages."""

PROBE_LIMIT_S = 120.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at. A `note` is worth knowing and stops nothing."""

    name: str
    state: Literal["ok", "note", "failed"]
    found: str
    mend: str = ""


@click.command()
@store_option
@json_option
def command(store: Path, as_json: bool) -> int:
    """Whether this machine has what allwin needs. Exit code 1 if something must be mended."""
    found = list(findings(store))
    well = all(finding.state != "failed" for finding in found)
    if as_json:
        print_json({"ok": well, "findings": [asdict(finding) for finding in found]})
        return 0 if well else 1
    print_table(["", "what", "found"], [[finding.state, finding.name, finding.found] for finding in found])
    for finding in found:
        if finding.mend:
            print_line(f"{finding.name}: {finding.mend}")
    print_line("all is well" if well else "mend what failed, then ask again")
    return 0 if well else 1


def findings(store: Path) -> Iterator[Finding]:
    probes = {name: _start_probe(name) for name in ("torch", "ray")}
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _packages()
    yield _cores()
    yield from _torch(probes["torch"])
    told, problem = _finish_probe(probes["ray"])
    yield Finding("ray", "ok", told["version"]) if told else _not_imported("ray", problem)
    yield _git()
    yield _data_root()
    yield _store(store)
    yield from _registry()


def _packages() -> Finding:
    """The declared dependencies, by name alone: their versions are the installer's affair."""
    names = [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in _requirements()]
    missing = [name for name in names if not _version(name)]
    if missing:
        return Finding("packages", "failed", f"not installed: {' '.join(missing)}", "install allwin again with pip")
    return Finding("packages", "ok", f"all {len(names)} that allwin needs are installed")


def _requirements() -> list[str]:
    try:
        return [text for text in importlib.metadata.requires("allwin") or [] if "extra ==" not in text]
    except importlib.metadata.PackageNotFoundError:
        # A checkout that is not installed says the same in its own file.
        with (ROOT / "pyproject.toml").open("rb") as file:
            return list(tomllib.load(file)["project"]["dependencies"])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cores() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS")
    told = f"{usable} of {os.cpu_count()} cores may be used; OMP_NUM_THREADS is {threads or 'not set'}"
    if threads and threads.isdigit() and int(threads) > usable:
        return Finding(
            "cores", "note", told, f"set OMP_NUM_THREADS to at most {usable}: crowded threads slow each other"
        )
    return Finding("cores", "ok", told)


def _start_probe(name: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "allwin.probe", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def _finish_probe(probe: "subprocess.Popen[str]") -> tuple[dict[str, Any], str]:
    """What a probe found, or nothing and what went wrong."""
    try:
        printed, complaint = probe.communicate(timeout=PROBE_LIMIT_S)
    except subprocess.TimeoutExpired:
        probe.kill()
        probe.communicate()
        return {}, f"gave no answer in {PROBE_LIMIT_S:.0f} s"
    if probe.returncode != 0:
        return {}, (complaint.strip().splitlines() or [f"ended with code {probe.returncode}"])[-1]
    return json.loads(printed), ""


def _not_imported(name: str, problem: str) -> Finding:
    return Finding(name, "failed", f"cannot be used: {problem}", f"install {name} again with pip")


def _torch(probe: "subprocess.Popen[str]") -> Iterator[Finding]:
    told, problem = _finish_probe(probe)
    if not told:
        yield _not_imported("torch", problem)
        return
    yield Finding("torch", "ok", f"{told['version']}, {told['threads']} threads by default")
    devices = [f"{name} ({title})" for name, title in told["devices"].items()]
    yield Finding("device", "ok", f"cpu {' '.join(devices)}".strip() if devices else "cpu alone; torch sees no GPU")
    for name, reason in told["energy"].items():
        if reason:
            yield Finding(f"energy of {name}", "note", f"not measured: {reason}")
        else:
            yield Finding(f"energy of {name}", "ok", "its counter can be read and moves")


def _git() -> Finding:
    try:
        answer = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("git", "note", f"cannot be used ({error}); records will not name a commit")
    if answer.returncode:
        return Finding("git", "note", "allwin is no checkout with a commit; records will not name one")
    return Finding("git", "ok", f"commit {answer.stdout.strip()}")


def _data_root() -> Finding:
    try:
        root = data.root()
    except UserError as error:
        return Finding("data root", "failed", str(error), f"set or unset {data.ENVIRONMENT}")
    if root is None:
        mend = f"for more than the embedded data sets, name a folder with --data or {data.ENVIRONMENT}"
        return Finding("data root", "note", "none", mend)
    return Finding("data root", "ok", str(root))


def _store(store: Path) -> Finding:
    place = store.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        mend = "name a folder that you may write in with --store"
        return Finding("store", "failed", f"{store}: {place} cannot be written ({error.strerror})", mend)
    return Finding(
        "store", "ok", f"{store}: {'can be written' if place == store.absolute() else 'none yet, can be made'}"
    )


def _registry() -> Iterator[Finding]:
    known = registry.load()
    suites = registry.suite_names()
    bad = [(item.name, item.path, item.message) for item in known.broken]
    for name, file in suites.items():
        try:
            suite.load_suite(name)
        except UserError as error:
            bad.append((name, str(file), str(error)))
    for name, place, message in bad:
        yield Finding(f"registry: {name}", "failed", message, f"mend {place}")
    if not bad:
        methods = sum(len(methods) for methods in known.methods.values())
        yield Finding(
            "registry", "ok", f"{len(known.tasks)} tasks, {methods} methods, {len(suites)} suites can be read"
        )
