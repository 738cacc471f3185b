"""`allwin new method TASK/NAME`: writes one file, a method that works and only waits to be made better."""

import keyword
import re
import shlex
from pathlib import Path
from string import Template

import click

from allwin.options import complete, task_names
from allwin.output import print_line
from bench import registry
from bench.errors import UserError
from bench.registry import Entry, Registry
from bench.source import package_folders

TEMPLATE = "template.py.txt"
"""Beside a task's source: the simplest honest method of that task. Its marks are `$name` and `$class_name`."""

KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@click.group()
def command() -> None:
    """Write the one file of a new method."""


@command.command()
@click.argument("title", metavar="TASK/NAME", shell_complete=complete(task_names))
def method(title: str) -> None:
    """Write a method of TASK under NAME that works as written.

    Inside a checkout of allwin it goes where it is found by name; elsewhere into the working folder, to be used with
    `--method FILE`.
    """
    known = registry.load()
    task, name = _split(title, known)
    in_tree = _tree_folder(task.name)
    path = (in_tree or Path.cwd()) / f"{name.replace('-', '_')}.py"
    text = fill(_template(task), name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} exists already; choose another name, or remove it") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); go to a folder that you may write in") from None
    shown = _shown(path)
    option = "" if in_tree else f" --method {shlex.quote(f'./{path.name}')}"
    print_line(f"wrote {shown}")
    print_line(f"allwin check {task.name}/{name}{option}")
    print_line(f"allwin run {task.name} --methods {name}{option}")


def _split(title: str, known: Registry) -> tuple[Entry, str]:
    """The task and the new method's name, in kebab case; `UserError` if either will not do."""
    task_name, _, name = title.partition("/")
    task = known.task(task_name)
    name = name.replace("_", "-")
    if not KEBAB.fullmatch(name):
        raise UserError(f"{title}: a method's name has small letters, digits and hyphens; write {task_name}/my-method")
    if name in known.methods.get(task.name, {}):
        where = known.methods[task.name][name].path
        raise UserError(f"{task_name}/{name} exists already, in {where}; choose another name")
    return task, name


def _template(task: Entry) -> str:
    path = task.path.parent / TEMPLATE
    if not path.is_file():
        raise UserError(f"task {task.name} has no {TEMPLATE} beside {task.path}; copy one of its methods instead")
    return path.read_text(encoding="utf-8")


def fill(template: str, name: str) -> str:
    """A template's text for a method of this name; `UserError` if its class would take the name of something used."""
    class_name = "".join(word.capitalize() for word in name.split("-"))
    if keyword.iskeyword(class_name) or re.search(rf"\b{class_name}\b", template):
        raise UserError(f"a method {name} would be a class {class_name}, a name that is taken; choose another")
    return Template(template).substitute(name=name, class_name=class_name)


def _tree_folder(task: str) -> Path | None:
    """The folder of a task's methods in the checkout that one works in; None outside of it."""
    here = Path.cwd().resolve()
    for methods in package_folders("methods"):
        checkout = methods.resolve().parent
        if here.is_relative_to(checkout) and (checkout / "pyproject.toml").is_file() and (methods / task).is_dir():
            return methods.resolve() / task
    return None


def _shown(path: Path) -> str:
    here = Path.cwd().resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
