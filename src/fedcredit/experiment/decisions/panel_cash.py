"""Can repayments be trusted? What was promised on the simulated market and what came, vintage by vintage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.cash_collection import collection_curve, roll_rates
from fedcredit.credit.loans import Floats
from fedcredit.data.market.plans import Plans
from fedcredit.data.market.risk import BUCKETS
from fedcredit.experiment.decisions.panel import Followed

VINTAGE_MONTHS = 6


@dataclass(frozen=True, kw_only=True)
class Cash:
    """Promised and collected cash of held-out accounts; amounts in CNY.

    Promised is what plans say when they are bought, so a default leaves its instalments promised; collected is all that
    came in, recoveries included.

    Attributes:
        promised_amount: over all months, to the end of the market.
        collected_amount: over the same months.
        collected_by_age: vintage (months of opening, as text) -> accumulated collected over promised, by months on
            book from 0; ``None`` where nothing was promised yet.
        roll_rate: bucket -> share of its accounts that are in each bucket a month later, C, M1, M2, M3 and D; ``None``
            where no account was.
    """

    promised_amount: float
    collected_amount: float
    collected_by_age: Mapping[str, tuple[float | None, ...]]
    roll_rate: Mapping[str, tuple[float | None, ...]]


def cash_of(followed: Followed) -> Cash:
    """Hold what came in against what was promised.

    Args:
        followed: the accounts.

    Returns:
        Cash by vintage, and roll rates over all months of the market.
    """
    market, rows = followed.market, followed.account
    panel = market.history.panel
    promised = promised_amounts(market.history.plans, rows, num_months=panel.num_months)
    paid = panel.paid[:, rows].astype(np.float64)
    curve = collection_curve(promised, paid, market.accounts.opened[rows].astype(np.int64))
    rates = roll_rates(panel.bucket[:, rows])
    return Cash(
        promised_amount=float(promised.sum()),
        collected_amount=float(paid.sum()),
        collected_by_age=_by_age(curve.vintage, curve.promised_amount, curve.collected_amount),
        roll_rate={name: _finite(rates[place]) for place, name in enumerate(BUCKETS[:-1])},
    )


def promised_amounts(plans: Plans, accounts: NDArray[np.int64], *, num_months: int, until: int | None = None) -> Floats:
    """Lay instalments out as plans say when they are bought: the first is due a month after the purchase.

    Args:
        plans: of the market.
        accounts: places of the accounts, each once, ``[accounts]``.
        num_months: of the market.
        until: plans bought in this month or before; all by default.

    Returns:
        Amounts, ``[num_months, accounts]``.
    """
    place = np.full(max(int(plans.account.max(initial=-1)), int(accounts.max(initial=-1))) + 1, -1)
    place[accounts] = np.arange(accounts.size)
    chosen = place[plans.account] >= 0
    if until is not None:
        chosen &= plans.month <= until
    column, bought = place[plans.account[chosen]], plans.month[chosen].astype(np.int64)
    tenor, instalment = plans.tenor[chosen], plans.instalment[chosen].astype(np.float64)
    due = np.zeros((num_months, accounts.size))
    for ahead in range(1, int(tenor.max(initial=0)) + 1):
        falls = (tenor >= ahead) & (bought + ahead < num_months)
        np.add.at(due, (bought[falls] + ahead, column[falls]), instalment[falls])
    return due


def _by_age(vintage: NDArray[np.int64], promised: Floats, collected: Floats) -> dict[str, tuple[float | None, ...]]:
    found = {}
    for start in range(0, int(vintage.max(initial=-1)) + 1, VINTAGE_MONTHS):
        own = (vintage >= start) & (vintage < start + VINTAGE_MONTHS)
        seen = np.isfinite(promised[own]).all(axis=0) if own.any() else np.zeros(0, dtype=np.bool_)
        due, paid = promised[own][:, seen].sum(axis=0), collected[own][:, seen].sum(axis=0)
        found[f"{start} to {start + VINTAGE_MONTHS - 1}"] = tuple(
            float(came / owed) if owed > 0.0 else None for owed, came in zip(due, paid, strict=True)
        )
    return {name: rates for name, rates in found.items() if any(rate is not None for rate in rates)}


def _finite(rates: Floats) -> tuple[float | None, ...]:
    return tuple(float(rate) if np.isfinite(rate) else None for rate in rates)
