"""The loans of a borrower at a lender as one unit of privacy: at most so many of them, side by side.

Which loans of a borrower are kept is decided by a keyed hash of the borrower's key and the loan's number among the
borrower's own loans at that lender, so no other borrower has a say in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.keys import keyed_numbers
from fedcredit.data.portfolio import Portfolio
from fedcredit.errors import InputError

_PURPOSE = "loans kept of a borrower"


@dataclass(frozen=True, kw_only=True)
class BorrowerCap:
    """How the training loans of a borrower are bounded.

    Attributes:
        max_loans: how many loans of a borrower are kept at one lender, at least 1.
        is_joint: whether a borrower is sampled with all loans, rather than each loan on its own.
        seed: the experiment's ``split_seed``.
    """

    max_loans: int
    is_joint: bool
    seed: int


def check_borrower_key(portfolio: Portfolio) -> None:
    """Refuse a table that does not say whose a loan is.

    Args:
        portfolio: the loans.

    Raises:
        InputError: if its schema names no borrower key.
    """
    if portfolio.schema.borrower is None:
        raise InputError(
            f"privacy.privacy_unit is 'borrower', but the schema of {portfolio.schema.name} names no borrower key, so "
            "it is not known which loans are one borrower's; name a key column as `borrower` in the schema, or set "
            "privacy=loan_level"
        )


def capped(
    rows: NDArray[np.int64], portfolio: Portfolio, cap: BorrowerCap
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Keep at most so many loans of each borrower.

    Args:
        rows: the training loans of one lender, rising, ``[loans]``.
        portfolio: the loans with their borrower keys.
        cap: how many, and whether they are sampled together.

    Returns:
        The rows that are kept, ``[kept]``, and where each borrower's begin among them, with the end,
        ``[borrowers + 1]``: borrowers in the order of their first loan, loans in that of the table. Where loans are
        sampled one by one the rows keep the table's order, and there are no beginnings.
    """
    borrower = _first_come(portfolio.borrower[rows])
    by_borrower = np.argsort(borrower, kind="stable")
    counts = np.bincount(borrower)
    first = np.cumsum(counts) - counts
    number = np.empty(len(rows), dtype=np.int64)
    number[by_borrower] = np.arange(len(rows)) - np.repeat(first, counts)
    is_kept = np.ones(len(rows), dtype=np.bool_)
    excess = np.flatnonzero(counts[borrower] > cap.max_loans)
    texts = (f"{portfolio.borrower[rows[place]]}\0{number[place]}" for place in excess)
    hashes = keyed_numbers(texts, seed=cap.seed, purpose=_PURPOSE)
    drawn = excess[np.lexsort((number[excess], hashes, borrower[excess]))]
    rank = np.arange(len(drawn)) - np.searchsorted(borrower[drawn], borrower[drawn])
    is_kept[drawn[rank >= cap.max_loans]] = False
    if not cap.is_joint:
        return rows[is_kept], None
    kept = by_borrower[is_kept[by_borrower]]
    sizes = np.minimum(counts, cap.max_loans)
    return rows[kept], np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _first_come(keys: NDArray[np.object_]) -> NDArray[np.int64]:
    """Number borrowers in the order of their first loan."""
    _, first, found = np.unique(keys, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    numbered: NDArray[np.int64] = place[found]
    return numbered
