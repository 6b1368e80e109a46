"""The parts of a portfolio that its public schema names."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.columns import CategoryColumn, FlagColumn
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.schema import Schema
from fedcredit.data.schema_parts import SegmentColumn

MISSING = "missing"
UNLISTED = "not listed"


def segment_names(schema: Schema, segment: SegmentColumn) -> tuple[str, ...]:
    """Return the names of the parts that a schema declares, in its order.

    Args:
        schema: the schema.
        segment: one of its segments.

    Returns:
        The names; none for a key without cuts, whose values are its parts. A band holds its lower end, not its upper.
    """
    if segment.names:
        return segment.names
    if segment.cuts is not None:
        cuts = [f"{cut:,.10g}" for cut in segment.cuts]
        between = [f"{low} to {high}" for low, high in pairwise(cuts)]
        return (f"below {cuts[0]}", *between, f"{cuts[-1]} and above")
    column = schema.column(segment.of)
    if isinstance(column, FlagColumn):
        return ("no", "yes")
    return column.labels if isinstance(column, CategoryColumn) else ()


def segments_of(portfolio: Portfolio, segment: SegmentColumn, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    """Name the part that each loan belongs to.

    Args:
        portfolio: the loans.
        segment: one of its schema's segments.
        rows: places of loans in the portfolio, ``[rows]``.

    Returns:
        Names, ``[rows]``; ``"missing"`` for a missing cell (or, of a key with cuts, one that is no number), and
        ``"not listed"`` for an unlisted category.
    """
    cells, names = portfolio.column(segment.of)[rows], segment_names(portfolio.schema, segment)
    column = portfolio.schema.column(segment.of)
    if segment.cuts is not None or isinstance(column, FlagColumn):
        numbers = _numbers(cells)
        places = np.searchsorted(np.array(segment.cuts or (0.5,)), numbers, side="right")
        return np.where(np.isnan(numbers), MISSING, np.array(names)[places])
    found = cells.astype(np.str_)
    if isinstance(column, CategoryColumn):
        known = [found == label for label in column.labels]
        found = np.select([*known, found == ""], [*names, MISSING], UNLISTED)
    return np.where(found == "", MISSING, found)


def _numbers(cells: NDArray[np.generic]) -> NDArray[np.float64]:
    if cells.dtype.kind == "f":
        return cells.astype(np.float64)
    values = np.full(cells.shape, np.nan)
    for place, cell in enumerate(cells.tolist()):
        try:
            values[place] = float(cell)
        except ValueError:
            continue
    return values
