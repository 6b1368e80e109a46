"""Figures as data: what is drawn, in words and numbers, before anything draws it.

A figure is declared once and drawn twice: as inline SVG in a page, and by matplotlib for a paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fedcredit.credit.discrimination import Interval

MAX_ROWS = 30


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One figure at its place, with its interval where it has one, and what a reader who points at it is told."""

    x: float
    y: float
    told: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Marks of one model or arm. ``place`` fixes its colour and marker, so that it looks the same everywhere.

    ``kind`` is ``"points"``, ``"line"`` (points that are joined) or ``"bars"``.
    """

    label: str
    place: int
    marks: tuple[Mark, ...]
    kind: str = "points"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Traces on common axes.

    ``label`` names the vertical axis; ``dashes`` are lines ``(x0, y0, x1, y1)`` to hold marks against;
    ``from_zero`` starts the vertical axis at 0.
    """

    label: str
    traces: tuple[Trace, ...]
    dashes: tuple[tuple[float, float, float, float], ...] = ()
    from_zero: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Panels below each other that share their horizontal axis.

    ``ticks`` are places and texts where the axis is not one of plain numbers. ``is_square`` gives both axes one scale.
    ``hidden`` are labels of traces that a page shows only when they are asked for.
    """

    name: str
    title: str
    description: str
    axis: str
    panels: tuple[Panel, ...]
    ticks: tuple[tuple[float, str], ...] = ()
    is_square: bool = False
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Series:
    """One figure a row with its interval; ``None`` where a row has none.

    ``kind`` is ``"points"``, ``"bars"`` or ``"limits"``, which are short upright strokes.
    """

    label: str
    place: int
    values: Sequence[float | None]
    intervals: Sequence[Interval | None]
    kind: str = "points"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A figure with one row a lender or an arm.

    ``plain`` stands for labels that a font cannot write; ``absent`` is said in a row without a figure; ``is_ratio`` are
    figures that are right at 1, on a logarithmic axis.
    """

    name: str
    title: str
    description: str
    axis: str
    labels: tuple[str, ...]
    plain: tuple[str, ...]
    series: tuple[Series, ...]
    absent: str
    is_ratio: bool = False


Figure = Chart | Rows


def rows_figure(
    name: str,
    title: str,
    axis: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    plain: Sequence[str] = (),
    is_ratio: bool = False,
    description: str = "",
) -> Rows | None:
    """Declare a figure of rows.

    Args:
        name: of its file.
        title: above it.
        axis: what the figures are.
        labels: of the rows, top down; a second line of a label is set smaller.
        series: one or more models, each with one figure a row.
        plain: labels for fonts that lack letters; numbers by default.
        is_ratio: whether the figures are ratios, which are right at 1.
        description: what it shows; written from the series by default.

    Returns:
        The figure, or ``None`` if no row has a value.
    """
    if not any(value is not None for item in series for value in item.values):
        return None
    level = next((interval for item in series for interval in item.intervals if interval is not None), None)
    brackets = "" if level is None else f", {100 * level.confidence:g} % intervals"
    return Rows(
        name=name,
        title=title,
        description=description or f"{axis}{brackets}, one row each: {', '.join(item.label for item in series)}.",
        axis=f"{axis}{brackets}",
        labels=tuple(labels),
        plain=tuple(plain) or tuple(f"no. {number}" for number in range(1, len(labels) + 1)),
        series=tuple(series),
        absent="no default in held-out loans" if is_ratio else "no AUC: one outcome only",
        is_ratio=is_ratio,
    )


def ends(series: Sequence[Series]) -> list[float]:
    """Return all values of rows and both ends of their intervals."""
    found = [value for item in series for value in item.values if value is not None]
    spans = [span for item in series for span in item.intervals if span is not None]
    return found + [span.lower for span in spans] + [span.upper for span in spans]


def reach(panel: Panel) -> tuple[float, float]:
    """Return the range that a panel's vertical axis must show: marks, their intervals and dashes.

    Args:
        panel: with at least one mark.

    Returns:
        Low and high, apart even where all values are one.
    """
    values = list(_heights(panel))
    low, high = min(values), max(values)
    margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.1
    if panel.from_zero and low >= 0.0:
        return 0.0, high + margin
    return low - margin, high + margin


def even_ticks(low: float, high: float, most: int) -> list[float]:
    """Choose round numbers in a range.

    Args:
        low: the lower end.
        high: the upper end, above it.
        most: how many, at most; at least 2.

    Returns:
        Multiples of 1, 2 or 5 times a power of ten, rising.
    """
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(size for factor in (1, 2, 5, 10, 20) if (high - low) / (size := factor * step) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def ratio_ticks(low: float, high: float) -> list[float]:
    """Choose ticks of a logarithmic axis around 1.

    Args:
        low: the lower end, above 0.
        high: the upper end.

    Returns:
        Ticks within.
    """
    ticks = next(ticks for reach, ticks in _RATIO_TICKS if high / low <= reach)
    return [tick for tick in ticks if low <= tick <= high]


def ratio_ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of a ratio axis, which shows 1 and both sides of it."""
    return min([0.8, *values]) / 1.08, max([1.25, *values]) * 1.08


# Ticks of a ratio axis: (up to this ratio of its ends, these ticks).
_RATIO_TICKS = (
    (2.5, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0)),
    (30.0, (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0)),
    (float("inf"), (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)),
)


def _heights(panel: Panel) -> Iterator[float]:
    for trace in panel.traces:
        for mark in trace.marks:
            yield from (end for end in (mark.y, mark.low, mark.high) if end is not None)
        if trace.kind == "bars":
            yield 0.0
    for _, first, _, last in panel.dashes:
        yield from (first, last)
