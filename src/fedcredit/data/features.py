"""Derived columns and encoded features, as a public schema declares them.

Both vocabularies are small and closed: a schema file is data, and no expression in it is ever
evaluated. Every operation reads one row alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from fedcredit.data.columns import STRICT, Label, Number, Range, Values

Columns = Annotated[tuple[Label, ...], Field(min_length=1, max_length=1000)]
Scale = Annotated[float, Field(ge=1e-18, le=1e6, allow_inf_nan=False)]


def _rising(cuts: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(cuts)):
        raise ValueError("the cuts do not rise; write each once, lowest first")
    return cuts


Cuts = Annotated[tuple[Number, ...], Field(min_length=1, max_length=1000), AfterValidator(_rising)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Ratio:
    """First column over second; ``otherwise`` where the second is zero or below."""

    name: Label
    kind: Literal["ratio"]
    of: tuple[Label, Label]
    otherwise: Number
    range: Range


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Summary:
    """Sum, mean, largest or smallest of several columns of one row."""

    name: Label
    kind: Literal["sum", "mean", "max", "min"]
    of: Columns
    range: Range


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Tally:
    """How many columns of one row are at least ``value``, or which share of them equals it."""

    name: Label
    kind: Literal["count_at_least", "share_equal"]
    of: Columns
    value: Number

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest possible value."""
        return (0.0, float(len(self.of)) if self.kind == "count_at_least" else 1.0)


Derived = Annotated[Ratio | Summary | Tally, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScaledNumber:
    """``(t(clip(x, range)) - centre) * scale`` with t the identity or ``log1p``."""

    kind: Literal["linear", "log1p"]
    of: Label
    name: Label | None = None
    range: Range | None = None
    centre: Number = 0.0
    scale: Scale = 1.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Thermometer:
    """One flag per public cut: whether the number is at least the cut."""

    kind: Literal["thermometer"] = "thermometer"
    of: Label
    cuts: Cuts
    name: Label | None = None
    centre: Number = 0.0
    scale: Scale = 1.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OneHot:
    """One flag per category and, unless ``other`` is false, a last one for every other value."""

    kind: Literal["one_hot"] = "one_hot"
    of: Label
    categories: Values | None = None
    other: bool = True
    name: Label | None = None
    centre: Number = 0.0
    scale: Scale = 1.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Equals:
    """Whether a number or category equals one of the values."""

    kind: Literal["equals"] = "equals"
    of: Label
    values: Annotated[tuple[bool | int | float | str, ...], Field(min_length=1, max_length=1000)]
    name: Label | None = None
    centre: Number = 0.0
    scale: Scale = 1.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AtLeast:
    """Whether a number is at least ``value``."""

    kind: Literal["at_least"] = "at_least"
    of: Label
    value: Number
    name: Label | None = None
    centre: Number = 0.0
    scale: Scale = 1.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IsMissing:
    """Whether the cell is missing."""

    kind: Literal["missing"] = "missing"
    of: Label
    name: Label | None = None
    centre: Number = 0.0
    scale: Scale = 1.0


Feature = Annotated[ScaledNumber | Thermometer | OneHot | Equals | AtLeast | IsMissing, Field(discriminator="kind")]
