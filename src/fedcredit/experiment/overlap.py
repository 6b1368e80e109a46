"""How often the same borrower turns up: what borrower keys say, where the table has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedcredit.data.institution import Institution
from fedcredit.data.portfolio import Portfolio
from fedcredit.privacy.accounting.statement import Overlap


def known_overlap(portfolio: Portfolio, institutions: Sequence[Institution], *, part: str = "train") -> Overlap | None:
    """Count the loans of the same borrower, over lenders and within one.

    Args:
        portfolio: the loans with their borrower keys.
        institutions: the lenders.
        part: which of their loans count, ``"train"``, ``"validation"`` or ``"test"``.

    Returns:
        The largest counts over all borrowers; ``None`` where the schema names no borrower key.
    """
    if portfolio.schema.borrower is None:
        return None
    found = [np.unique(portfolio.borrower[getattr(own, part).rows], return_counts=True) for own in institutions]
    if not any(len(keys) for keys, _ in found):
        return Overlap(num_lenders=1, num_loans=1)
    at_lenders = np.unique(np.concatenate([keys for keys, _ in found]), return_counts=True)[1]
    return Overlap(num_lenders=int(at_lenders.max()), num_loans=int(max(c.max(initial=1) for _, c in found)))
