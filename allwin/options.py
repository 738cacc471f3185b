"""Options that several verbs take, written once."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from bench import registry

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete(*sources: Callable[[], Iterable[tuple[str, str]]]) -> Complete:
    """Tab completion from names with their one-line help; they are read only when the shell asks."""

    def offer(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        pairs = [pair for source in sources for pair in source()]
        return [CompletionItem(name, help=text) for name, text in pairs if name.startswith(typed)]

    return offer


def task_names() -> list[tuple[str, str]]:
    return [(entry.name, entry.summary) for entry in registry.load().tasks.values()]


def method_names() -> list[tuple[str, str]]:
    """`pu/nnpu`, and so on."""
    return [(entry.title, entry.summary) for entry in registry.load().entries() if entry.kind == "method"]


def dataset_names() -> list[tuple[str, str]]:
    return [(card.name, card.title) for task in registry.load().tasks.values() for card in task.cards]


def suite_names() -> list[tuple[str, str]]:
    return [(name, "") for name in registry.suite_names()]


def comma_words(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """`A,B` as its words; a callback of click's."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


device_option = click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")

methods_by_path_option = click.option(
    "--method",
    "paths",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A file with a method, from anywhere; may be given more than once.",
)

STORE = Path("runs")
"""Where records live unless said otherwise: below the folder one works in, outside version control."""

STORE_ENVIRONMENT = "ALLWIN_STORE"


def store_path() -> Path:
    """Where records live for a verb that takes no `--store`."""
    return Path(os.environ.get(STORE_ENVIRONMENT) or STORE)


store_option = click.option(
    "--store",
    default=STORE,
    show_default=True,
    envvar=STORE_ENVIRONMENT,
    show_envvar=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the records live.",
)
