"""Emoji as pictures with an alpha channel, from packages of four designs; none of them is a Python package.

| design | package | its pictures |
| --- | --- | --- |
| `fluent` | npm's `@lobehub/fluent-emoji-3d` (MIT) | rendered in three dimensions, 256 x 256 |
| `twemoji` | npm's `@twemoji/svg` (code MIT, art CC BY 4.0) | drawn flat |
| `openmoji` | npm's `openmoji` (CC BY-SA 4.0) | drawn flat, with outlines |
| `noto` | Debian's `fonts-noto-color-emoji` (OFL 1.1) | bitmaps of a font, 136 x 128 |

npm's are found below `emoji-glyphs/` in the folder of data sets, where `INSTALL` puts them; Debian's where it lies, or
there too. Designs that are named and not here are said in one line.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench import MissingData
from bench.data import ENVIRONMENT, root
from bench.registry import unknown

FOLDER = "emoji-glyphs"

INSTALL = (
    f"npm install --ignore-scripts --prefix ${ENVIRONMENT}/{FOLDER} @lobehub/fluent-emoji-3d @twemoji/svg openmoji "
    "&& apt-get install fonts-noto-color-emoji"
)

SIDE = 256
"""Pixels to which glyphs without a size of their own are drawn."""

STRIKE = 109
"""The one size at which the bitmaps of Noto's font can be had."""

FONT = "NotoColorEmoji.ttf"
DEBIAN_FONT = Path("/usr/share/fonts/truetype/noto") / FONT

JOINER, VARIANT = "200d", "fe0f"


def read_glyphs(designs: tuple[str, ...], codes: tuple[str, ...]) -> list[Image.Image]:
    """All pictures that the designs have of code points such as `1f697` or `1f415-200d-1f9ba`, cut to what is seen.

    Raises `MissingData` in one line if a design is not here, and `UserError` if there is none of that name.
    """
    absent = [design for design in designs if not _place(design)]
    if absent:
        have = [design for design in DESIGNS if _place(design)]
        without = f", or do without: --set syn2real.designs=[{','.join(have)}]" if have else ""
        raise MissingData(f"emoji of {', '.join(absent)} are not here; `{INSTALL}` brings them{without}")
    found = [_glyph(design, code) for design in designs for code in codes]
    glyphs = [glyph for glyph in found if glyph is not None]
    if not glyphs:
        raise MissingData(f"none of {', '.join(designs)} has a picture of {', '.join(codes)}; `{INSTALL}` brings more")
    return glyphs


def _place(design: str) -> Path | None:
    """The file or folder of a design, if it is here."""
    if design not in DESIGNS:
        raise unknown("emoji design", design, DESIGNS, "allwin show syn2real")
    base = root()
    places = [base / FOLDER / "node_modules" / DESIGNS[design][0], base / FOLDER / DESIGNS[design][0]] if base else []
    if design == "noto":
        places.append(DEBIAN_FONT)
    return next((place for place in places if place.exists()), None)


@functools.cache
def _glyph(design: str, code: str) -> Image.Image | None:
    place = _place(design)
    assert place is not None
    picture = DESIGNS[design][1](place, code.lower())
    if picture is None:
        return None
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox()
    return picture.crop(box) if box else None


def _names(code: str) -> tuple[str, ...]:
    """How packages may write a code: the variation selector stands at its end, after its first part, or nowhere."""
    first, *rest = code.split("-")
    return code, f"{code}-{VARIANT}", "-".join([first, VARIANT, *rest])


def _bitmap(folder: Path, code: str) -> Image.Image | None:
    for name in _names(code):
        path = folder / f"{name}.webp"
        if path.exists():
            with Image.open(path) as picture:
                return picture.convert("RGBA")
    return None


def _vector(folder: Path, code: str) -> Image.Image | None:
    path = next((p for name in _names(code) for p in _cases(folder, name) if p.exists()), None)
    if path is None:
        return None
    try:
        import resvg_py
    except ImportError as error:
        raise MissingData(
            "emoji of twemoji and openmoji are vector drawings; `pip install resvg-py` brings what draws them, "
            "or do without: --set syn2real.designs=[fluent,noto]"
        ) from error
    drawn = resvg_py.svg_to_bytes(svg_path=str(path), width=SIDE, height=SIDE, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(drawn))).convert("RGBA")


def _cases(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.svg", folder / f"{name.upper()}.svg"


def _of_font(font: Path, code: str) -> Image.Image | None:
    """Only code points that the font joins to one picture: a sequence that it does not know gives several."""
    face = ImageFont.truetype(font, STRIKE)
    text = "".join(chr(int(part, 16)) for part in code.split("-"))
    if "-" not in code:
        text += chr(int(VARIANT, 16))
    width = face.getlength(text)
    if width > 1.5 * face.getlength(chr(0x1F600)):
        return None
    canvas = Image.new("RGBA", (2 * STRIKE, 2 * STRIKE))
    ImageDraw.Draw(canvas).text((STRIKE // 4, STRIKE // 4), text, font=face, embedded_color=True)
    return canvas if np.asarray(canvas)[..., 3].any() else None


DESIGNS: dict[str, tuple[str, Callable[[Path, str], Image.Image | None]]] = {
    "fluent": ("@lobehub/fluent-emoji-3d/assets", _bitmap),
    "twemoji": ("@twemoji/svg", _vector),
    "openmoji": ("openmoji/color/svg", _vector),
    "noto": (FONT, _of_font),
}
"""Where each lies below npm's folder of modules or `emoji-glyphs/`, and how it is read."""
