"""How often the same borrower turns up, and where: what borrower keys say, where the table has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from fedcredit.data.institution import Institution
from fedcredit.data.portfolio import Portfolio
from fedcredit.privacy.accounting.holdings import Holding
from fedcredit.privacy.accounting.statement import Overlap


def known_holdings(
    portfolio: Portfolio, institutions: Sequence[Institution], *, part: str = "train"
) -> frozenset[Holding] | None:
    """List what borrowers have: at which lenders together, and how many loans at each.

    Args:
        portfolio: the loans with their borrower keys.
        institutions: the lenders.
        part: which of their loans count, ``"train"``, ``"validation"`` or ``"test"``.

    Returns:
        The distinct holdings, lenders sorted by name; ``None`` where the schema names no borrower key.
    """
    if portfolio.schema.borrower is None:
        return None
    held: dict[object, list[tuple[str, int]]] = defaultdict(list)
    for lender in sorted(institutions, key=lambda institution: institution.name):
        keys, counts = np.unique(portfolio.borrower[getattr(lender, part).rows], return_counts=True)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            held[key].append((lender.name, count))
    return frozenset(tuple(holding) for holding in held.values())


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
