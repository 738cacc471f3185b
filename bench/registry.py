"""What tasks and methods there are, read from their source without importing any of them.

Three ways in: a folder of the tree (`tasks/<task>/__init__.py`, `methods/<task>/<method>.py`), an entry point
(`allwin.tasks`, `allwin.methods`) of an installed package, and a path (`--method ./mine.py`). What cannot be read is
kept in `broken`, by name, and takes nothing else down.
"""

import ast
import difflib
import importlib.metadata
import importlib.util
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from bench.contracts import BUDGETS, DataFile, DatasetCard, Metric
from bench.errors import UserError
from bench.literal import NotLiteral, evaluate, module_names
from bench.settings import NAMES
from bench.source import WRAPPED, Setting, bodies, class_values, package_folders, parse, settings_of

CARD_NAMES = {"Metric": Metric, "DatasetCard": DatasetCard, "DataFile": DataFile}
"""What a declaration may be built with, besides literals."""


@dataclass(frozen=True)
class Entry:
    """A task or a method, as its source tells it."""

    kind: Literal["task", "method"]
    name: str
    task: str
    """A method's task; a task's own name."""
    cls: str
    module: str
    """Import name; empty for an entry by path."""
    path: Path
    origin: str
    """`tree`, `path`, or the package whose entry point it is."""
    summary: str
    doc: str
    paper: str
    settings: tuple[Setting, ...]
    presets: Mapping[str, Mapping[str, Any]]
    search: Mapping[str, str]
    """Field -> where a search looks for its value, as text."""
    memory_gib: Mapping[str, float]
    """Budget -> what a fit needs of its device's memory, where the method says so."""
    members: frozenset[str]
    """Methods and class variables of the class."""
    oracle: bool = False
    """A method that uses what no method may use."""
    version: int = 0
    metrics: tuple[Metric, ...] = ()
    cards: tuple[DatasetCard, ...] = ()

    @property
    def title(self) -> str:
        """How messages and tables name it: `pu`, `pu/nnpu`."""
        return self.name if self.kind == "task" else f"{self.task}/{self.name}"

    @property
    def wraps(self) -> bool:
        return any(setting.name == WRAPPED for setting in self.settings)

    def card(self, dataset: str) -> DatasetCard:
        """A data set of this task, or one line that names the nearest."""
        for card in self.cards:
            if card.name == dataset:
                return card
        raise unknown(f"data set of {self.name}", dataset, [card.name for card in self.cards], "allwin data")

    def metrics_on(self, dataset: str) -> tuple[Metric, ...]:
        """The metrics measured on a data set; the first ranks."""
        wanted = self.card(dataset).metrics
        by_name = {metric.name: metric for metric in self.metrics}
        return tuple(by_name[name] for name in wanted) if wanted else self.metrics

    def import_class(self) -> type:
        """Runs the file. The only place where a task or a method is imported."""
        module = importlib.import_module(self.module) if self.module else _import_path(self.path)
        return getattr(module, self.cls)


@dataclass(frozen=True)
class Broken:
    """An entry that could not be read or imported."""

    name: str
    path: str
    message: str


