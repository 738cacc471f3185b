"""`allwin status`: what a store holds, and what failed."""

from collections import Counter
from pathlib import Path

import click

from allwin.grid_options import Grid, grid_options
from allwin.options import json_option


@click.command()
@grid_options(required=False)
@json_option
def command(grid: Grid | None, store: Path, as_json: bool) -> int:
    """How far SUITE is in a store, or all that the store holds, and every failure with its cause.

    Exit code 1 where something failed.
    """
    from allwin.output import print_json, print_line, print_table
    from bench.store import Store

    opened = Store.open(store)
    frame = opened.frame()
    missing = 0
    if grid:
        wanted = {cell.key for cell in grid.expand()[1]}
        frame = frame[frame["key"].isin(wanted)]
        missing = len(wanted) - len(frame)
    counts = Counter(frame["status"])
    groups = Counter(zip(frame["task"], frame["dataset"], frame["budget"], frame["status"], strict=True))
    bad = frame[frame["status"] != "ok"]
    failures = bad[["task", "dataset", "method", "seed", "status", "cause", "message", "key"]].to_dict("records")
    if as_json:
        print_json(
            {
                "store": str(store),
                "records": len(frame),
                "not_run": missing,
                **{status: counts[status] for status in ("ok", "failed", "skipped")},
                "failures": failures,
                "set_aside": _set_aside(opened),
            }
        )
    else:
        print_table(
            ("task", "dataset", "budget", "status", "records"),
            [(*group, number) for group, number in sorted(groups.items())],
            right=("records",),
        )
        if failures:
            headings = ("task", "dataset", "method", "seed", "cause", "message")
            print_line()
            print_table(headings, [[row[heading] for heading in headings] for row in failures], right=("seed",))
        for name in _set_aside(opened):
            print_line(f"set aside, since it could not be read: {name}")
        print_line(
            f"\n{len(frame)} records in {store}: {counts['ok']} ok, {counts['failed']} failed, "
            f"{counts['skipped']} skipped" + (f"; {missing} cells not run" if grid else "")
        )
    return 1 if counts["failed"] else 0


def _set_aside(store: object) -> list[str]:
    folder = store.path / "set-aside"  # type: ignore[attr-defined]
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
