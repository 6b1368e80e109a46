"""Limits that change month by month on the simulated market, against limits that stay as they were set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.approval import Terms
from fedcredit.credit.early_warning import NEVER, first_months
from fedcredit.credit.limits import LimitMoney, LimitPolicy, dynamic_limits, limit_amounts, money_of_limits
from fedcredit.credit.loans import Floats
from fedcredit.data.market.application_columns import application_columns
from fedcredit.data.market.risk import M1
from fedcredit.experiment.decisions.limiting import INCOME_COLUMN, incomes_of
from fedcredit.experiment.decisions.panel import Followed

_YEAR = 12


@dataclass(frozen=True, kw_only=True)
class LimitMonths:
    """What limits earned and lost over the months; amounts in CNY.

    Attributes:
        months: that were looked at.
        num_accounts: whose limits were set.
        static: limits stay as they were set when an account was first watched.
        dynamic: limits follow the policy, with hysteresis.
        static_by_month: mean limit of accounts that have one and are not in default, in each of ``months``; ``None``
            in a month without such an account.
        dynamic_by_month: the same of limits that change.
    """

    months: tuple[int, ...]
    num_accounts: int
    static: LimitMoney
    dynamic: LimitMoney
    static_by_month: tuple[float | None, ...]
    dynamic_by_month: tuple[float | None, ...]


def limits_over_months(followed: Followed, *, terms: Terms, policy: LimitPolicy | None = None) -> LimitMonths:
    """Set a limit when an account is first watched, and change it, or not, in the months that follow.

    What is used of a limit is the share that the account uses of its limit in the market; a used limit earns a twelfth
    of the margin a month, and its used part is lost at default at the account's own loss given default. Defaults after
    the last month that is looked at count for neither.

    Args:
        followed: the accounts.
        terms: margin of a good loan, and the loss given default that limits are set by.
        policy: how limits are set and changed.

    Returns:
        Both, over the same accounts and months.
    """
    rules, market, rows = policy or LimitPolicy(), followed.market, followed.account
    opened = first_months(followed.is_watched)
    seen = _last_seen(followed.pd, followed.is_watched)
    income = incomes_of(application_columns(market)[INCOME_COLUMN][rows].astype(np.float64))
    wanted = np.stack(
        [
            limit_amounts(
                pd=risk,
                lgd=np.full(rows.size, terms.lgd_rate),
                income_amount=income,
                other_debt_service_amount=np.zeros(rows.size),
                policy=rules,
            )
            for risk in seen
        ]
    )
    since = np.arange(len(wanted))[:, None] >= opened[None, :]
    late = (market.history.panel.bucket[followed.months][:, rows] >= M1) & since
    dynamic = dynamic_limits(start_amount=wanted[0], wanted_amount=wanted, pd=seen, is_late=late, policy=rules)
    static = np.broadcast_to(wanted[0], dynamic.shape)
    when = market.history.default_month[rows].astype(np.int64) - int(followed.months[0])
    ends = np.where((when >= opened) & (when < len(wanted)), when, NEVER)

    def money(path: NDArray[np.float64]) -> LimitMoney:
        return money_of_limits(
            path,
            start_amount=wanted[0],
            use_rate=market.accounts.use[rows].astype(np.float64),
            default_month=ends,
            lgd=market.history.losses.lgd[rows].astype(np.float64),
            monthly_margin_rate=terms.margin_rate / _YEAR,
            first_month=opened,
        )

    counts = since & (np.arange(len(wanted))[:, None] < ends[None, :])
    return LimitMonths(
        months=tuple(followed.months.tolist()),
        num_accounts=int(rows.size),
        static=money(static),
        dynamic=money(dynamic),
        static_by_month=_means(static, counts),
        dynamic_by_month=_means(dynamic, counts),
    )


def _last_seen(pd: Floats, is_watched: NDArray[np.bool_]) -> Floats:
    """Carry the last PD that was seen forward, and the first one back, ``[months, accounts]``."""
    months = np.arange(len(pd))[:, None]
    last = np.maximum.accumulate(np.where(is_watched, months, -1), axis=0)
    first = np.argmax(is_watched, axis=0)[None, :]
    seen: Floats = np.take_along_axis(pd, np.where(last < 0, first, last), axis=0)
    return seen


def _means(path: NDArray[np.float64], counts: NDArray[np.bool_]) -> tuple[float | None, ...]:
    return tuple(float(limits[own].mean()) if own.any() else None for limits, own in zip(path, counts, strict=True))
