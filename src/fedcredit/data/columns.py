"""Columns of a loan table, as a public schema declares them.

Ranges, categories and imputation constants are public statements about the world, never fitted on
the table itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(strict=True, extra="forbid")
LARGEST = 2.0**53
OTHER = "other"

Label = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


def as_label(value: str | int) -> str:
    """Write a category or label value as text, as ``portfolio`` reads cells: ``1`` is ``"1"``, ``True`` is ``"true"``.

    Args:
        value: text, a whole number or a boolean.

    Returns:
        The text.
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def _labels(values: tuple[bool | int | str, ...]) -> tuple[bool | int | str, ...]:
    texts = [as_label(value) for value in values]
    if len(set(texts)) < len(texts):
        raise ValueError("a value is listed twice")
    if any(not text for text in texts):
        raise ValueError("an empty text is not a value; it means missing")
    return values


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise ValueError(f"the range [{pair[0]:g}, {pair[1]:g}] is empty; write [lowest, highest]")
    return pair


Range = Annotated[tuple[Number, Number], AfterValidator(_ordered)]
Values = Annotated[tuple[bool | int | str, ...], Field(min_length=1, max_length=10_000), AfterValidator(_labels)]
Missing = Literal["error", "allowed"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NumberColumn:
    """A number with its unit and public range; ``outside`` says what a value beyond the range does."""

    name: Label
    kind: Literal["number"] = "number"
    range: Range
    unit: str | None = None
    outside: Literal["clip", "error"] = "clip"
    missing: Missing = "error"
    impute: Number | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FlagColumn:
    """A column of 0 and 1, or of booleans."""

    name: Label
    kind: Literal["flag"] = "flag"
    missing: Missing = "error"
    impute: Literal[0, 1] | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CategoryColumn:
    """A column of listed values; ``unknown`` says whether an unlisted one is ``other`` or an error."""

    name: Label
    kind: Literal["category"] = "category"
    categories: Values
    unknown: Literal["other", "error"] = "other"
    missing: Missing = "error"
    impute: bool | int | str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories as text."""
        return tuple(as_label(value) for value in self.categories)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KeyColumn:
    """A key of a borrower, a lender or a time: never an input of the network."""

    name: Label
    kind: Literal["key"] = "key"
    missing: Missing = "error"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IgnoredColumn:
    """A column that may stand in the table and is never read; ``reason`` says why."""

    name: Label
    kind: Literal["ignored"] = "ignored"
    reason: str | None = None


Column = Annotated[NumberColumn | FlagColumn | CategoryColumn | KeyColumn | IgnoredColumn, Field(discriminator="kind")]
NumericColumn = NumberColumn | FlagColumn
