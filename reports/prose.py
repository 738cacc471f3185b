"""A docstring as a page shows it: paragraphs, numbered lists, and tables or code as they stand."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.text import lines

LONGEST = 20_000
"""Characters of a docstring that are shown."""

NUMBERED = re.compile(r"\d+\.\s+")


@dataclass(frozen=True)
class Block:
    """`code`: lines as they stand; `list`: one line an item; `text`: a paragraph."""

    kind: Literal["code", "list", "text"]
    lines: tuple[str, ...]


def blocks(doc: str) -> list[Block]:
    """The blocks of a docstring whose first line's indent is gone, in order."""
    found: list[Block] = []
    for paragraph in re.split(r"\n\s*\n", lines(doc[:LONGEST])):
        found += _blocks(paragraph.strip("\n").split("\n"))
    return found


def _blocks(paragraph: Sequence[str]) -> Iterator[Block]:
    if not any(line.strip() for line in paragraph):
        return
    indent = min(len(line) - len(line.lstrip()) for line in paragraph if line.strip())
    if indent >= 4:
        yield Block("code", tuple(line[indent:] for line in paragraph))
        return
    start = next((place for place, line in enumerate(paragraph) if NUMBERED.match(line)), len(paragraph))
    if start:
        yield Block("text", tuple(line.strip() for line in paragraph[:start]))
    if start < len(paragraph):
        numbers = itertools.accumulate(bool(NUMBERED.match(line)) for line in paragraph[start:])
        items = itertools.groupby(zip(numbers, paragraph[start:], strict=True), key=lambda pair: pair[0])
        texts = (" ".join(line.strip() for _, line in item) for _, item in items)
        yield Block("list", tuple(NUMBERED.sub("", text, count=1) for text in texts))
