"""`allwin merge`: one store of several, from several machines say."""

from pathlib import Path

import click

from allwin.options import json_option, store_option


@click.command()
@click.argument("others", nargs=-1, required=True, metavar="OTHER…", type=click.Path(path_type=Path))
@store_option
@json_option
def command(others: tuple[Path, ...], store: Path, as_json: bool) -> None:
    """Take over into --store the records of the OTHER stores that it does not have. The others are only read."""
    from allwin.output import print_json, print_line
    from bench.errors import UserError
    from bench.store import Store

    sources = [Store.open(other) for other in others]
    if any(other.resolve() == store.resolve() for other in others):
        raise UserError(f"{store} is among the stores to merge and the one to merge into; name another --store")
    target = Store.open(store, create=True)
    counts = [(source.path, *target.merge(source)) for source in sources]
    if as_json:
        print_json([{"store": str(path), "added": added, "known": known} for path, added, known in counts])
    else:
        for path, added, known in counts:
            print_line(f"{path}: {added} records taken over, {known} were there already")
