"""Accounts: what an accepted application becomes, and the traits its behaviour follows from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedcredit.data.market.applications import Applications
from fedcredit.data.market.borrowers import Borrowers
from fedcredit.data.market.settings import Bytes, Floats, Ints, MarketSettings
from fedcredit.data.market.streams import generator

_LIMITS = (800.0, 80_000.0)
HEAVY_USE = 0.8


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Arrays over accounts, sorted by opening month, each ``[accounts]``.

    ``use`` is the share of the limit the borrower is comfortable with, ``purchase_rate`` the chance of a
    purchase in a month while nothing is overdue, ``frailty`` what no column shows. ``scenario`` and ``tenor``
    (a place in ``TENORS``) are those of the first plan. ``earlier`` counts the accounts the borrower opened
    before this one. ``ring`` is -1 for none.
    """

    borrower: Ints
    lender: Bytes
    opened: Bytes
    scenario: Bytes
    tenor: Bytes
    limit: Floats
    use: Floats
    purchase_rate: Floats
    frailty: Floats
    discipline: Floats
    earlier: Bytes
    ring: Ints

    @property
    def num_accounts(self) -> int:
        """How many accounts there are."""
        return len(self.borrower)


def open_accounts(settings: MarketSettings, borrowers: Borrowers, applications: Applications, ring: Ints) -> Accounts:
    """Open an account for every accepted application.

    Args:
        settings: the market's settings.
        borrowers: the borrowers.
        applications: the applications, sorted by month.
        ring: the ring of each borrower, -1 for none, ``[borrowers]``.

    Returns:
        The accounts.
    """
    taken = np.flatnonzero(applications.accepted)
    borrower, lender = applications.borrower[taken], applications.lender[taken]
    draw = generator(seed=settings.seed, entity="accounts")
    count = len(taken)
    in_ring = ring[borrower] >= 0
    discipline = 0.6 * borrowers.willingness[borrower] + 0.8 * draw.standard_normal(count, np.float32)
    use = np.where(in_ring, np.float32(1.0), _use(draw, discipline))
    rate = 0.28 * np.exp(0.45 * borrowers.activity[borrower] + 0.2 * draw.standard_normal(count, np.float32))
    return Accounts(
        borrower=borrower,
        lender=lender,
        opened=applications.month[taken],
        scenario=pick_by_lender([item.scenarios for item in settings.lenders], lender, draw.random(count, np.float32)),
        tenor=pick_by_lender([item.tenors for item in settings.lenders], lender, draw.random(count, np.float32)),
        limit=_limits(
            settings, borrowers, applications.score[taken] + draw.standard_normal(count, np.float32), borrower, lender
        ),
        use=use.astype(np.float32),
        purchase_rate=np.where(in_ring, 0.0, np.clip(rate, 0.03, 0.9)).astype(np.float32),
        frailty=draw.standard_normal(count, np.float32),
        discipline=discipline.astype(np.float32),
        earlier=_earlier(borrower),
        ring=ring[borrower],
    )


def _use(draw: np.random.Generator, discipline: Floats) -> Floats:
    """Draw comfortable use from a mixture of two Beta distributions; less disciplined, more use."""
    count = len(discipline)
    high = draw.random(count, np.float32) < 1.0 / (1.0 + np.exp(0.45 * discipline + 0.5))
    return np.where(high, draw.beta(5.0, 1.3, count), draw.beta(0.9, 3.0, count)).astype(np.float32)


def _earlier(borrower: Ints) -> Bytes:
    """Count, for accounts in the order of opening, those the same borrower opened before."""
    order = np.argsort(borrower, kind="stable")
    start = np.searchsorted(borrower[order], borrower[order], side="left")
    earlier = np.empty(len(borrower), dtype=np.int8)
    earlier[order] = np.arange(len(borrower)) - start
    return earlier


def pick_by_lender(mixes: Sequence[tuple[float, ...]], lender: Bytes, uniform: Floats) -> Bytes:
    """Draw a category for each account from its lender's mix.

    Args:
        mixes: shares of the categories, one tuple per lender.
        lender: the lender of each account, ``[accounts]``.
        uniform: a uniform for each account, ``[accounts]``.

    Returns:
        The place of the category, ``[accounts]``.
    """
    steps = np.cumsum(mixes, axis=1)[:, :-1].astype(np.float32)
    chosen = np.zeros(len(lender), dtype=np.int8)
    for step in steps.T:
        chosen += uniform > step[lender]
    return chosen


def _limits(settings: MarketSettings, borrowers: Borrowers, score: Floats, borrower: Ints, lender: Bytes) -> Floats:
    multiple = np.array([item.limit_to_income for item in settings.lenders], dtype=np.float32)[lender]
    limit = multiple * borrowers.income[borrower] ** 0.6 * 5500.0**0.4 * np.exp(0.15 * score)
    rounded: Floats = (np.round(np.clip(limit, *_LIMITS) / 100.0) * 100.0).astype(np.float32)
    return rounded
