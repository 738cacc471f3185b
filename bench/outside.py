"""Code from outside allwin's own tree, by name: whoever runs it is to know before any of it is imported."""

import importlib.metadata
from collections.abc import Iterable

from bench.grid import Cell
from bench.registry import Entry, Registry
from bench.validate import entries_of


def outside_code(cells: Iterable[Cell], registry: Registry) -> list[str]:
    """Where tasks and methods of these cells come from that are not of the tree, each with what it gives.

    A package with its version, or a file's path: `plugged 1.0 (pu/mine, pu/other)`. Imports nothing.
    """
    pairs = dict.fromkeys((cell.spec.task, cell.spec.method) for cell in cells)
    return outside_entries(
        entry for task, method in pairs for entry in (registry.task(task), *entries_of(registry, task, method))
    )


def outside_entries(entries: Iterable[Entry]) -> list[str]:
    """The same for these tasks and methods."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.origin != "tree":
            found.setdefault(_source(entry), {})[entry.title] = None
    return [f"{source} ({', '.join(titles)})" for source, titles in found.items()]


def _source(entry: Entry) -> str:
    if entry.origin == "path":
        return str(entry.path)
    try:
        return f"{entry.origin} {importlib.metadata.version(entry.origin)}"
    except importlib.metadata.PackageNotFoundError:
        return str(entry.path)
