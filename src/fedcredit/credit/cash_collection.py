"""Can repayments be trusted? Promised against collected cash, roll rates and recoveries, from a monthly panel."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import InputError

Table = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CollectionCurve:
    """What the accounts of each vintage paid of what was due, accumulated over months on book.

    ``promised_amount`` and ``collected_amount`` are ``[vintages, months]``, accumulated; beyond the last month that was
    seen they are NaN.
    """

    vintage: NDArray[np.int64]
    promised_amount: Table
    collected_amount: Table

    @property
    def collected_rate(self) -> Table:
        """Collected over promised, ``[vintages, months]``; NaN where nothing was promised yet."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.collected_amount / self.promised_amount


def collection_curve(due_amount: ArrayLike, paid_amount: ArrayLike, opened: ArrayLike) -> CollectionCurve:
    """Follow the cash of static pools: accounts that were opened in one month.

    Args:
        due_amount: due each month, ``[months, accounts]``, at least 0.
        paid_amount: paid each month, recoveries included, ``[months, accounts]``, at least 0.
        opened: month of opening, ``[accounts]``.

    Returns:
        Curves by vintage and months on book.

    Raises:
        InputError: if the arrays do not fit together.
    """
    due, paid = np.asarray(due_amount, dtype=np.float64), np.asarray(paid_amount, dtype=np.float64)
    start = np.asarray(opened, dtype=np.int64)
    if due.ndim != 2 or due.shape != paid.shape or start.shape != due.shape[1:]:
        raise InputError(
            f"due_amount, paid_amount and opened have shapes {due.shape}, {paid.shape} and {start.shape}; "
            "give one row a month and one column an account, and one month an account"
        )
    num_months = len(due)
    vintages = np.unique(start[(start >= 0) & (start < num_months)])
    curves = np.full((2, len(vintages), num_months), np.nan)
    for row, vintage in enumerate(vintages):
        members = start == vintage
        for place, flows in enumerate((due, paid)):
            seen = flows[vintage:, members].sum(axis=1)
            curves[place, row, : len(seen)] = np.cumsum(seen)
    return CollectionCurve(vintage=vintages, promised_amount=curves[0], collected_amount=curves[1])


def roll_rates(bucket: ArrayLike, *, num_buckets: int = 5) -> Table:
    """Count how accounts move between delinquency buckets from one month to the next.

    Args:
        bucket: 0 for current, 1 for M1 and so on, negative before opening, ``[months, accounts]``.
        num_buckets: C, M1, M2, M3 and D are five.

    Returns:
        Share of the accounts of each row's bucket that are in each column's a month later,
        ``[num_buckets, num_buckets]``; a row of NaN where no account was.

    Raises:
        InputError: if the table is not two-dimensional, or holds a bucket that there is not.
    """
    panel = np.asarray(bucket)
    if panel.ndim != 2 or (panel.size and int(panel.max()) >= num_buckets):
        raise InputError(f"bucket has shape {panel.shape}; give months x accounts, with buckets below {num_buckets}")
    counts = np.zeros(num_buckets * num_buckets)
    for before, after in itertools.pairwise(panel):
        there = (before >= 0) & (after >= 0)
        codes = before[there].astype(np.int64) * num_buckets + after[there]
        counts += np.bincount(codes, minlength=counts.size)
    table = counts.reshape(num_buckets, num_buckets)
    with np.errstate(invalid="ignore"):
        rates: Table = table / table.sum(axis=1, keepdims=True)
    return rates


def self_cure_share(rates: Table, *, bucket: int = 1) -> float:
    """Return the share of a bucket that is current a month later without anything being done.

    Args:
        rates: as `roll_rates` returns them.
        bucket: 1 for M1.

    Returns:
        A share; NaN if no account was in the bucket.
    """
    return float(rates[bucket, 0])


def recovery_curve(
    paid_amount: ArrayLike, default_month: ArrayLike, exposure_amount: ArrayLike, *, num_months: int = 12
) -> NDArray[np.float64]:
    """Return what comes back in month 1, 2, ... after default, as a share of the exposure at default.

    Args:
        paid_amount: paid each month, ``[months, accounts]``.
        default_month: month of the default, ``[accounts]``; beyond the months for none.
        exposure_amount: owed at default, ``[accounts]``.
        num_months: months after default; accounts that were not seen so long are left out of later ones.

    Returns:
        Shares, ``[num_months]``; NaN where no account was seen.

    Raises:
        InputError: if the arrays do not fit together.
    """
    paid, month = np.asarray(paid_amount, dtype=np.float64), np.asarray(default_month, dtype=np.int64)
    owed = np.asarray(exposure_amount, dtype=np.float64)
    if paid.ndim != 2 or not month.shape == owed.shape == paid.shape[1:]:
        raise InputError(
            f"paid_amount has shape {paid.shape}, default_month {month.shape} and exposure_amount {owed.shape}; "
            "give one column an account"
        )
    curve = np.full(num_months, np.nan)
    for since in range(1, num_months + 1):
        seen = np.flatnonzero((month >= 0) & (month + since < len(paid)) & (owed > 0.0))
        if seen.size:
            curve[since - 1] = paid[month[seen] + since, seen].sum() / owed[seen].sum()
    return curve
