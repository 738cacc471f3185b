"""How numbers are printed: as many digits as their interval carries, prefixes in the header, a true minus sign."""

import math
from collections.abc import Iterable, Sequence
from statistics import median

MINUS = "\N{MINUS SIGN}"

SCALED = {"MAC": 1000, "parameter": 1000, "byte": 1024}
"""Units that take a prefix, and its base."""

DECIMAL_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def scale(unit: str, values: Iterable[float]) -> tuple[float, str]:
    """What to divide a column by, and its unit then: 1e6 and `M` for MACs around a million."""
    if unit not in SCALED:
        return 1.0, unit
    base = SCALED[unit]
    names = BINARY_UNITS if base == 1024 else DECIMAL_PREFIXES
    sizes = [abs(value) for value in values if value]
    power = max(0, math.floor(math.log(min(sizes), base) + 1e-9)) if sizes else 0
    # The smallest decides, so that 32 parameters are not 0.032 k, unless the largest would need seven digits then.
    while sizes and max(sizes) >= 1e6 * base**power:
        power += 1
    power = min(power, len(names) - 1)
    return float(base**power), names[power]


def decimals(means: Sequence[float], half_widths: Sequence[float]) -> int:
    """Decimals of a column: two significant digits of its typical half width, or four of its largest value."""
    widths = [width for width in half_widths if width > 0]
    largest = max((abs(mean) for mean in means), default=0.0)
    if widths:
        places = 1 - math.floor(math.log10(median(widths)))
    elif largest > 0:
        places = 3 - math.floor(math.log10(largest))
    else:
        places = 1
    return min(max(places, 0), 6)


def fixed(value: float, places: int) -> str:
    """With so many decimals; where that would print a value as zero that is none, in powers of ten."""
    text = f"{value:,.{places}f}"
    if value and not float(text.replace(",", "")):
        text = f"{value:.1e}"
    elif not float(text.replace(",", "")):
        text = text.lstrip("-")
    return text.replace("-", MINUS) if not text.startswith("-") or "e" in text else MINUS + text[1:]


def significant(value: float, digits: int = 3) -> str:
    """With so many significant digits; powers of ten only for the very small and the very large."""
    if not value:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if not -4 <= exponent < 9:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return f"{rounded:,.{max(digits - 1 - exponent, 0)}f}".replace("-", MINUS)


def along(value: float, digits: int = 3) -> str:
    """A place along an axis: whole numbers as such."""
    whole = value == int(value) and abs(value) < 1e6
    return f"{int(value):,}".replace("-", MINUS) if whole else significant(value, digits)


def signed(value: float, places: int) -> str:
    """With its sign always told."""
    text = fixed(value, places)
    return text if value < 0 else f"+{text}"


def p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
