"""Resolves and validates settings from what the source says of them, without importing the file."""

import functools
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import UserError
from bench.registry import Entry, Registry, unknown
from bench.source import WRAPPED

DEEPEST_WRAPPING = 8
"""Methods around one another, at most."""

WORDS = {
    "greater_than": "be above {gt}",
    "greater_than_equal": "be at least {ge}",
    "less_than": "be below {lt}",
    "less_than_equal": "be at most {le}",
    "literal_error": "be {expected}",
    "int_type": "be a whole number",
    "int_from_float": "be a whole number",
    "float_type": "be a number",
    "finite_number": "be finite",
    "bool_type": "be true or false",
    "string_type": "be a text",
    "tuple_type": "be a list",
}
"""pydantic's error types in our words."""


@functools.cache
def _adapter(entry: "_ByIdentity", name: str) -> Any:
    """Validates one field of one entry. Made once: that takes a millisecond, and a grid asks thousands of times."""
    from pydantic import ConfigDict, TypeAdapter, create_model

    setting = next(setting for setting in entry.entry.settings if setting.name == name)
    # A one-field model, since a bare adapter of a plain type takes no configuration.
    config = ConfigDict(strict=True, allow_inf_nan=False)
    return TypeAdapter(create_model("Value", __config__=config, value=(setting.type, ...)))


@dataclass(frozen=True)
class _ByIdentity:
    """An entry as a key of the cache: its fields are not hashable."""

    entry: Entry

    def __hash__(self) -> int:
        return id(self.entry)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.entry is other.entry


def check_value(entry: Entry, name: str, value: Any) -> Any:
    """The value as its field wants it (1 becomes 1.0, a list a tuple); `UserError` in one line otherwise."""
    from pydantic import ValidationError

    try:
        text = json.dumps({"value": value})
        return _adapter(_ByIdentity(entry), name).validate_json(text).value
    except ValidationError as error:
        first = error.errors()[0]
        # Only our own words have places to fill in: a message of pydantic's may quote any text, brackets included.
        known = WORDS.get(first["type"])
        words = known.format(**first.get("ctx", {})) if known else f"be valid ({first['msg']})"
        default = next(setting.default for setting in entry.settings if setting.name == name)
        hint = f"--set {entry.name}.{name}={json.dumps(_plain(default))}"
        raise UserError(f"{entry.title}: {name} must {words}, got {reprlib.repr(value)}; set it with {hint}") from None
    except TypeError as error:
        raise UserError(f"{entry.title}: {name} must be a plain value, got {reprlib.repr(value)}; quote it") from error


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def resolve(entry: Entry, budget: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a task or method: its default, then the budget's preset, then the overrides, validated.

    JSON types only: tuples become lists, so that a spec read back from disk equals the one written.
    """
    names = [setting.name for setting in entry.settings if setting.name != WRAPPED]
    for name in overrides:
        if name not in names:
            raise unknown(f"setting of {entry.title}", name, names, f"allwin show {entry.title}")
    given = dict(entry.presets.get(budget, {})) | dict(overrides)
    resolved = {}
    for setting in entry.settings:
        if setting.name != WRAPPED:
            value = check_value(entry, setting.name, given.get(setting.name, setting.default))
            resolved[setting.name] = _plain(value)
    return resolved


def split_reference(reference: str) -> tuple[str, str]:
    """`outer(inner)` in its two names; the second is empty for a method that wraps none."""
    outer, bracket, rest = reference.strip().partition("(")
    if bracket and not rest.endswith(")"):
        raise UserError(f"method {reference}: a bracket is not closed; write outer(inner)")
    return outer.strip(), rest[:-1].strip() if bracket else ""


def entries_of(registry: Registry, task: str, reference: str) -> list[Entry]:
    """The methods that a reference names, outermost first; `UserError` where wrapping does not fit."""
    if reference.count("(") > DEEPEST_WRAPPING:
        raise UserError(f"method {reprlib.repr(reference)}: it wraps more than {DEEPEST_WRAPPING} methods; wrap fewer")
    outer, inner = split_reference(reference)
    entry = registry.method(task, outer)
    if entry.wraps and not inner:
        raise UserError(f"{entry.title} wraps another method; write {entry.name}(METHOD)")
    if inner and not entry.wraps:
        raise UserError(f"{entry.title} wraps no other method; write {entry.name} alone")
    return [entry, *(entries_of(registry, task, inner) if inner else [])]


def construct(registry: Registry, entry: Entry, parameters: Mapping[str, Any], inner: str = "") -> Any:
    """An instance of a task or method with these resolved parameters; imports its file.

    `inner` is the reference of the wrapped method, whose parameters stand under `base`.
    """
    words = {}
    for setting in entry.settings:
        if setting.name != WRAPPED:
            words[setting.name] = check_value(entry, setting.name, parameters[setting.name])
    if entry.wraps:
        base, deeper = split_reference(inner)
        words[WRAPPED] = construct(registry, registry.method(entry.task, base), parameters[WRAPPED], deeper)
    return entry.import_class()(**words)
