"""The waterfall of a sold pool: who is paid what, month by month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.credit.securitisation import Deal

_NOTHING_LEFT = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Waterfall:
    """What a deal paid, month by month; amounts in the currency of the pool.

    Attributes:
        interest_amount: tranche -> interest paid, ``[months]``; for the last one, all that was left.
        principal_amount: tranche -> principal paid, ``[months]``.
        outstanding_amount: tranche -> owed after each month, ``[months]``.
        bought_amount: new loans bought in the revolving period, ``[months]``.
        triggered_month: the month in which the trigger struck; ``None`` if it did not.
        loss_amount: tranche -> principal that was never paid.
    """

    interest_amount: Mapping[str, Floats]
    principal_amount: Mapping[str, Floats]
    outstanding_amount: Mapping[str, Floats]
    bought_amount: Floats
    triggered_month: int | None
    loss_amount: Mapping[str, float]


def run_waterfall(
    deal: Deal,
    *,
    pool_amount: float,
    principal_amount: ArrayLike,
    interest_amount: ArrayLike,
    default_amount: ArrayLike,
    recovery_amount: ArrayLike,
) -> Waterfall:
    """Share out what a pool pays.

    Each month interest pays the servicer, then coupons from the top; what is left (excess spread) makes good the
    month's defaults first. Principal, recoveries and that cover buy new loans while the deal revolves and pay tranches
    down from the top afterwards. The last tranche gets what nobody else is owed. Flows are those of the pool as it was
    sold; new loans are assumed to pay, default and recover at the same rates of what is outstanding.

    Args:
        deal: tranches and rules.
        pool_amount: sold at the start, above 0.
        principal_amount: repaid each month, ``[months]``, at least 0.
        interest_amount: fees and interest paid, ``[months]``, at least 0.
        default_amount: balance that defaults, ``[months]``, at least 0.
        recovery_amount: that comes back from defaulted loans, ``[months]``, at least 0.

    Returns:
        All payments.

    Raises:
        InputError: if a number is out of range or lengths differ.
    """
    setting(pool_amount, "pool_amount", low=0.0, is_open=True)
    principal = numbers(principal_amount, "principal_amount", low=0.0)
    months = principal.size
    interest = numbers(interest_amount, "interest_amount", low=0.0, num=months)
    default = numbers(default_amount, "default_amount", low=0.0, num=months)
    recovery = numbers(recovery_amount, "recovery_amount", low=0.0, num=months)
    state = _Payments(deal, pool_amount, months)
    for month in range(months):
        state.pay(month, principal[month], interest[month], default[month], recovery[month])
    return state.result()


class _Payments:
    """The accounts of a deal while its months pass."""

    def __init__(self, deal: Deal, pool_amount: float, months: int) -> None:
        self._deal = deal
        self._sold = self._pool = self._static = pool_amount
        self._scale = 1.0
        self._owed = {tranche.name: tranche.thickness_rate * pool_amount for tranche in deal.tranches}
        names = [tranche.name for tranche in deal.tranches]
        self._interest, self._principal, self._outstanding = (
            {name: np.zeros(months) for name in names} for _ in range(3)
        )
        self._bought = np.zeros(months)
        self._defaulted = 0.0
        self._triggered: int | None = None

    def pay(self, month: int, principal: float, interest: float, default: float, recovery: float) -> None:
        if self._static > _NOTHING_LEFT * self._sold:
            self._scale = self._pool / self._static
        self._static -= principal + default
        scale = self._scale
        interest, principal = interest * scale, min(principal * scale, self._pool)
        default = min(default * scale, self._pool - principal)
        self._pool -= principal + default
        self._defaulted += default
        if self._triggered is None and self._defaulted > self._deal.bad_share_trigger * self._sold:
            self._triggered = month
        spread = self._pay_interest(month, interest)
        cover = min(spread, default)
        available = principal + recovery * scale + cover
        is_revolving = month < self._deal.revolving_months and self._triggered is None
        if is_revolving:
            self._bought[month] = available
            self._pool += available
        else:
            available = self._pay_principal(month, available)
        last = self._deal.tranches[-1].name
        self._interest[last][month] += spread - cover + (0.0 if is_revolving else available)
        for name, owed in self._owed.items():
            self._outstanding[name][month] = owed

    def _pay_interest(self, month: int, available: float) -> float:
        available -= min(available, self._deal.servicing_rate / 12.0 * self._pool)
        for tranche in self._deal.tranches[:-1]:
            paid = min(available, tranche.coupon_rate / 12.0 * self._owed[tranche.name])
            self._interest[tranche.name][month] = paid
            available -= paid
        return available

    def _pay_principal(self, month: int, available: float) -> float:
        for name in self._owed:
            paid = min(available, self._owed[name])
            self._principal[name][month] = paid
            self._owed[name] -= paid
            available -= paid
        return available

    def result(self) -> Waterfall:
        return Waterfall(
            interest_amount=self._interest,
            principal_amount=self._principal,
            outstanding_amount=self._outstanding,
            bought_amount=self._bought,
            triggered_month=self._triggered,
            loss_amount={name: max(owed, 0.0) for name, owed in self._owed.items()},
        )
