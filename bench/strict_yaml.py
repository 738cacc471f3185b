"""YAML as allwin reads it: plain values, whoever wrote them. A short text cannot become a huge value, nor run code."""

import re
from typing import Any

import yaml

from bench.record import LARGEST

MOST_VALUES = 100_000
"""In one document, each alias counted as all that it stands for: nested aliases multiply."""

DEEPEST = 50
"""Lists and mappings inside one another."""

SCIENTIFIC = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
"""YAML 1.1 takes `1e-3` for a text."""


class Malformed(ValueError):
    """A text that is no YAML, or more than plain values. One line, with line and column where they are known."""


class _Loader(yaml.SafeLoader):
    """Refuses what a suite has no use for: tags, keys written twice, endless or exploding aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}
        """By node: how many values it stands for."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        before = self._values
        if isinstance(event, yaml.AliasEvent) and event.anchor in self.anchors:
            anchored = id(self.anchors[event.anchor])
            if anchored not in self._sizes:
                raise _refusal(f"the alias *{event.anchor} stands inside what it stands for", event)
            self._values += self._sizes[anchored]
        else:
            self._values += 1
        if self._values > MOST_VALUES:
            raise _refusal(f"there are more than {MOST_VALUES:,} values, aliases counted in full", event)
        if self._depth == DEEPEST:
            raise _refusal(f"lists and mappings nest deeper than {DEEPEST} levels", event)
        if getattr(event, "tag", None):
            raise _refusal(f"the tag {event.tag} has no meaning here, only plain values have", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._sizes.setdefault(id(node), self._values - before)
        return node

    def construct_whole(self, node: Any) -> int:
        number: int = self.construct_yaml_int(node)
        if abs(number) > LARGEST:
            raise _refusal("a whole number is beyond 64 bits", node)
        return number

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict)):
                raise _refusal("a key must be a word", key_node)
            if key in seen:
                raise _refusal(f"the key {key} stands twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", SCIENTIFIC, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)


def _refusal(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, place.start_mark)


def parse_yaml(text: str) -> Any:
    """The value that a text stands for; `Malformed` where it is no YAML, or more than plain values."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise Malformed(f"{place}{problem}") from error
    except (ValueError, OverflowError) as error:
        # A date or a number that looks like one and is none: `2026-13-45`.
        raise Malformed(str(error)) from error
