"""`allwin` alone: what it can do, and where you are."""

import json
import os
from datetime import datetime
from pathlib import Path

from allwin.cli import VERBS
from allwin.options import STORE_ENVIRONMENT, store_path
from allwin.output import one_line, print_line, print_table
from bench import data, registry
from bench.errors import UserError

LOOKED_AT = 5000
"""Records among which the newest is sought: more would take longer than a glance may."""


def show() -> None:
    print_line("allwin: benchmarks of efficient and label-efficient vision\n")
    print_table(["verb", "what it does"], [[verb, summary] for verb, (_, summary) in VERBS.items()])
    known = registry.load()
    methods = sum(len(methods) for methods in known.methods.values())
    print_line(f"\n{len(known.tasks)} tasks, {methods} methods, {len(registry.suite_names())} suites: `allwin list`")
    if known.broken:
        print_line(f"broken: {' '.join(item.name for item in known.broken)}; `allwin doctor` says why")
    print_line(f"store:     {_store(store_path())}")
    print_line(f"data root: {_data_root()}")
    print_line("first run: allwin run quick; then: allwin report")


def _data_root() -> str:
    try:
        return str(data.root() or f"none, only what needs no download; name one with --data or {data.ENVIRONMENT}")
    except UserError as error:
        return str(error)


def _store(path: Path) -> str:
    """How much a store holds, without the libraries that read it in full."""
    folder = path / "records"
    if not folder.is_dir():
        return f"{path} (none yet; --store or {STORE_ENVIRONMENT} names another)"
    files = [entry for place in os.scandir(folder) if place.is_dir() for entry in os.scandir(place.path)]
    records = [entry for entry in files if entry.name.endswith(".json")]
    told = f"{path}, {len(records)} records"
    if not 0 < len(records) <= LOOKED_AT:
        return told
    newest = max(records, key=lambda entry: entry.stat().st_mtime)
    when = datetime.fromtimestamp(newest.stat().st_mtime).isoformat(" ", "minutes")
    try:
        record = json.loads(Path(newest.path).read_text(encoding="utf-8"))
        what = f"{record['spec']['task']}/{record['spec']['method']} on {record['spec']['dataset']}, {record['status']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{told}; the newest, {newest.name}, cannot be read: `allwin status` looks closer"
    return one_line(f"{told}; the newest of {when}: {what}")
