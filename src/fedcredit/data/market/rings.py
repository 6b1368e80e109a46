"""Fraud rings: false identities that share a device, an address and a block of phone numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedcredit.data.market.borrowers import Borrowers
from fedcredit.data.market.settings import Ints, MarketSettings
from fedcredit.data.market.streams import generator

RING_SHARE = 0.0015
FIRST_PAYMENT_DEFAULT = 0.9
_SMALLEST, _LARGEST = 5, 30
_ACCOUNTS_PER_BORROWER = 1.45
_MEMBERS_PER_DEVICE = 5


def draw_rings(settings: MarketSettings) -> Ints:
    """Choose which borrowers are false identities, and of which ring.

    Rings have 5 to 30 members; in all they hold about .15 % of the accounts.

    Args:
        settings: the market's settings.

    Returns:
        The ring of each borrower, -1 for none, ``[borrowers]``.
    """
    draw = generator(seed=settings.seed, entity="rings")
    members = round(RING_SHARE * _ACCOUNTS_PER_BORROWER * settings.num_borrowers)
    sizes = draw.integers(_SMALLEST, _LARGEST + 1, members // _SMALLEST + 1)
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[:members]
    labels = labels[np.bincount(labels, minlength=len(sizes))[labels] >= _SMALLEST]
    ring = np.full(settings.num_borrowers, -1, dtype=np.int32)
    ring[draw.permutation(settings.num_borrowers)[: len(labels)]] = labels
    return ring


def disguised(settings: MarketSettings, borrowers: Borrowers, ring: Ints) -> Borrowers:
    """Give the members of rings their shared keys and their false, thin files.

    Args:
        settings: the market's settings.
        borrowers: the borrowers as drawn.
        ring: the ring of each borrower, -1 for none, ``[borrowers]``.

    Returns:
        The borrowers, those of a ring disguised.
    """
    draw = generator(seed=settings.seed, entity="rings.disguise")
    members = np.flatnonzero(ring >= 0)
    if not len(members):
        return borrowers
    members = members[np.argsort(ring[members], kind="stable")]
    start = np.searchsorted(ring[members], ring[members], side="left")
    within = np.arange(len(members)) - start
    months = draw.integers(2, settings.num_months - 6, int(ring.max()) + 1)
    changes = {
        "device": members[start + within - within % _MEMBERS_PER_DEVICE],
        "address": members[start],
        "device_age_months": np.round(draw.exponential(2.0, len(members)), 1),
        "job_tenure_months": draw.integers(0, 7, len(members)),
        "delivery_matches": draw.random(len(members)) > 0.5,
        "wanted_lenders": np.ones(len(members)),
        "arrival": months[ring[members]] + draw.integers(0, 2, len(members)),
        "income": np.round(np.clip(borrowers.income[members] * 1.5, 6000.0, 40_000.0)),
    }
    arrays = {}
    for name, values in changes.items():
        arrays[name] = getattr(borrowers, name).copy()
        arrays[name][members] = values.astype(arrays[name].dtype)
    return replace(borrowers, **arrays)
