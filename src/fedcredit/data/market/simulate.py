"""The simulator: from settings to a market with its whole history and its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.market.accounts import Accounts, open_accounts
from fedcredit.data.market.applications import Applications, draw_applications
from fedcredit.data.market.borrowers import Borrowers, draw_borrowers
from fedcredit.data.market.contacts import Contacts, draw_contacts
from fedcredit.data.market.macro import macro_path
from fedcredit.data.market.panel import History, Progress, run_panel
from fedcredit.data.market.rings import disguised, draw_rings
from fedcredit.data.market.risk import Risk, assess
from fedcredit.data.market.settings import Ints, MarketSettings


@dataclass(frozen=True, kw_only=True)
class Market:
    """A simulated market: who is in it, what happened, and why."""

    settings: MarketSettings
    borrowers: Borrowers
    ring: Ints
    contacts: Contacts
    applications: Applications
    accounts: Accounts
    risk: Risk
    factors: NDArray[np.float64]
    history: History


def simulate(settings: MarketSettings, *, progress: Progress | None = None) -> Market:
    """Simulate a market.

    Args:
        settings: the market's settings; equal settings give an equal market.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        The market.
    """
    ring = draw_rings(settings)
    borrowers = disguised(settings, draw_borrowers(settings), ring)
    applications = draw_applications(settings, borrowers, ring)
    accounts = open_accounts(settings, borrowers, applications, ring)
    risk = assess(settings, borrowers, accounts)
    factors = macro_path(settings)
    return Market(
        settings=settings,
        borrowers=borrowers,
        ring=ring,
        contacts=draw_contacts(settings, borrowers, ring),
        applications=applications,
        accounts=accounts,
        risk=risk,
        factors=factors,
        history=run_panel(settings, borrowers, accounts, risk, factors, progress=progress),
    )
