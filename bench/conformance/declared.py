"""Rules on what an entry declares."""

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from bench.conformance.rules import Broken, rule, told
from bench.conformance.subject import Subject
from bench.contracts import BUDGETS
from bench.errors import UserError
from bench.source import WRAPPED
from bench.space import axes_of
from bench.validate import construct, resolve

KEPT = frozenset({"trajectory"})
"""Switches of tasks that say which networks of a fit are kept to be scored: how much that is goes by the budget, and
no result but an oracle's depends on it."""


@rule(
    "imports",
    "its file can be imported",
    cause="a package that is not installed, or code that runs on import",
)
def imports(subject: Subject) -> str:
    return f"{subject.entry.import_class().__name__} of {subject.entry.path.name}"


@rule(
    "source",
    "what is read from the source is what the imported class has",
    cause="a field, preset or text that is no literal in the body of the class or of a dataclass above it",
    needs=("imports",),
)
def source(subject: Subject) -> str:
    entry = subject.entry
    cls: Any = entry.import_class()
    settings = [setting for setting in entry.settings if setting.name != WRAPPED]
    fields = {item.name: item.default for item in dataclasses.fields(cls) if item.name != WRAPPED}
    _same("fields", [setting.name for setting in settings], list(fields))
    hints = typing.get_type_hints(cls, include_extras=True)
    for setting in settings:
        _same(f"default of {setting.name}", setting.default, fields[setting.name])
        _same(f"type of {setting.name}", setting.type, hints[setting.name])
    _same("presets", {name: dict(diff) for name, diff in entry.presets.items()}, dict(cls.presets))
    texts = [text or "" for text in (inspect.getdoc(cls), inspect.getdoc(inspect.getmodule(cls)))]
    if entry.summary not in [" ".join(text.split("\n\n")[0].split()) for text in texts]:
        raise Broken(f"the summary is read as {entry.summary!r}, and the class says otherwise")
    _same("search", dict(entry.search), dict(getattr(cls, "search", {})))
    if entry.kind == "task":
        _same("metrics", list(entry.metrics), list(cls.metrics))
        _same("cards", list(entry.cards), list(cls.cards))
    else:
        _same("oracle", entry.oracle, cls.declared_oracle)
    return f"{len(fields)} fields, presets for {' '.join(entry.presets) or 'no budget'}"


def _same(what: str, read: Any, imported: Any) -> None:
    if type(read) is not type(imported) or read != imported:
        raise Broken(f"{what}: the source reads {read!r}, the class has {imported!r}")


@rule(
    "constructs",
    "it can be made from its defaults",
    cause="a default that is outside its own range, or a failing `__post_init__`",
    needs=("imports",),
)
def constructs(subject: Subject) -> str:
    return f"{type(subject.build('paper')).__name__} with its defaults"


@rule(
    "frozen",
    "it cannot change once it is made",
    cause="write `@dataclass(frozen=True)`",
    needs=("constructs",),
)
def frozen(subject: Subject) -> str:
    instance = subject.build("paper")
    name = next((setting.name for setting in subject.entry.settings), "presets")
    try:
        setattr(instance, name, getattr(instance, name))
    except dataclasses.FrozenInstanceError:
        return f"setting {name} is refused"
    raise Broken(f"{name} could be set on a finished instance")


@rule(
    "presets",
    "its presets are valid and change sizes, steps and step sizes only, a task's also what is kept of a fit",
    cause="a switch belongs in a suite or on the command line, not in a budget's preset",
    needs=("constructs",),
)
def presets(subject: Subject) -> str:
    types = {setting.name: setting.type for setting in subject.entry.settings}
    free = KEPT if subject.entry.kind == "task" else frozenset()
    for budget in BUDGETS:
        for name in subject.entry.presets.get(budget, {}).keys() - free:
            if types[name] in (bool, str) or typing.get_origin(types[name]) is Literal:
                raise Broken(f"the preset of {budget} changes {name}, which is a switch")
        try:
            subject.build(budget)
        except Exception as error:
            raise Broken(f"the preset of {budget}: {told(error)}", "a value outside its field's range") from error
    return f"presets for {' '.join(subject.entry.presets) or 'no budget'}"


@rule(
    "search",
    "what it declares to search are fields of its own, in their range, and none that sets the budget",
    cause="a name or value that is not the field's; sizes, steps and epochs are the budget's (docs/tuning.md)",
    needs=("constructs",),
)
def search(subject: Subject) -> str:
    entry = subject.entry
    try:
        axes = axes_of(entry, entry.search, "paper")
    except UserError as error:
        raise Broken(str(error)) from error
    return f"{', '.join(axes) or 'nothing'} to search"


@rule(
    "ranges",
    "a value outside a setting's range is refused in one line that names it",
    cause="declare the range in the field's type (Count, Positive, UnitInterval, ...), not in code",
    needs=("constructs",),
)
def ranges(subject: Subject) -> str:
    entry, tried, free = subject.entry, 0, []
    for setting in entry.settings:
        if setting.name == WRAPPED:
            continue
        for value in outside(setting.type):
            tried += 1
            if _refusal(subject, setting.name, value) is None:
                raise Broken(f"{setting.name}={value!r} is accepted")
        if setting.type in (int, float):
            free.append(setting.name)
            for number in (-1, 0):
                _refusal(subject, setting.name, number)
    return f"{tried} values refused" + (f"; no range is declared for {' '.join(free)}" if free else "")


def _refusal(subject: Subject, name: str, value: Any) -> str | None:
    """How a value is refused, or None if it is taken. Raises `Broken` for any other way of failing."""
    try:
        parameters = resolve(subject.entry, "paper", {name: value})
        if not subject.entry.wraps:
            construct(subject.registry, subject.entry, parameters)
    except UserError as error:
        if name in str(error) and "\n" not in str(error):
            return str(error)
        raise Broken(f"{name}={value!r} is refused by {str(error)!r}, which is not one line that names it") from error
    except Exception as error:
        raise Broken(f"{name}={value!r} is let through, and then raises {told(error)}") from error
    return None


def outside(kind: Any) -> Iterator[Any]:
    """Values that a setting of this type must refuse: just past each end of its range, and no value at all."""
    yield {"no": "value"}
    if typing.get_origin(kind) is tuple:
        yield from ([value] for value in outside(typing.get_args(kind)[0]))
    if typing.get_origin(kind) is typing.Annotated:
        yield from (_past(bound) for bound in typing.get_args(kind)[1:])


def _past(bound: Any) -> Any:
    """The nearest value that a bound excludes, or one beyond it."""
    match bound:
        case Gt(gt=limit) | Lt(lt=limit):
            return limit
        case Ge(ge=limit):
            return limit - 1  # type: ignore[operator]
        case Le(le=limit):
            return limit + 1  # type: ignore[operator]
    raise AssertionError(f"bench.settings has a bound that this does not know: {bound}")
