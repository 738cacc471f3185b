"""Reads Python source without running it: where a module's file is, and what a class and its bases declare.

What several methods of a task share, the settings of one trainer say, is a frozen dataclass that they inherit from. It
is read as the class itself is: from the file in which it stands.
"""

import ast
import functools
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.literal import evaluate, module_names

WRAPPED = "base"
"""The field in which a method that wraps another keeps it."""


@dataclass(frozen=True)
class Setting:
    """A field of a task or a method."""

    name: str
    annotation: str
    type: Any
    default: Any
    meaning: str


@functools.cache
def parse(path: Path) -> ast.Module:
    """A file's syntax tree, read once a process."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def package_folders(package: str) -> list[Path]:
    """Where a top-level package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []


def module_file(module: str) -> Path | None:
    """The file of a module, found without importing the packages around it; None if there is none."""
    top, *rest = module.split(".")
    for root in package_folders(top):
        place = root.joinpath(*rest)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.exists():
                return file
    return None


# A class and its bases ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Body:
    """One class as it is written, and the literal names that its file knows."""

    statement: ast.ClassDef
    names: Mapping[str, Any]


def bodies(statement: ast.ClassDef, tree: ast.Module, known: Mapping[str, Any], module: str) -> list[Body]:
    """The class and its dataclass bases, the oldest first: what stands later wins. Protocols declare nothing."""
    found: list[Body] = []
    for base in statement.bases:
        home = _home(base.id, tree, module) if isinstance(base, ast.Name) else None
        if home and _is_dataclass(home[0]):
            found += [body for body in bodies(*home[:2], known, home[2]) if body not in found]
    return [*found, Body(statement, module_names(tree, known))]


def _is_dataclass(statement: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in statement.decorator_list)


def _home(name: str, tree: ast.Module, module: str) -> tuple[ast.ClassDef, ast.Module, str] | None:
    """The class of a name as a file sees it, with the tree and the module that it stands in."""
    for statement in tree.body:
        match statement:
            case ast.ClassDef(name=found) if found == name:
                return statement, tree, module
            case ast.ImportFrom(module=source, names=aliases, level=level):
                for alias in aliases:
                    if name != (alias.asname or alias.name):
                        continue
                    above = module.split(".")[:-level] if level else []
                    place = ".".join([*above, *([source] if source else [])])
                    file = module_file(place)
                    return _home(alias.name, parse(file), place) if file else None
    return None


def class_values(lineage: Iterable[Body], wanted: set[str]) -> dict[str, Any]:
    found = {}
    for body in lineage:
        for item in body.statement.body:
            match item:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name in wanted:
                    found[name] = evaluate(value, body.names)
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in wanted:
                    found[name] = evaluate(value, body.names)
    return found


def settings_of(lineage: Iterable[Body]) -> tuple[Setting, ...]:
    """As `dataclass` orders them: inherited first, and one that is set anew keeps its place."""
    settings: dict[str, Setting] = {}
    for body in lineage:
        settings |= {setting.name: setting for setting in _own_settings(body.statement, body.names)}
    return tuple(settings.values())


def _own_settings(statement: ast.ClassDef, names: Mapping[str, Any]) -> Iterator[Setting]:
    for position, item in enumerate(statement.body):
        match item:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                text = ast.unparse(annotation)
            case _:
                continue
        if text.startswith(("ClassVar", "typing.ClassVar")):
            continue
        following = statement.body[position + 1] if position + 1 < len(statement.body) else None
        meaning = ""
        match following:
            case ast.Expr(value=ast.Constant(value=str() as words)):
                meaning = " ".join(words.split())
        if name == WRAPPED:
            yield Setting(name, text, None, None, meaning)
            continue
        if value is None:
            raise ValueError(f"line {item.lineno}: field {name} of {statement.name} has no default")
        yield Setting(name, text, evaluate(annotation, names), evaluate(value, names), meaning)
