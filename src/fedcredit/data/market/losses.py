"""What is lost on a defaulted account, and when the rest comes back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.market.accounts import Accounts
from fedcredit.data.market.settings import Bytes, Flags, Floats, MarketSettings
from fedcredit.data.market.streams import generator

CURE_SHARE = 0.12
RECOVERY_MONTHS, CURE_MONTHS = 12, 3
_WILLINGNESS = 2


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Arrays over accounts, written as defaults strike, each ``[accounts]``.

    ``lgd`` is the share of ``ead`` that is lost were the account to default, ``ead`` the balance at default,
    zero where there is none; ``cures`` says whether it pays nearly all back within three months.
    """

    lgd: Floats
    cures: Flags
    ead: Floats
    struck: Bytes

    def strike(self, rows: NDArray[np.integer], balance: Floats, reason: Bytes, month: int) -> None:
        """Note the defaults of a month; who will not pay is lost by a tenth more than who cannot.

        Args:
            rows: the accounts.
            balance: what they owe, ``[rows]``.
            reason: why they are overdue, ``[rows]``.
            month: the month.
        """
        self.ead[rows] = balance
        self.struck[rows] = month
        harder = np.where(reason == _WILLINGNESS, 1.05, 0.95)
        self.lgd[rows] = np.where(self.cures[rows], self.lgd[rows], np.minimum(self.lgd[rows] * harder, 1.0))

    def recovered(self, rows: slice, month: int) -> Floats:
        """Return what comes back in a month, in equal parts after the default.

        Args:
            rows: the accounts.
            month: the month.

        Returns:
            Amounts, ``[rows]``.
        """
        since = month - self.struck[rows].astype(np.int16)
        span = np.where(self.cures[rows], CURE_MONTHS, RECOVERY_MONTHS)
        flows = (self.ead[rows] > 0) & (since >= 1) & (since <= span)
        amount: Floats = np.where(flows, (1.0 - self.lgd[rows]) * self.ead[rows] / span, 0.0).astype(np.float32)
        return amount


def draw_losses(settings: MarketSettings, accounts: Accounts) -> Losses:
    """Draw what would be lost on every account: 12 % cure and lose at most .05, the others lose .85 on average.

    Args:
        settings: the market's settings.
        accounts: the accounts.

    Returns:
        Losses, none struck yet.
    """
    draw = generator(seed=settings.seed, entity="losses")
    count = accounts.num_accounts
    cures = (draw.random(count, np.float32) < CURE_SHARE) & (accounts.ring < 0)
    lost = np.where(accounts.ring >= 0, 0.97, draw.beta(8.5, 1.5, count))
    return Losses(
        lgd=np.where(cures, 0.05 * draw.random(count), lost).astype(np.float32),
        cures=cures,
        ead=np.zeros(count, dtype=np.float32),
        struck=np.full(count, 127, dtype=np.int8),
    )
