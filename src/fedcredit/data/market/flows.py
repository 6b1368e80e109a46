"""What flows into default at one kind of lender."""

from __future__ import annotations

import numpy as np

from fedcredit.data.market.simulate import Market

FIRST_AFTER, LAST_AFTER = 4, 6


def default_flow(market: Market, kind: str, month: int) -> float:
    """Count the entries into 90 days past due four to six months after a month, at one kind of lender.

    Args:
        market: the market.
        kind: the lenders' kind.
        month: the month.

    Returns:
        The number.
    """
    of_kind = np.array([lender.kind == kind for lender in market.settings.lenders])[market.accounts.lender]
    when = market.history.default_month
    return float((of_kind & (when >= month + FIRST_AFTER) & (when <= month + LAST_AFTER)).sum())
