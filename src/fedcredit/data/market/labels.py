"""What a snapshot's label says, where that is not 90 days past due within 12 months."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from fedcredit.data.market.plans import NEVER
from fedcredit.data.market.simulate import Market
from fedcredit.data.market.snapshots import Snapshot

FIRST_PAYMENT_MONTHS = 4

HORIZONS: Mapping[str, str] = MappingProxyType(
    {
        "first_payment_default": f"90 days past due within {FIRST_PAYMENT_MONTHS} months of opening",
        "ring": "the account belongs to a fraud ring, which only a simulation knows",
    }
)


def labelled(market: Market, snapshot: Snapshot, label: str) -> Snapshot:
    """Give a snapshot another label.

    An account that misses its first instalment, due a month after opening, and every later one is 90 days past due
    in its fourth month, and no account can be earlier.

    Args:
        market: the market.
        snapshot: a snapshot labelled with default within 12 months.
        label: ``default_12m``, ``first_payment_default`` or ``ring``.

    Returns:
        The snapshot with that label.
    """
    if label == "default_12m":
        return snapshot
    if label == "ring":
        return replace(snapshot, default=(snapshot.truth.ring >= 0).astype(np.int8))
    when = market.history.default_month[snapshot.account].astype(np.int64)
    opened = market.accounts.opened[snapshot.account].astype(np.int64)
    at_once = (when != NEVER) & (when <= opened + FIRST_PAYMENT_MONTHS)
    return replace(snapshot, default=at_once.astype(np.int8))
