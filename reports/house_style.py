"""One look for all figures: colours that colour-blind readers tell apart, text kept as text, the same bytes always."""

import html
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
import seaborn
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1d232b", "#5a6472", "#e2e5e9", "#fefefe"

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b4c9a", "#8a6d3b")
"""Okabe and Ito's palette without yellow and black, which vanish on light and dark paper, and two darker ones."""

OTHERS = "#9aa3ae"
"""Rows beyond the palette."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), "-", (0, (5, 1.5)), (0, (1.5, 1.2)), "-")
"""Never colour alone: each series has its own marker and dash as well."""

THEME = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    OTHERS: "--others",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)},
}
"""The page's own colours, which a dark page sets otherwise."""

WIDTH, HEIGHT = 4.6, 3.1
"""Inches."""

SETTINGS: Any = {
    # What seaborn's grid style leaves open, or sets otherwise than this house.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9,
    # Labels come from records: a `$` in one is no formula.
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "path.simplify": True,
}


@contextmanager
def canvas(name: str, height: float = HEIGHT) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes in the house style; its pixels are points. Rendering too is to happen inside."""
    with _style(name):
        figure = Figure(figsize=(WIDTH, height), dpi=72)
        FigureCanvasSVG(figure)
        yield figure, figure.add_axes((0.13, 0.5 / height, 0.83, 1 - 0.66 / height))


@contextmanager
def _style(name: str) -> Iterator[None]:
    style = {**seaborn.axes_style("whitegrid"), **SETTINGS, "svg.hashsalt": name}
    with mpl.rc_context(style), warnings.catch_warnings():
        # A label may hold any letter of the world; the reader's own fonts will draw it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def render(figure: Figure, name: str, title: str, description: str) -> str:
    """The SVG, with a title and a description for whoever cannot see it. `name` makes its ids unique in a page."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = buffer.getvalue()
    svg = re.sub(r"<!DOCTYPE.*?>\s*", "", svg, count=1, flags=re.DOTALL)
    svg = _unique_ids(svg, name)
    svg = re.sub(r'(?<= d=")[^"]+', lambda path: _rounded(path[0]), svg)
    labels = (
        f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-desc">{html.escape(description)}</desc>'
    )
    opened = f'<svg role="img" aria-labelledby="{name}-title {name}-desc" '
    return re.sub(r"<svg ([^>]*)>", lambda tag: f"{opened}{tag[1]}>{labels}", svg, count=1)


def printed(figure: Figure, name: str) -> tuple[bytes, bytes]:
    """The same figure as PDF, its letters embedded as TrueType, and as PNG with two pixels a point. No dates inside."""
    pdf, png = BytesIO(), BytesIO()
    with _style(name):
        figure.savefig(pdf, format="pdf", metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
        figure.savefig(png, format="png", dpi=2 * 72, metadata={"Software": None})
    return pdf.getvalue(), png.getvalue()


def themed(svg: str) -> str:
    """The SVG for inside a page: its colours follow the page's, and nothing of it names an address."""
    inner = svg[svg.index("<svg ") :]
    inner = re.sub(r' xmlns(:xlink)?="[^"]*"', "", inner)
    inner = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", inner, count=1)
    inner = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", inner, count=1)
    inner = inner.replace("xlink:href", "href")
    # Its style sheet would hold for the whole page; the page has the same rule for its figures.
    inner = re.sub(r"<style.*?</style>", "", inner, count=1, flags=re.DOTALL)
    inner = re.sub(r">\s+<", "><", inner)
    return re.sub(
        r"(fill|stroke): (#[0-9a-f]{6})",
        lambda found: f"{found[1]}: var({THEME[found[2]]})" if found[2] in THEME else found[0],
        inner,
    )


def _unique_ids(svg: str, name: str) -> str:
    """Ids that something refers to get the figure's name in front; the others go."""
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))

    def renamed(found: re.Match[str]) -> str:
        return f' id="{name}-{found[1]}"' if found[1] in used else ""

    svg = re.sub(r' id="([^"]*)"', renamed, svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)


def _rounded(path: str) -> str:
    """Tenths of a point are finer than any screen, and such numbers are most of a page's bytes."""
    shorter = re.sub(r"-?\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), path)
    return " ".join(shorter.split())