@dataclass
class Registry:
    tasks: dict[str, Entry] = field(default_factory=dict)
    methods: dict[str, dict[str, Entry]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    def task(self, name: str) -> Entry:
        if name not in self.tasks:
            raise self._explain_missing(name, unknown("task", name, self.tasks, "allwin list"))
        return self.tasks[name]

    def method(self, task: str, name: str) -> Entry:
        """A method of a task by its name, `nnpu` or `pu/nnpu`."""
        known = self.methods.get(self.task(task).name, {})
        short = name.removeprefix(f"{task}/")
        if short not in known:
            raise self._explain_missing(short, unknown(f"method of {task}", short, known, "allwin list"))
        return known[short]

    def entries(self) -> Iterator[Entry]:
        yield from self.tasks.values()
        for methods in self.methods.values():
            yield from methods.values()

    def _explain_missing(self, name: str, error: UserError) -> UserError:
        for broken in self.broken:
            if broken.name.split("/")[-1] == name:
                return UserError(f"{broken.name} cannot be used: {broken.message}; mend {broken.path}")
        return error

    def add(self, entry: Entry) -> None:
        home = self.tasks if entry.kind == "task" else self.methods.setdefault(entry.task, {})
        if entry.name in home:
            taken = home[entry.name].path
            self.broken.append(Broken(entry.title, str(entry.path), f"its name is taken by {taken}; rename one"))
        else:
            home[entry.name] = entry


def unknown(what: str, name: str, known: Iterable[str], where: str) -> UserError:
    """One line for a name that does not exist: the three nearest, or where all stand."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"`{where}` shows what there is"
    return UserError(f"unknown {what}: {name}; {hint}")


# Reading one file -----------------------------------------------------------------------------------------------------


def read_entry(path: Path, kind: Literal["task", "method"], name: str, module: str, origin: str) -> Entry | None:
    """The entry that a file declares, or None if it has no `@task` or `@method`.

    Raises `NotLiteral`, `SyntaxError` or `ValueError` where the declaration cannot be read.
    """
    # Most files of a tree are helpers: the text says so faster than the parser.
    if f"@{kind}(" not in path.read_text(encoding="utf-8"):
        return None
    tree = parse(path)
    names = module_names(tree, NAMES | CARD_NAMES)
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) and (declared := _decorator(statement, kind)):
            return _read_class(statement, declared, tree, names, path, kind, name, module, origin)
    return None


def _decorator(statement: ast.ClassDef, kind: str) -> ast.Call | None:
    for decorator in statement.decorator_list:
        match decorator:
            case ast.Call(func=ast.Name(id=name)) if name == kind:
                return decorator
            case ast.Call(func=ast.Attribute(attr=name)) if name == kind:
                return decorator
    return None


def _read_class(
    statement: ast.ClassDef,
    declared: ast.Call,
    tree: ast.Module,
    names: Mapping[str, Any],
    path: Path,
    kind: Literal["task", "method"],
    name: str,
    module: str,
    origin: str,
) -> Entry:
    words = {word.arg: evaluate(word.value, names) for word in declared.keywords}
    lineage = bodies(statement, tree, NAMES | CARD_NAMES, module)
    values = class_values(lineage, {"presets", "search", "memory_gib", "metrics"})
    doc = ast.get_docstring(tree) or ""
    summary = ast.get_docstring(statement) or doc
    settings = settings_of(lineage)
    presets = values.get("presets", {})
    for budget, preset in presets.items():
        if budget not in BUDGETS:
            raise unknown(f"budget in the presets of {statement.name}", budget, BUDGETS, "allwin list")
        for key in preset:
            if key not in {setting.name for setting in settings}:
                raise unknown(f"field in the {budget} preset of {statement.name}", key, [s.name for s in settings], "")
    search = values.get("search", {})
    if not (isinstance(search, dict) and all(isinstance(text, str) for text in search.values())):
        raise ValueError(f"search of {statement.name} must map fields to texts, such as log(1e-5, 1e-2)")
    memory_gib = values.get("memory_gib", {})
    amounts = memory_gib.values() if isinstance(memory_gib, dict) and set(memory_gib) <= set(BUDGETS) else [None]
    if not all(isinstance(amount, (int, float)) and amount > 0 for amount in amounts):
        raise ValueError(f"memory_gib of {statement.name} must map budgets to numbers above 0")
    if not isinstance(oracle := words.get("oracle", False), bool):
        raise ValueError(f"oracle of {statement.name} must be True or False, got {oracle!r}")
    return Entry(
        kind=kind,
        name=name,
        task=name if kind == "task" else str(evaluate(declared.args[0], names)),
        cls=statement.name,
        module=module,
        path=path,
        origin=origin,
        summary=" ".join(summary.split("\n\n")[0].split()),
        doc=doc,
        paper=words.get("paper", ""),
        oracle=oracle,
        settings=settings,
        presets=presets,
        search=search,
        memory_gib=memory_gib,
        members=frozenset(
            item.name for body in lineage for item in body.statement.body if isinstance(item, ast.FunctionDef)
        ),
        version=words.get("version", 0),
        metrics=tuple(values.get("metrics", ())),
        cards=_cards(path, names) if kind == "task" else (),
    )


def _cards(path: Path, names: Mapping[str, Any]) -> tuple[DatasetCard, ...]:
    """The data sets of a task: `CARDS` in its `datasets.py`, or in the task's own file."""
    for file in (path.parent / "datasets.py", path):
        if file.exists():
            cards = module_names(parse(file), names).get("CARDS")
            if cards is not None:
                return tuple(cards)
    raise ValueError(f"it declares no CARDS (in datasets.py, or in {path.name})")


# Finding the files ----------------------------------------------------------------------------------------------------


def suite_names() -> dict[str, Path]:
    """The suites of the tree, by name."""
    files = (path for folder in package_folders("suites") for path in sorted(folder.glob("*.yaml")))
    return {path.stem: path for path in files}


def _tree_files(kind: Literal["task", "method"]) -> Iterator[tuple[Path, str, str]]:
    """Files of the tree that may declare an entry, with the entry's name and import name."""
    for root in package_folders("tasks" if kind == "task" else "methods"):
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] not in "_."):
            if kind == "task":
                if (folder / "__init__.py").exists():
                    yield folder / "__init__.py", folder.name, f"tasks.{folder.name}"
                continue
            for path in sorted(folder.iterdir()):
                if path.name[0] in "_.":
                    continue
                if path.suffix == ".py":
                    yield path, path.stem, f"methods.{folder.name}.{path.stem}"
                elif (path / "__init__.py").exists():
                    yield path / "__init__.py", path.name, f"methods.{folder.name}.{path.name}"


