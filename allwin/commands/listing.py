"""`allwin list`: tasks, methods, suites and papers, read from their sources without importing any of them."""

from pathlib import Path
from typing import Any

import click

from allwin.options import json_option, methods_by_path_option
from allwin.output import print_json, print_line, print_table
from bench import papers, registry, suite
from bench.errors import UserError
from bench.registry import Broken, Entry
from bench.strict_yaml import Malformed, parse_yaml


@click.command()
@json_option
@methods_by_path_option
def command(as_json: bool, paths: tuple[Path, ...]) -> None:
    """Tasks, methods, suites and papers, and what is broken."""
    document = listing(paths)
    if as_json:
        print_json(document)
        return
    print_table(
        ["task", "what is solved", "data sets", "ranked by", "methods"],
        [
            [
                task["name"],
                task["summary"],
                " ".join(task["datasets"]),
                f"{task['metrics'][0]['name']} ({task['metrics'][0]['better']})" if task["metrics"] else "",
                sum(method["task"] == task["name"] for method in document["methods"]),
            ]
            for task in document["tasks"]
        ],
        right=["methods"],
    )
    print_line()
    print_table(
        ["method", "paper", "what it does"],
        [
            [
                f"{method['task']}/{method['name']}",
                method["paper"],
                f"oracle: {method['summary']}" if method["oracle"] else method["summary"],
            ]
            for method in document["methods"]
        ],
    )
    print_line()
    print_table(
        ["suite", "budget", "seeds", "what it is"],
        [[item["name"], item["budget"], item["seeds"], item["title"]] for item in document["suites"]],
        right=["seeds"],
    )
    print_line()
    print_table(
        ["paper", "venue", "title"],
        [[item["name"], item["venue"], item["title"]] for item in document["papers"]],
    )
    if document["broken"]:
        print_line()
        print_table(
            ["broken", "why", "where"],
            [[item["name"], item["message"], item["path"]] for item in document["broken"]],
        )


def listing(paths: tuple[Path, ...] = ()) -> dict[str, list[dict[str, Any]]]:
    """What `allwin list --json` prints."""
    known = registry.load(paths)
    suites, broken_suites = _suites()
    listed, broken_papers = _papers()
    return {
        "tasks": [_task(entry) for entry in known.tasks.values()],
        "methods": [_method(entry) for entry in known.entries() if entry.kind == "method"],
        "suites": suites,
        "papers": listed,
        "broken": [vars(item) for item in [*known.broken, *broken_suites, *broken_papers]],
    }


def _task(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "version": entry.version,
        "datasets": [card.name for card in entry.cards],
        "metrics": [
            {"name": metric.name, "unit": metric.unit, "better": metric.better, "meaning": metric.meaning}
            for metric in entry.metrics
        ],
        "origin": entry.origin,
        "path": str(entry.path),
    }


def _method(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "task": entry.task,
        "paper": entry.paper,
        "summary": entry.summary,
        "wraps": entry.wraps,
        "oracle": entry.oracle,
        "origin": entry.origin,
        "path": str(entry.path),
    }


def _suites() -> tuple[list[dict[str, Any]], list[Broken]]:
    read, broken = [], []
    for name, path in registry.suite_names().items():
        try:
            found = suite.load_suite(name)
        except UserError as error:
            broken.append(Broken(name, str(path), str(error)))
            continue
        read.append(
            {
                "name": name,
                "title": found.title,
                "budget": found.budget,
                "seeds": len(found.seed_numbers),
                "tasks": list(dict.fromkeys(block.task for block in found.grid)),
                "path": str(path),
            }
        )
    return read, broken


def _papers() -> tuple[list[dict[str, Any]], list[Broken]]:
    """From the head of each file, above its tables: to read all ten whole takes seconds, and `show` does that."""
    read, broken = [], []
    for name, path in papers.paper_files().items():
        try:
            head = parse_yaml(path.read_text(encoding="utf-8").partition("\ntables:")[0])
            read.append({"name": name, **{key: str(head[key]) for key in ("title", "venue")}, "path": str(path)})
        except (OSError, UnicodeDecodeError, Malformed, KeyError, TypeError) as error:
            broken.append(Broken(name, str(path), f"{type(error).__name__}: {error}".replace("\n", " ")))
    return read, broken
