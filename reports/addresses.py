"""Where each page of a site lies, from the top of the site: short names that no text of a record can bend."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.record import Record
from bench.registry import Registry
from reports.facts import KEY
from reports.sections import NO_PLACE
from reports.text import slug

INDEX, TRIALS, ENVIRONMENT = "index.html", "trials.html", "environment.html"

TOP = "../"
"""From a page in a folder to the top of the site."""

TRIAL_PAGES = 500
"""Trials with a page of their own."""

Name = TypeVar("Name")


@dataclass(frozen=True)
class Addresses:
    """Addresses from the top of the site. Methods are by task and name as in records: `outer(inner)` has its own."""

    tasks: Mapping[str, str]
    methods: Mapping[tuple[str, str], str]
    papers: Mapping[str, str]
    trials: Mapping[str, str]
    """By key; only of trials that have a page."""

    def method(self, task: str, name: str) -> str:
        return self.methods.get((task, name), NO_PLACE)

    def paper(self, name: str) -> str:
        """A paper by its name in `papers/`, or by how a method names it."""
        return self.papers.get(name, self.papers.get(name.replace("-", "_"), NO_PLACE))


def addresses(records: Sequence[Record], registry: Registry, papers: Iterable[str]) -> Addresses:
    """Addresses of all tasks in the records, of their methods, run or not, of the papers and of trials."""
    tasks = sorted({record.spec.task for record in records})
    methods = {(record.spec.task, record.spec.method) for record in records}
    methods |= {(task, name) for task in tasks for name in registry.methods.get(task, {})}
    with_pages = [record.key for record in trials_with_pages(records)]
    return Addresses(
        tasks=_distinct("tasks", {task: slug(task) for task in tasks}),
        methods=_distinct("methods", {(task, name): slug(f"{task}-{name}") for task, name in sorted(methods)}),
        papers=_distinct("papers", {name: slug(name) for name in sorted(papers)}),
        trials=_distinct("trials", {key: key[:KEY] for key in with_pages}),
    )


def trials_with_pages(records: Iterable[Record]) -> list[Record]:
    """The failed ones first, then the latest, as many as there is room for."""
    latest = sorted(records, key=lambda record: (record.ended, record.key), reverse=True)
    return sorted(latest, key=lambda record: record.status != "failed")[:TRIAL_PAGES]


def outermost(method: str) -> str:
    """The method that wraps the others: `dance` of `dance(deeplabv3plus)`."""
    return method.partition("(")[0].strip()


def _distinct(folder: str, names: Mapping[Name, str]) -> dict[Name, str]:
    """A file for each; those that would share one are numbered."""
    taken: set[str] = set()
    files = {}
    for name, wanted in names.items():
        file, number = wanted, 1
        while file in taken:
            number += 1
            file = f"{wanted}-{number}"
        taken.add(file)
        files[name] = f"{folder}/{file}.html"
    return files
