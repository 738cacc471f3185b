"""The identity of a trial: named parts, each hashed, so that `explain` can say which one differs.

Quality leaves the hardware out. A trial that only measures costs has it in its key; the costs of others are compared
inside one hardware group only (`Provenance.hardware`).
"""

import ast
import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import provenance
from bench.record import Spec
from bench.registry import Entry
from bench.source import package_folders, parse

HARNESS = 1
"""Raised when the harness itself gives other results for the same spec."""

TRAINING_WORDS = Path(__file__).parent / "training.py"
"""The one module of the harness whose source is part of every key: methods compute with it."""


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no blanks, floats by their shortest round trip."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def spec_parts(spec: Spec) -> dict[str, str]:
    """The parts that come from the spec, readable where they are short."""
    return {
        "task": spec.task,
        "settings": digest(canonical(spec.settings))[:16],
        "dataset": spec.dataset,
        "method": spec.method,
        "parameters": digest(canonical(spec.parameters))[:16],
        "budget": spec.budget,
        "seed": str(spec.seed),
        "stages": " ".join(spec.stages),
        "device": spec.device,
    }


def source_parts(task: Entry, methods: list[Entry], dataset: str) -> dict[str, str]:
    """The parts that come from the code: what a change of it makes stale is this trial and no other."""
    return {
        "task source": f"v{task.version} {source_hash(task.path, task.module)}",
        "method source": digest("".join(source_hash(entry.path, entry.module) for entry in methods))[:16],
        "data": f"{dataset} v{task.card(dataset).version}",
        "harness": f"v{HARNESS} {_harness_hash()}",
        "libraries": f"torch {_torch_version()}",
    }


def hardware_part(stages: Sequence[str], device: str, hardware: str | None = None) -> dict[str, str]:
    """Where a trial only measures costs, they are its result, and another machine's are another result."""
    if tuple(stages) != ("profile",):
        return {}
    return {"hardware": hardware or provenance.hardware(device)}


def key_of(parts: dict[str, str]) -> str:
    return digest(canonical(parts))


@functools.cache
def _torch_version() -> str:
    """Major and minor: patches do not change results on purpose."""
    return ".".join(importlib.metadata.version("torch").split("+")[0].split(".")[:2])


@functools.cache
def _harness_hash() -> str:
    return digest(TRAINING_WORDS.read_bytes())[:16]


@functools.cache
def source_hash(path: Path, module: str) -> str:
    """Over a file and all that it imports from `tasks`, `methods` or its own package, however deep."""
    own = module.split(".")[0] if module else ""
    rooms = frozenset({"tasks", "methods"} | ({own} if own else set()))
    files: dict[str, Path] = {}
    waiting = [(module or path.stem, path)]
    while waiting:
        name, file = waiting.pop()
        if name in files:
            continue
        files[name] = file
        waiting.extend(_first_party(file, name, rooms))
    return digest(canonical({name: digest(file.read_bytes()) for name, file in files.items()}))[:16]


def _first_party(path: Path, module: str, rooms: frozenset[str]) -> Iterator[tuple[str, Path]]:
    """Modules of `rooms` that a file imports, wherever in the file, with their packages' own files."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(parse(path)):
        names: list[str] = []
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*above, base] if base else above)
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] in rooms:
                yield from _files_of(name)


@functools.cache
def _files_of(name: str) -> tuple[tuple[str, Path], ...]:
    """The file of a module and those of the packages around it; nothing for a name inside a module."""
    top, *rest = name.split(".")
    found: list[tuple[str, Path]] = []
    for root in package_folders(top):
        for depth in range(len(rest) + 1):
            place = root.joinpath(*rest[:depth])
            dotted = ".".join([top, *rest[:depth]])
            if (place / "__init__.py").exists():
                found.append((dotted, place / "__init__.py"))
            elif depth and place.with_suffix(".py").exists():
                found.append((dotted, place.with_suffix(".py")))
    return tuple(found)
