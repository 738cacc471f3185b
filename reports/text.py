"""Text from records is foreign: it may be huge, hold control characters, or try to be markup."""

import re
import unicodedata

LABEL = 60
"""Longest label in a table or a figure, in characters."""

MESSAGE = 300
TRACEBACK = 2_000


def printable(text: str) -> str:
    """On one line, without characters that steer a terminal, a browser or the direction of reading."""
    if text.isascii() and text.isprintable():
        return text.strip()
    return "".join(" " if character.isspace() else character for character in text if _shown(character)).strip()


def lines(text: str) -> str:
    """Like `printable`, but line breaks and indents stay."""
    return "\n".join("".join(c for c in line.expandtabs(4) if _shown(c)) for line in text.splitlines())


def _shown(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] != "C"


def shortened(text: str, length: int) -> str:
    """The start and the end of a text that is too long."""
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def label(text: str) -> str:
    return shortened(printable(text[: 100 * LABEL]), LABEL)


def message(text: str) -> str:
    return shortened(printable(text[: 100 * MESSAGE]), MESSAGE)


def traceback_tail(text: str, length: int = TRACEBACK) -> str:
    """The end, which names the error, with a word on what was left out."""
    if len(text) > length:
        return f"[{len(text) - length:,} characters before this are in the record]\n{lines(text[-length:])}"
    return lines(text)


def slug(text: str) -> str:
    """For file names and anchors: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:60].strip("-") or "x"
