"""Where a search looks for the values of settings: text in, axes out, each held against its field."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bench.contracts import Budget
from bench.errors import UserError
from bench.registry import Entry, unknown
from bench.settings import Count
from bench.source import WRAPPED
from bench.validate import resolve

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"(log|uniform|int)\(\s*({NUMBER})\s*,\s*({NUMBER})\s*\)")
SPEC = "log(a,b), uniform(a,b), int(a,b) with a below b, or a JSON list of values"

MOST_EXACT = 2**53
"""Up to here every whole number is a float."""


@dataclass(frozen=True)
class Axis:
    """Where one field's value is looked for. Both ends belong to it."""

    kind: Literal["log", "uniform", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()


def parse_axis(text: str) -> Axis:
    """An axis from its text. Raises `ValueError` for anything else; nothing is evaluated."""
    text = text.strip()
    if text.startswith("["):
        try:
            choices = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("its values are no JSON") from None
        if not choices:
            raise ValueError("its list is empty")
        return Axis("choice", choices=tuple(choices))
    found = RANGE.fullmatch(text)
    if not found:
        raise ValueError("its form is another")
    low, high = float(found[2]), float(found[3])
    if not (low < high and math.isfinite(high - low)):
        raise ValueError("its ends are not finite and in order")
    match found[1]:
        case "log" if low > 0:
            return Axis("log", low, high)
        case "uniform":
            return Axis("uniform", low, high)
        case "int" if low.is_integer() and high.is_integer() and max(-low, high) < MOST_EXACT:
            return Axis("int", low, high)
    raise ValueError("log needs ends above 0, int whole ones")


def parse_space(assignments: Iterable[str]) -> dict[str, dict[str, str]]:
    """`nnpu.lr=log(1e-5,1e-2)` and its like, by method and field; the values stay text."""
    space: dict[str, dict[str, str]] = {}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        owner, _, field = target.strip().rpartition(".")
        if not (equals and owner and field):
            raise UserError(f"--space {assignment}: write it as --space METHOD.FIELD=SPEC; SPEC is {SPEC}")
        if field in space.setdefault(owner, {}):
            raise UserError(f"--space {assignment}: {owner}.{field} was given before; name it once")
        space[owner][field] = text.strip()
    return space


def axes_of(entry: Entry, texts: Mapping[str, str], budget: Budget) -> dict[str, Axis]:
    """The axes of a method's search, each held against its field's type and range.

    Raises `UserError` for a field that does not exist or that sets the budget, and for a value that a field refuses.
    """
    fields = {setting.name: setting for setting in entry.settings if setting.name != WRAPPED}
    axes = {}
    for name, text in texts.items():
        if name not in fields:
            raise unknown(f"setting of {entry.title}", name, fields, f"allwin show {entry.title}")
        if _counts(fields[name].type):
            raise UserError(
                f"{entry.title}: {name} is a count, which sets the budget that all candidates share; "
                "leave it out of the space"
            )
        try:
            axis = parse_axis(text)
        except ValueError as error:
            raise UserError(f"{entry.title}: {name}={text} is no range ({error}); write {SPEC}") from None
        ends = (int(axis.low), int(axis.high)) if axis.kind == "int" else (axis.low, axis.high)
        for value in axis.choices or ends:
            try:
                resolve(entry, budget, {name: value})
            except UserError as error:
                # Its mend is one of `--set`.
                raise UserError(f"{str(error).partition('; ')[0]}; change {name}={text}") from None
        axes[name] = axis
    return axes


def _counts(kind: Any) -> bool:
    return kind == Count or any(_counts(inner) for inner in get_args(kind))


def encoded(axis: Axis, value: Any) -> Any:
    """A value for a searcher that would take a list for a part of its own configuration."""
    return json.dumps(value) if axis.kind == "choice" else value


def decoded(axes: Mapping[str, Axis], config: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate's values, as plain JSON types."""
    values = {}
    for name, axis in axes.items():
        value = config[name]
        # numpy's numbers know how to become plain ones.
        values[name] = json.loads(value) if axis.kind == "choice" else getattr(value, "item", lambda v=value: v)()
    return values
