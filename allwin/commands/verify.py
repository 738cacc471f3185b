"""`allwin verify`: holds every record of a store against its checksum and its key."""

from pathlib import Path

import click

from allwin.options import json_option, store_option


@click.command()
@store_option
@json_option
def command(store: Path, as_json: bool) -> int:
    """Read every record of a store, each attempt, and tell what is wrong. Changes nothing; exit code 1 for a fault."""
    from allwin.output import print_json, print_line, print_table
    from bench.record_file import faults
    from bench.store import Store

    files = Store.open(store).files()
    found = [(path.name, fault) for path in files for fault in faults(path)]
    if as_json:
        print_json({"records": len(files), "faults": [{"file": name, "fault": fault} for name, fault in found]})
    else:
        if found:
            print_table(("record", "what is wrong"), found)
        print_line(f"{len(files)} records read, {len({name for name, _ in found})} with faults")
    return 1 if found else 0
