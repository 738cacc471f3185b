"""The types of hyper-parameters: a range is data, used to validate, to word the error and to test it.

A method's or a task's settings are fields of a frozen dataclass. Their annotations are written with the names below (or
`int`, `float`, `bool`, `str`, `Literal`, `tuple`), so that the registry can validate a value without running the file.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Gt(0)]
"""A whole number above zero."""
Natural = Annotated[int, Ge(0)]
"""A whole number, zero included."""
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
UnitInterval = Annotated[float, Ge(0), Le(1)]
Fraction = Annotated[float, Gt(0), Lt(1)]
"""Strictly between zero and one."""

Presets = Mapping[str, Mapping[str, Any]]
"""Budget -> the fields that differ from the paper's defaults: sizes, steps and step sizes only."""

Search = Mapping[str, str]
"""Field -> where `allwin tune` looks for its value, such as `log(1e-5, 1e-2)`; never a size or a number of steps."""

NAMES: dict[str, Any] = {
    "Count": Count,
    "Natural": Natural,
    "Positive": Positive,
    "NonNegative": NonNegative,
    "UnitInterval": UnitInterval,
    "Fraction": Fraction,
    "Literal": Literal,
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "tuple": tuple,
}
"""What an annotation of a setting may be written with."""
