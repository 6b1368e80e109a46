"""Plans: purchases paid back in equal instalments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedcredit.data.market.accounts import Accounts, pick_by_lender
from fedcredit.data.market.lenders import SCENARIO_AMOUNTS, TENORS
from fedcredit.data.market.settings import SETTLE_MONTHS, WINDOW_MONTHS, Bytes, Flags, Floats, Ints, MarketSettings
from fedcredit.data.market.streams import generator

AMOUNT_SIGMA = 0.7
SMALLEST_AMOUNT = 50.0
LEAST_USE, ROOM_OVER_USE = 0.05, 1.1
_SAME_SCENARIO = 0.7
_USUAL_LIMIT = 6000.0
_CAMPAIGN, _LEAST_FEE = 0.008, 0.002
NEVER = np.int8(127)


@dataclass(frozen=True, kw_only=True)
class Plans:
    """Arrays over plans, sorted by month, each ``[plans]``.

    ``instalment`` is CNY a month, principal over tenor plus the monthly fee; the first is due a month after
    the purchase.
    """

    account: Ints
    month: Bytes
    scenario: Bytes
    tenor: Bytes
    amount: Floats
    fee_rate: Floats
    instalment: Floats

    @property
    def num_plans(self) -> int:
        """How many plans there are."""
        return len(self.account)


@dataclass(frozen=True, kw_only=True)
class PlanOutcomes:
    """How plans ended, each ``[plans]``.

    ``default_12m`` is 90 days past due within 12 months of the purchase, ``default_by_maturity`` by four
    months after maturity; ``known_12m`` and ``known_by_maturity`` say whether the market ran that long, or
    the plan defaulted before.
    """

    default_12m: Flags
    known_12m: Flags
    default_by_maturity: Flags
    known_by_maturity: Flags


def buy(
    settings: MarketSettings, accounts: Accounts, *, month: int, buyers: Ints, balance: Floats, first: Flags
) -> Plans:
    """Draw the purchases of a month.

    Args:
        settings: the market's settings.
        accounts: the accounts.
        month: the month.
        buyers: who buys; each buys once, ``[buyers]``.
        balance: what buyers owe before it, ``[buyers]``.
        first: whether it is the account's first purchase, ``[buyers]``.

    Returns:
        The plans; a buyer without room in her limit gets none.
    """
    draw = generator(seed=settings.seed, entity="plans", month=month)
    count = len(buyers)
    lender = accounts.lender[buyers]
    scenario = pick_by_lender([item.scenarios for item in settings.lenders], lender, draw.random(count, np.float32))
    same = first | (draw.random(count, np.float32) < _SAME_SCENARIO)
    scenario = np.where(same, accounts.scenario[buyers], scenario).astype(np.int8)
    tenor = pick_by_lender([item.tenors for item in settings.lenders], lender, draw.random(count, np.float32))
    tenor = np.array(TENORS, dtype=np.int8)[np.where(first, accounts.tenor[buyers], tenor)]
    limit, use = accounts.limit[buyers], accounts.use[buyers]
    room = ROOM_OVER_USE * np.maximum(use, LEAST_USE) * limit - balance
    wanted = np.array(SCENARIO_AMOUNTS, dtype=np.float32)[scenario] * (0.4 + 1.2 * use)
    wanted = wanted * (limit / _USUAL_LIMIT) ** 0.6 * np.exp(AMOUNT_SIGMA * draw.standard_normal(count, np.float32))
    in_ring = accounts.ring[buyers] >= 0
    amount = np.round(np.where(in_ring, limit, np.minimum(wanted, room)), 2).astype(np.float32)
    fee = np.array([item.fee_rate for item in settings.lenders], dtype=np.float32)[lender]
    campaign = np.float32(_CAMPAIGN) * (draw.random(count, np.float32) - np.float32(0.5))
    rate = np.round(np.maximum(fee + campaign, np.float32(_LEAST_FEE)), 5).astype(np.float32)
    kept = amount >= SMALLEST_AMOUNT
    instalment = np.round(amount / tenor + rate * amount, 2).astype(np.float32)
    return Plans(
        account=buyers[kept].astype(np.int32),
        month=np.full(int(kept.sum()), month, dtype=np.int8),
        scenario=scenario[kept],
        tenor=tenor[kept],
        amount=amount[kept],
        fee_rate=rate[kept],
        instalment=instalment[kept],
    )


def joined(parts: list[Plans]) -> Plans:
    """Put the plans of several months together.

    Args:
        parts: plans by month, at least one.

    Returns:
        All of them, in the same order.
    """
    return Plans(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in Plans.__dataclass_fields__}
    )


def outcomes(settings: MarketSettings, plans: Plans, default_month: Bytes) -> PlanOutcomes:
    """Follow plans to their maturity and four months more.

    Args:
        settings: the market's settings.
        plans: the plans.
        default_month: when each account reached 90 days past due, ``NEVER`` where it did not, ``[accounts]``.

    Returns:
        The outcomes.
    """
    since = default_month[plans.account].astype(np.int16) - plans.month
    ran = settings.num_months - 1 - plans.month.astype(np.int16)
    settled = plans.tenor.astype(np.int16) + SETTLE_MONTHS
    never = default_month[plans.account] == NEVER
    within = ~never & (since <= np.minimum(settled, WINDOW_MONTHS))
    by_maturity = ~never & (since <= settled)
    return PlanOutcomes(
        default_12m=within,
        known_12m=within | (ran >= WINDOW_MONTHS),
        default_by_maturity=by_maturity,
        known_by_maturity=by_maturity | (ran >= settled),
    )
