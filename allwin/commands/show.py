"""`allwin show NAME`: all that the sources say about a task, a method, a data set, a suite or a paper."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from allwin.options import (
    complete,
    dataset_names,
    json_option,
    method_names,
    methods_by_path_option,
    suite_names,
    task_names,
)
from allwin.output import print_json, print_line, print_table
from allwin.published import paper_names
from bench import data, papers, registry, suite
from bench.contracts import BUDGETS, DatasetCard
from bench.errors import UserError
from bench.registry import Entry, Registry, unknown
from bench.source import WRAPPED


@click.command()
@click.argument("name", shell_complete=complete(task_names, method_names, dataset_names, suite_names, paper_names))
@json_option
@methods_by_path_option
def command(name: str, as_json: bool, paths: tuple[Path, ...]) -> None:
    """All about a task, a method, a data set, a suite or a paper.

    NAME is `pu`, `pu/nnpu` or `nnpu`, `pu/mnist5k` or `mnist5k`, a suite's name, a suite's file, or a paper's name.
    """
    document = find(name, registry.load(paths))()
    if as_json:
        print_json(document)
    else:
        _print(document)


@dataclass(frozen=True)
class Candidate:
    kind: str
    label: str
    """What names this one and no other."""
    describe: Callable[[], dict[str, Any]]


def find(name: str, known: Registry) -> Callable[[], dict[str, Any]]:
    """What describes the one thing of this name; `UserError` if there is none, or more than one."""
    if name.endswith((".yaml", ".yml")):
        return partial(describe_suite, name)
    candidates = list(_candidates(known))
    found = [item for item in candidates if item.label == name]
    # A short name will do where it is the only one.
    found = found or [item for item in candidates if item.label.split("/")[-1].removesuffix(".yaml") == name]
    if len(found) == 1:
        return found[0].describe
    if found:
        which = " or ".join(f"{item.label} ({item.kind})" for item in found)
        raise UserError(f"{name} may be {which}; say which with `allwin show {found[0].label}`")
    for broken in known.broken:
        if name in (broken.name, broken.name.split("/")[-1]):
            raise UserError(f"{broken.name} cannot be read: {broken.message}; mend {broken.path}")
    short = (item.label.split("/")[-1].removesuffix(".yaml") for item in candidates)
    raise unknown("name", name, dict.fromkeys([*short, *(item.label for item in candidates)]), "allwin list")


def _candidates(known: Registry) -> list[Candidate]:
    found = [Candidate(entry.kind, entry.title, partial(_describe_entry, entry)) for entry in known.entries()]
    found += [
        Candidate("data set", f"{task.name}/{card.name}", partial(_describe_card, task, card))
        for task in known.tasks.values()
        for card in task.cards
    ]
    found += [
        Candidate("suite", f"{name}.yaml", partial(describe_suite, path))
        for name, path in registry.suite_names().items()
    ]
    found += [Candidate("paper", f"papers/{name}", partial(describe_paper, name)) for name in papers.paper_files()]
    return found


def _describe_entry(entry: Entry) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": entry.kind,
        "name": entry.title,
        "summary": entry.summary,
        "doc": entry.doc,
        "paper": entry.paper,
        "path": str(entry.path),
        "origin": entry.origin,
        "settings": [
            {
                "name": setting.name,
                "type": setting.annotation,
                "default": setting.default,
                "presets": {
                    budget: entry.presets[budget][setting.name]
                    for budget in BUDGETS
                    if setting.name in entry.presets.get(budget, {})
                },
                "meaning": setting.meaning,
            }
            for setting in entry.settings
        ],
    }
    if entry.kind == "task":
        document["version"] = entry.version
        document["datasets"] = [card.name for card in entry.cards]
        document["metrics"] = [vars(metric) for metric in entry.metrics]
    else:
        document["oracle"] = entry.oracle
    return document


def _describe_card(task: Entry, card: DatasetCard) -> dict[str, Any]:
    return {
        "kind": "data set",
        "name": f"{task.name}/{card.name}",
        "summary": card.title,
        "doc": "",
        "task": task.name,
        "content": card.items,
        "provision": card.kind,
        "origin": card.origin,
        "licence": card.licence,
        "folder": card.folder,
        "version": card.version,
        "here": data.here(card),
        "metrics": [vars(metric) for metric in task.metrics_on(card.name)],
        "files": [vars(file) for file in card.files],
    }


def describe_suite(name: str | Path) -> dict[str, Any]:
    found = suite.load_suite(name)
    return {
        "kind": "suite",
        "name": found.name,
        "summary": found.title,
        "doc": "",
        "budget": found.budget,
        "seeds": found.seed_numbers,
        "stages": list(found.stages),
        "grid": [block.model_dump() for block in found.grid],
    }


def describe_paper(name: str) -> dict[str, Any]:
    paper = papers.load_paper(name)
    return {
        "kind": "paper",
        "name": paper.name,
        "summary": paper.title,
        "doc": " ".join(paper.note.split()),
        "discussion": " ".join(paper.discussion.split()),
        "authors": paper.authors,
        "venue": paper.venue,
        "reference": paper.reference,
        "tables": [
            {"name": table.id, "title": table.title, "place": table.place, "figures": _figures(table)}
            for table in paper.tables
        ],
        "claims": [
            {
                "name": claim.id,
                "statement": " ".join(claim.statement.split()),
                "place": claim.place,
                "certainty": claim.certainty,
                "budgets": list(claim.at),
            }
            for claim in paper.claims
        ],
    }


def _figures(table: papers.PaperTable) -> dict[str, int]:
    """How many figures of each certainty a table prints; its blanks are none."""
    counts = Counter(
        figure.certainty for row in table.rows for figure in row.cells.values() if figure.printed is not None
    )
    return {certainty: counts[certainty] for certainty in get_args(papers.Certainty)}


# Printing -------------------------------------------------------------------------------------------------------------

FACTS = (
    "authors",
    "venue",
    "reference",
    "paper",
    "oracle",
    "version",
    "task",
    "content",
    "provision",
    "licence",
    "folder",
    "here",
    "budget",
    "origin",
    "path",
)
"""What is printed in a line each, where there is any."""


def _print(document: dict[str, Any]) -> None:
    print_line(f"{document['name']} ({document['kind']}): {document['summary']}")
    facts = [(word, document[word]) for word in FACTS if document.get(word, "") != ""]
    # That a method is none goes without saying.
    facts = [(word, value) for word, value in facts if word != "oracle" or value]
    facts += [
        (word, " ".join(map(str, document[word]))) for word in ("datasets", "seeds", "stages") if word in document
    ]
    width = max(len(word) for word, _ in facts)
    for word, value in facts:
        print_line(f"  {word:<{width}}  {_yes_no(value)}")
    if document["doc"]:
        print_line(f"\n{document['doc']}")
    if document["kind"] == "paper":
        _print_paper(document)
    if document.get("settings"):
        print_line()
        _print_settings(document["settings"])
    if document.get("metrics"):
        print_line()
        print_table(
            ["metric", "unit", "better", "range", "meaning"],
            [
                [m["name"], m["unit"], m["better"], _range(m["low"], m["high"]), m["meaning"]]
                for m in document["metrics"]
            ],
        )
    if document.get("files"):
        print_line()
        print_table(
            ["file", "bytes", "sha256"],
            [[file["path"], _blank(file["size_bytes"]), file["sha256"]] for file in document["files"]],
            right=["bytes"],
        )
    if document.get("grid"):
        print_line()
        print_table(
            ["task", "data sets", "methods", "settings"],
            [
                [
                    block["task"],
                    " ".join(block["datasets"]) or "(the first)",
                    " ".join(str(method) for method in block["methods"]) or "(all)",
                    " ".join(f"{name}={value}" for name, value in block["settings"].items()),
                ]
                for block in document["grid"]
            ],
        )


def _print_paper(document: dict[str, Any]) -> None:
    certainties = get_args(papers.Certainty)
    figures = [table["figures"] for table in document["tables"]]
    rows = [[table["name"], table["title"], table["place"], *table["figures"].values()] for table in document["tables"]]
    rows.append(["", "all", "", *(sum(counted[certainty] for counted in figures) for certainty in certainties)])
    if document["discussion"]:
        print_line(f"\nWhat we found: {document['discussion']}")
    print_line()
    print_table(["table", "title", "place", *certainties], rows, title="figures, by certainty", right=certainties)
    print_line()
    print_table(
        ["claim", "certainty", "budgets", "place", "statement"],
        [[c["name"], c["certainty"], " ".join(c["budgets"]), c["place"], c["statement"]] for c in document["claims"]],
        title=f"{len(document['claims'])} claims",
    )


def _print_settings(settings: list[dict[str, Any]]) -> None:
    budgets = [budget for budget in BUDGETS if any(budget in setting["presets"] for setting in settings)]
    rows = [
        [
            setting["name"],
            setting["type"],
            "(a method)" if setting["name"] == WRAPPED else setting["default"],
            *(setting["presets"].get(budget, "") for budget in budgets),
            setting["meaning"],
        ]
        for setting in settings
    ]
    print_table(["setting", "type", "default", *budgets, "meaning"], rows, right=["default", *budgets])


def _yes_no(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _blank(value: Any) -> str:
    return "" if value is None else str(value)


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"{'-inf' if low is None else low} .. {'inf' if high is None else high}"