def load(method_paths: Iterable[Path] = ()) -> Registry:
    """Reads the tree, the entry points and the given files. Raises `UserError` only for a path that the user named."""
    registry = Registry()
    for kind in ("task", "method"):
        for path, name, module in _tree_files(kind):
            # A task keeps its folder's name (`gan_compression`), a method's is written in kebab case.
            _read_into(registry, path, kind, name if kind == "task" else name.replace("_", "-"), module, "tree")
        for point in importlib.metadata.entry_points(group=f"allwin.{kind}s"):
            _read_entry_point(registry, point, kind)
    for path in method_paths:
        _read_named(registry, path)
    for task in [task for task in registry.methods if task not in registry.tasks]:
        for entry in registry.methods.pop(task).values():
            why = str(unknown("task", task, registry.tasks, "allwin list"))
            registry.broken.append(Broken(entry.title, str(entry.path), why))
    return registry


def _read_into(
    registry: Registry, path: Path, kind: Literal["task", "method"], name: str, module: str, origin: str
) -> bool:
    try:
        entry = read_entry(path, kind, name, module, origin)
    except (NotLiteral, SyntaxError, ValueError, TypeError, OSError, RecursionError) as error:
        title = name if kind == "task" else f"{path.parent.name}/{name}"
        registry.broken.append(Broken(title, str(path), f"{type(error).__name__}: {error}".replace("\n", " ")))
        return True
    if entry:
        registry.add(entry)
    return entry is not None


def _read_entry_point(
    registry: Registry, point: importlib.metadata.EntryPoint, kind: Literal["task", "method"]
) -> None:
    origin = point.dist.name if point.dist else "entry point"
    try:
        top, *rest = point.module.split(".")
        spec = importlib.util.find_spec(top)
    except (AttributeError, ValueError):
        registry.broken.append(Broken(point.name, point.value, f"entry point of {origin}: it names no module"))
        return
    single = Path(spec.origin) if spec and spec.origin and not rest and not spec.submodule_search_locations else None
    if single and _read_into(registry, single, kind, point.name, point.module, origin):
        return
    for root in package_folders(top):
        file = root.joinpath(*rest)
        path = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        if path.exists() and _read_into(registry, path, kind, point.name, point.module, origin):
            return
    registry.broken.append(
        Broken(point.name, point.value, f"entry point of {origin}: no @{kind} found in {point.module}")
    )


def _read_named(registry: Registry, path: Path) -> None:
    if not path.is_file():
        raise UserError(f"--method {path}: there is no such file; name a Python file with a @method class")
    before = len(registry.broken)
    found = _read_into(registry, path.resolve(), "method", path.stem.replace("_", "-"), "", "path")
    if len(registry.broken) > before:
        raise UserError(f"--method {path}: {registry.broken[-1].message}")
    if not found:
        raise UserError(f"--method {path}: it has no class under @method; `allwin new method TASK/NAME` writes one")


def _import_path(path: Path) -> ModuleType:
    """Imports a file that belongs to no package, once a process."""
    # The same in every process: objects of its classes travel between them by this name.
    name = f"allwin_path_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
