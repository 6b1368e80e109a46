"""A pool of the simulated market that is sold, and the waterfall of what it then paid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.cash_collection import recovery_curve
from fedcredit.credit.loans import Floats
from fedcredit.credit.securitisation import JD_BAITIAO_2015, Deal, Eligibility, eligible, sale_price
from fedcredit.credit.waterfall import run_waterfall
from fedcredit.data.market.risk import M3
from fedcredit.experiment.decisions.panel import Followed
from fedcredit.experiment.decisions.panel_cash import promised_amounts

REVOLVING_MONTHS, STRESS = 6, 10.0
AS_IT_WENT, STRESSED = "as it went", f"defaults times {STRESS:g}"
BUYER_RATE, COLLECTING_COST = 0.15, 0.2
_DAYS, _CENT = 30, 0.01


@dataclass(frozen=True, kw_only=True)
class Flows:
    """What a sold pool paid each month, all ``[months]``; amounts in CNY, principal without fees."""

    principal_amount: tuple[float, ...]
    interest_amount: tuple[float, ...]
    default_amount: tuple[float, ...]
    recovery_amount: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Paid:
    """What a deal paid, tranche -> amounts by month, in CNY.

    ``bought_amount`` is spent on new loans while the deal revolves; ``triggered_month`` is the month after the sale,
    from 1, in which the trigger struck; ``loss_amount`` is principal that was not paid by the end of the market.
    """

    interest_amount: Mapping[str, tuple[float, ...]]
    principal_amount: Mapping[str, tuple[float, ...]]
    outstanding_amount: Mapping[str, tuple[float, ...]]
    bought_amount: tuple[float, ...]
    triggered_month: int | None
    loss_amount: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class PoolSale:
    """A pool, its deal, and what the deal paid.

    Attributes:
        month: at whose end the pool was sold.
        num_loans: accounts in it.
        num_offered: watched accounts that rules chose from.
        pool_amount: principal that was sold.
        revolving_months: of the deal.
        bad_share_trigger: accumulated defaults over the pool that end the revolving period.
        flows: of the pool as it was sold.
        paid: ``AS_IT_WENT`` and ``STRESSED`` -> what the deal paid.
        bad_loan_price: what 100 of defaulted balance would be bought for, at the market's recovery curve.
    """

    month: int
    num_loans: int
    num_offered: int
    pool_amount: float
    revolving_months: int
    bad_share_trigger: float
    flows: Flows
    paid: Mapping[str, Paid]
    bad_loan_price: float


def sell_pool(
    followed: Followed, *, month: int, rules: Eligibility | None = None, deal: Deal | None = None
) -> PoolSale:
    """Sell the plans of eligible accounts at the end of a month and follow the deal to the end of the market.

    The deal is JD Baitiao 2015 with a revolving period of six months, as 18 months are seen after the usual month of a
    sale. What an account pays goes to the plans that were sold and to later ones by what is owed on each. The stress
    multiplies defaults and takes them from principal and interest alike.

    Args:
        followed: the accounts.
        month: at whose end the pool is sold; one of those that were followed.
        rules: which accounts may be sold; by default those whose plans end within the market.
        deal: tranches and rules.

    Returns:
        The sale.
    """
    market, place = followed.market, month - int(followed.months[0])
    panel, ahead = market.history.panel, market.settings.num_months - 1 - month
    watched = np.flatnonzero(followed.is_watched[place])
    rows = followed.account[watched]
    chosen = eligible(
        days_past_due=_DAYS * np.minimum(panel.bucket[month, rows].astype(np.int64), M3),
        months_on_book=month - market.accounts.opened[rows].astype(np.int64),
        remaining_months=panel.remaining[month, rows].astype(np.int64),
        pd=followed.pd[place, watched],
        rules=rules or replace(Eligibility(), max_remaining_months=max(min(ahead, 24), 1)),
    )
    pool, flows = _flows(followed, rows[chosen], month)
    cut = deal or replace(JD_BAITIAO_2015, revolving_months=REVOLVING_MONTHS)
    curve = recovery_curve(
        panel.paid[:, followed.account],
        market.history.default_month[followed.account].astype(np.int64),
        market.history.losses.ead[followed.account],
    )
    price = sale_price(
        balance_amount=[100.0],
        recovery_curve_rate=np.nan_to_num(curve),
        yearly_rate=BUYER_RATE,
        cost_rate=COLLECTING_COST,
    )
    return PoolSale(
        month=month,
        num_loans=int(np.count_nonzero(chosen)),
        num_offered=int(rows.size),
        pool_amount=pool,
        revolving_months=cut.revolving_months,
        bad_share_trigger=cut.bad_share_trigger,
        flows=flows,
        paid={AS_IT_WENT: _paid(cut, pool, flows), STRESSED: _paid(cut, pool, stressed(flows, STRESS))}
        if pool >= _CENT
        else {},
        bad_loan_price=float(price[0]),
    )


def stressed(flows: Flows, times: float) -> Flows:
    """Let a pool default more often: what defaults beyond is missing from principal and interest.

    Args:
        flows: as they went.
        times: factor on defaults, at least 1; together they never pass what the pool holds.

    Returns:
        Other flows of the same pool.
    """
    repaid, lost = sum(flows.principal_amount), sum(flows.default_amount)
    factor = min(times, (repaid + lost) / lost) if lost > 0.0 else 1.0
    kept = 1.0 - (factor - 1.0) * lost / repaid if repaid > 0.0 else 0.0
    return Flows(
        principal_amount=tuple(kept * amount for amount in flows.principal_amount),
        interest_amount=tuple(kept * amount for amount in flows.interest_amount),
        default_amount=tuple(factor * amount for amount in flows.default_amount),
        recovery_amount=tuple(factor * amount for amount in flows.recovery_amount),
    )


def _flows(followed: Followed, accounts: NDArray[np.int64], month: int) -> tuple[float, Flows]:
    """Split what accounts pay after a month between the plans bought until then and later ones."""
    market = followed.market
    panel, losses, num_months = market.history.panel, market.history.losses, market.history.panel.num_months
    sold = promised_amounts(market.history.plans, accounts, num_months=num_months, until=month)[month + 1 :]
    every = promised_amounts(market.history.plans, accounts, num_months=num_months)[month + 1 :]
    paid = panel.paid[month + 1 :, accounts].astype(np.float64)
    when = market.history.default_month[accounts].astype(np.int64) - month - 1
    share = _principal_share(followed, accounts, month, sold.sum(axis=0))
    owed, due_sold, due_all = sold.sum(axis=0), np.zeros(accounts.size), np.zeros(accounts.size)
    pool = float((owed * share).sum())
    at_default, ead = np.zeros(accounts.size), losses.ead[accounts].astype(np.float64)
    flows = np.zeros((4, len(sold)))
    for step in range(len(sold)):
        alive, strikes = when >= step, when == step
        due_sold, due_all = due_sold + sold[step], due_all + every[step]
        part = np.divide(due_sold, due_all, out=np.zeros(accounts.size), where=due_all > 0.0)
        taken = np.where(alive, np.minimum(paid[step] * part, owed), 0.0)
        owed, due_sold = owed - taken, np.maximum(due_sold - taken, 0.0)
        due_all = np.maximum(due_all - np.where(alive, paid[step], 0.0), 0.0)
        at_default = np.where(strikes, owed, at_default)
        back = np.divide(paid[step] * at_default, ead, out=np.zeros(accounts.size), where=(ead > 0.0) & ~alive)
        flows[:, step] = (
            (taken * share).sum(),
            (taken * (1.0 - share)).sum(),
            (np.where(strikes, owed, 0.0) * share).sum(),
            np.minimum(back, at_default).sum(),
        )
        owed = np.where(strikes, 0.0, owed)
    return pool, Flows(**dict(zip(Flows.__dataclass_fields__, (tuple(row.tolist()) for row in flows), strict=True)))


def _principal_share(followed: Followed, accounts: NDArray[np.int64], month: int, left: Floats) -> Floats:
    """Return what share of the instalments that are left is principal; the rest are fees."""
    plans, num_months = followed.market.history.plans, followed.market.history.panel.num_months
    without_fees = replace(plans, instalment=(plans.amount / plans.tenor).astype(np.float32))
    principal = promised_amounts(without_fees, accounts, num_months=num_months, until=month)[month + 1 :].sum(axis=0)
    share: Floats = np.divide(principal, left, out=np.zeros(accounts.size), where=left > 0.0)
    return share


def _paid(deal: Deal, pool: float, flows: Flows) -> Paid:
    found = run_waterfall(
        deal,
        pool_amount=pool,
        principal_amount=flows.principal_amount,
        interest_amount=flows.interest_amount,
        default_amount=flows.default_amount,
        recovery_amount=flows.recovery_amount,
    )

    def plain(amounts: Mapping[str, Floats]) -> dict[str, tuple[float, ...]]:
        return {name: tuple(values.tolist()) for name, values in amounts.items()}

    return Paid(
        interest_amount=plain(found.interest_amount),
        principal_amount=plain(found.principal_amount),
        outstanding_amount=plain(found.outstanding_amount),
        bought_amount=tuple(found.bought_amount.tolist()),
        triggered_month=None if found.triggered_month is None else found.triggered_month + 1,
        loss_amount=dict(found.loss_amount),
    )
