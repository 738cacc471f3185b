"""`allwin data`: the data sets of all tasks, and whether their files are as their cards say."""

from pathlib import Path

import click

from allwin.options import complete, dataset_names, json_option
from allwin.output import print_json, print_line, print_table
from bench import data, registry
from bench.contracts import DatasetCard
from bench.errors import UserError
from bench.registry import Registry, unknown


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Data sets: what there is, and whether it is here.

    Alone it lists them all; a data set of kind `files` is here when its files lie complete below the data root.
    """
    if context.invoked_subcommand is not None:
        return
    root = data.root()
    rows = [
        {
            "task": task.name,
            "name": card.name,
            "title": card.title,
            "kind": card.kind,
            "licence": card.licence,
            "items": card.items,
            "folder": card.folder,
            "here": data.here(card),
        }
        for task in registry.load().tasks.values()
        for card in task.cards
    ]
    if as_json:
        print_json({"root": root, "datasets": rows})
        return
    print_table(
        ["task", "data set", "kind", "licence", "items", "here"],
        [[r["task"], r["name"], r["kind"], r["licence"], r["items"], "yes" if r["here"] else "no"] for r in rows],
    )
    print_line()
    print_line(f"data root: {root or f'none; name one with --data DIR or {data.ENVIRONMENT}'}")


@command.command()
@click.argument("name", shell_complete=complete(dataset_names))
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"The folder that holds the data set's folder; else --data or {data.ENVIRONMENT}.",
)
@click.option("--checksums", is_flag=True, help="Read the files and compare their SHA-256 too.")
@json_option
def check(name: str, root: Path | None, checksums: bool, as_json: bool) -> int:
    """File by file, whether the layout of data set NAME is complete; exit code 1 if it is not."""
    card = find_card(name, registry.load())
    base = root or data.root()
    if card.files and base is None:
        raise UserError(f"there is no data root to look in; name the folder that holds {card.folder}/ with --root DIR")
    states = data.check(card, base, checksums) if base else []
    unchecked = [file.path for file in card.files if checksums and not file.sha256]
    complete_layout = all(state.state == "ok" for state in states)
    if as_json:
        print_json(
            {
                "name": card.name,
                "kind": card.kind,
                "folder": base / card.folder if base and card.files else None,
                "complete": complete_layout,
                "files": [vars(state) for state in states],
                "without_checksum": unchecked,
            }
        )
        return 0 if complete_layout else 1
    if not card.files:
        print_line(f"{card.name} is {card.kind} ({card.origin}): it has no files of its own to check")
        return 0
    assert base
    print_table(["file", "state"], [[state.path, state.state] for state in states], title=str(base / card.folder))
    wrong = sum(state.state != "ok" for state in states)
    print_line(f"{card.name}: {len(states) - wrong} of {len(states)} files are as its card says")
    if unchecked:
        print_line(f"no checksum is known of {len(unchecked)} files: {' '.join(unchecked)}")
    if wrong:
        print_line(f"where it comes from: {card.origin}")
    return 0 if complete_layout else 1


def find_card(name: str, known: Registry) -> DatasetCard:
    """A data set by `mnist` or `pu/mnist`; `UserError` if there is none, or if tasks differ on its layout."""
    cards = [(f"{task.name}/{card.name}", card) for task in known.tasks.values() for card in task.cards]
    found = [(label, card) for label, card in cards if name in (label, card.name)]
    if not found:
        raise unknown("data set", name, dict.fromkeys(card.name for _, card in cards), "allwin data")
    if len({(card.folder, card.files) for _, card in found}) > 1:
        labels = " or ".join(label for label, _ in found)
        raise UserError(f"data set {name} may be {labels}; say which with `allwin data check {found[0][0]}`")
    return found[0][1]
