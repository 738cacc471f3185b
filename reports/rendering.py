"""From a template to a page that stands alone: style and script inside, everything else escaped."""

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.board import MARKS, MEANINGS
from reports.text import message

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Link:
    """A place in the navigation; `current` marks the page that it stands on."""

    href: str
    text: str
    current: bool = False


def render(template: str, title: str, *, brand: str, trail: Sequence[Link] = (), **facts: Any) -> str:
    """The whole document. `trail` leads from a site's overview to the page; every text may be foreign."""
    return _environment().get_template(template).render(title=message(title), brand=brand, trail=trail, **facts)


def inline_code(text: str) -> Markup:
    """Text whose `backticks` become code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    environment.filters["inline_code"] = inline_code
    environment.globals |= {
        "marks": MARKS,
        "meanings": MEANINGS,
        "style": Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    }
    return environment


def _template(name: str) -> str:
    """Without the indents, which would be half of a long table."""
    return re.sub(r"(?m)^ +", "", (TEMPLATES / name).read_text(encoding="utf-8"))
