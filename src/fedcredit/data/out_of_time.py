"""Splits by time: early loans train, later ones are tested on.

What leaks and what does not: a training label looks ahead over its horizon, so windows start a gap later, and
no outcome of the test months is in a training label. A borrower with a training loan may come again in a
window: a network may then know the borrower, which flatters it, and the borrower's privacy is that of the
training loans alone, since held-out loans are read in the clear by the simulation's evaluation. ``known``
tells those loans from the others.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.keys import keyed_uniforms
from fedcredit.data.portfolio import Portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec
from fedcredit.experiment.spec.splits import month_number

_MONTH = re.compile(r"[+-]?\d{1,10}|\d{4}-(0[1-9]|1[0-2])")


def split_by_time(
    portfolio: Portfolio, how: spec.OutOfTimeSplit, *, seed: int, train_share: float, validation_share: float
) -> dict[str, NDArray[np.int64]]:
    """Split loans by the time they were looked at.

    Training months are parted into training and validation loans by keyed hash of the borrower, in the shares
    of the hashed split.

    Args:
        portfolio: the loans.
        how: the experiment's split.
        seed: the experiment's ``split_seed``.
        train_share: share of borrowers that train, in (0, 1).
        validation_share: share of borrowers that validate, in (0, 1).

    Returns:
        Row indices under ``"train"``, ``"validation"`` and ``"test"``, rising and disjoint.

    Raises:
        InputError: if the table has no such time, or a window holds no loan.
    """
    places = months_of(portfolio, how)
    drawn = keyed_uniforms(portfolio, seed=seed, purpose="split")
    early = _within(places, how.train)
    tested = np.logical_or.reduce([_within(places, window) for window in how.test.values()])
    if how.borrowers == "apart":
        bound = train_share
        validates = (drawn >= bound) & (drawn < train_share + validation_share)
        tested = tested & (drawn >= train_share + validation_share)
    else:
        bound = train_share / (train_share + validation_share)
        validates = drawn >= bound
    masks = {"train": early & (drawn < bound), "validation": early & validates, "test": tested}
    for name, span, mask in (("train", how.train, masks["train"]), *_tested_windows(how, places, tested)):
        if not mask.any():
            raise InputError(
                f"split.{name} is [{span[0]}, {span[1]}], and no loan of portfolio {portfolio.schema.name} falls "
                f"there; column {column_of(portfolio, how)} goes from {places.min()} to {places.max()} in months"
            )
    return {part: np.flatnonzero(mask).astype(np.int64) for part, mask in masks.items()}


def windows(portfolio: Portfolio, how: spec.Split) -> dict[str, NDArray[np.bool_]]:
    """Say which loans fall into which test window.

    Args:
        portfolio: the loans.
        how: the experiment's split.

    Returns:
        A mask by window, each ``[loans]``; none for a split that has no windows.

    Raises:
        InputError: if the table has no such time.
    """
    if isinstance(how, spec.HashedSplit):
        return {}
    places = months_of(portfolio, how)
    return {name: _within(places, window) for name, window in how.test.items()}


def known(portfolio: Portfolio, trained: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which loans are of a borrower who has a training loan, at any lender.

    Args:
        portfolio: the loans.
        trained: rows that were trained on.

    Returns:
        A mask, ``[loans]``.
    """
    return np.isin(portfolio.borrower, portfolio.borrower[trained])


def column_of(portfolio: Portfolio, how: spec.OutOfTimeSplit) -> str:
    """Name the column that holds the time.

    Args:
        portfolio: the loans.
        how: the experiment's split.

    Returns:
        The column.

    Raises:
        InputError: if neither the split nor the schema names one.
    """
    column = how.column or portfolio.schema.time
    if column is None:
        raise InputError(
            f"split.kind is out_of_time, but schema {portfolio.schema.name} names no time column; write time: <column> "
            "in the schema, or split.column=<column>"
        )
    return column


def months_of(portfolio: Portfolio, how: spec.OutOfTimeSplit) -> NDArray[np.int64]:
    """Read the time of every loan as a number of months.

    Args:
        portfolio: the loans.
        how: the experiment's split.

    Returns:
        Months, ``[loans]``.

    Raises:
        InputError: if there is no such column, or it holds what is no month; values are counted, never told.
    """
    name = column_of(portfolio, how)
    cells = portfolio.column(name)
    if cells.dtype.kind == "f":
        if not np.all(cells == np.floor(cells)):
            bad = int(np.count_nonzero(cells != np.floor(cells)))
            raise InputError(f"column {name}: {bad} of {len(cells)} values are no whole months")
        return cells.astype(np.int64)
    texts, inverse = np.unique(cells, return_inverse=True)
    found = [_MONTH.fullmatch(str(text)) is not None for text in texts.tolist()]
    if not all(found):
        bad = int((~np.array(found))[inverse].sum())
        raise InputError(f"column {name}: {bad} of {len(cells)} values are neither whole numbers nor YYYY-MM")
    numbers = [month_number(text if re.fullmatch(r"\d{4}-\d{2}", text) else int(text)) for text in map(str, texts)]
    return np.array(numbers, dtype=np.int64)[inverse]


def _within(places: NDArray[np.int64], window: spec.Months) -> NDArray[np.bool_]:
    return (places >= month_number(window[0])) & (places <= month_number(window[1]))


def _tested_windows(
    how: spec.OutOfTimeSplit, places: NDArray[np.int64], tested: NDArray[np.bool_]
) -> list[tuple[str, spec.Months, NDArray[np.bool_]]]:
    return [(f"test.{name}", window, _within(places, window) & tested) for name, window in how.test.items()]
