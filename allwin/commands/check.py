"""`allwin check`: holds a method, or a task and all its methods, against the rules of `bench.conformance`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allwin.options import complete, dataset_names, json_option, method_names, methods_by_path_option, task_names
from allwin.output import print_json, print_line, print_table
from allwin.running import tell_outside
from bench import registry
from bench.errors import UserError
from bench.outside import outside_entries
from bench.registry import Entry, Registry, unknown

if TYPE_CHECKING:
    from bench.conformance import Outcome


@click.command()
@click.argument("target", default="", shell_complete=complete(task_names, method_names))
@methods_by_path_option
@click.option(
    "--dataset", default="", shell_complete=complete(dataset_names), help="Fit on this one, not on the default."
)
@json_option
def command(target: str, paths: tuple[Path, ...], dataset: str, as_json: bool) -> int:
    """Hold TARGET against the rules: it is TASK/METHOD, or TASK for the task and all its methods.

    With --method FILE and no TARGET, the files' methods are checked. Every rule is named, with what it saw and, where
    it is not kept, the likeliest cause. Exit code 1 if a rule is not kept.
    """
    known = registry.load(paths)
    chosen = list(_chosen(target, paths, known))
    from bench.conformance import Subject, check

    subjects = [Subject(known, entry, dataset=dataset, inner=inner) for entry, inner in chosen]
    tell_outside(outside_entries(entry for entry, _ in chosen))

    checked: list[dict[str, Any]] = []
    for subject, (entry, inner) in zip(subjects, chosen, strict=True):
        title = f"{entry.title}({inner})" if inner else entry.title
        outcomes = check(subject)
        checked.append({"entry": title, "kind": entry.kind, "rules": [asdict(outcome) for outcome in outcomes]})
        if not as_json:
            _print(title, outcomes)
    passed = all(rule["state"] != "fail" for item in checked for rule in item["rules"])
    if as_json:
        print_json({"passed": passed, "checked": checked})
    return 0 if passed else 1


def _chosen(target: str, paths: tuple[Path, ...], known: Registry) -> Iterator[tuple[Entry, str]]:
    """The entries to check, each with the method that it wraps, if any."""
    # A wrapped method may have a task's name in it only after the bracket.
    task, slash, reference = target.partition("/")
    if slash:
        from bench.validate import entries_of, split_reference

        yield entries_of(known, known.task(task).name, reference)[0], split_reference(reference)[1]
    elif target in known.tasks:
        yield known.tasks[target], ""
        yield from ((entry, "") for entry in known.methods.get(target, {}).values() if not entry.wraps)
    elif target:
        titles = [entry.title for entry in known.entries()]
        near = [title for title in titles if title.endswith(f"/{target}")]
        if near:
            raise UserError(f"{target} is a method; write {' or '.join(near)}")
        raise unknown("task or method", target, titles, "allwin list")
    elif paths:
        files = {path.resolve() for path in paths}
        yield from ((entry, "") for entry in known.entries() if entry.path in files)
    else:
        raise UserError("check needs a TASK/METHOD, a TASK, or --method FILE; `allwin list` shows what there is")


def _print(title: str, outcomes: list["Outcome"]) -> None:
    rows: list[list[Any]] = [[outcome.state, outcome.rule, outcome.meaning, outcome.saw] for outcome in outcomes]
    print_table(["", "rule", "what must hold", "what was seen"], rows, title=title)
    for outcome in outcomes:
        if outcome.state == "fail":
            print_line(f"{title}: {outcome.rule} is not kept; likeliest cause: {outcome.cause}")
    counts = Counter(outcome.state for outcome in outcomes)
    print_line(f"{title}: {counts['pass']} rules kept, {counts['fail']} not kept, {counts['skip']} skipped\n")
