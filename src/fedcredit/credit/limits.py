"""Limits: how much to lend, and when to change it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LimitPolicy:
    """What a limit follows from.

    Attributes:
        cap_amount: the highest limit, above 0.
        debt_service_rate: share of monthly income that all instalments may take, in (0, 1].
        expected_loss_amount: the most that may be lost on an account in a year, on average, above 0.
        conversion_factor: share of the unused limit that is drawn before a default, in (0, 1].
        tenor_months: over which a fully used limit is repaid, at least 1.
        monthly_rate: fee and interest a month, at least 0.
        least_change_rate: a change smaller than this share of the limit is not made.
        months_between_raises: at least so many months lie between two raises.
        cut_rate: what is left of the limit after an alarm (M1, or risk that has doubled), in [0, 1].
        risk_factor: risk that has grown by this factor since the last change is an alarm, above 1.
    """

    cap_amount: float = 50_000.0
    debt_service_rate: float = 0.4
    expected_loss_amount: float = 400.0
    conversion_factor: float = 0.6
    tenor_months: int = 12
    monthly_rate: float = 0.008
    least_change_rate: float = 0.2
    months_between_raises: int = 3
    cut_rate: float = 0.5
    risk_factor: float = 2.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        setting(self.cap_amount, "cap_amount", low=0.0, is_open=True)
        setting(self.debt_service_rate, "debt_service_rate", low=0.0, high=1.0, is_open=True)
        setting(self.expected_loss_amount, "expected_loss_amount", low=0.0, is_open=True)
        setting(self.conversion_factor, "conversion_factor", low=0.0, high=1.0, is_open=True)
        setting(self.tenor_months, "tenor_months", low=1, high=600)
        setting(self.monthly_rate, "monthly_rate", low=0.0, high=1.0)
        setting(self.least_change_rate, "least_change_rate", low=0.0, high=1.0)
        setting(self.months_between_raises, "months_between_raises", low=0)
        setting(self.cut_rate, "cut_rate", low=0.0, high=1.0)
        setting(self.risk_factor, "risk_factor", low=1.0, is_open=True)

    @property
    def annuity_factor(self) -> float:
        """What one unit of monthly payment repays: (1 - (1 + r)^-n) / r."""
        if self.monthly_rate == 0.0:
            return float(self.tenor_months)
        return float(-np.expm1(-self.tenor_months * np.log1p(self.monthly_rate)) / self.monthly_rate)


@dataclass(frozen=True, kw_only=True)
class LimitMoney:
    """What a path of limits earned and lost, amounts in the currency of the limits."""

    mean_limit_amount: float
    revenue_amount: float
    loss_amount: float
    num_raises: int
    num_cuts: int


def limit_amounts(
    *,
    pd: ArrayLike,
    lgd: ArrayLike,
    income_amount: ArrayLike,
    other_debt_service_amount: ArrayLike,
    policy: LimitPolicy,
) -> Floats:
    """Set limits: the smallest of the cap, what income can service, and what may be lost.

    Args:
        pd: probability of default within a year, ``[accounts]``, in [0, 1].
        lgd: share lost given default, ``[accounts]``, in [0, 1].
        income_amount: monthly, ``[accounts]``, at least 0.
        other_debt_service_amount: instalments paid elsewhere each month, ``[accounts]``, at least 0.
        policy: the rules.

    Returns:
        Limits, ``[accounts]``, at least 0.

    Raises:
        InputError: if a number is out of range.
    """
    risk = numbers(pd, "pd", low=0.0, high=1.0)
    lost = numbers(lgd, "lgd", low=0.0, high=1.0, num=risk.size)
    income = numbers(income_amount, "income_amount", low=0.0, num=risk.size)
    other = numbers(other_debt_service_amount, "other_debt_service_amount", low=0.0, num=risk.size)
    room = np.maximum(policy.debt_service_rate * income - other, 0.0) * policy.annuity_factor
    with np.errstate(divide="ignore"):
        budget = policy.expected_loss_amount / (risk * lost * policy.conversion_factor)
    return np.minimum(np.minimum(room, budget), policy.cap_amount)


def exposure_at_default(balance_amount: ArrayLike, limit_amount: ArrayLike, *, conversion_factor: float) -> Floats:
    """Return what will be owed at default: balance + conversion factor x (limit - balance).

    Args:
        balance_amount: owed now, ``[accounts]``, at least 0.
        limit_amount: ``[accounts]``, at least 0; where the balance is above it, the balance is the exposure.
        conversion_factor: in [0, 1].

    Returns:
        Exposures, ``[accounts]``.

    Raises:
        InputError: if a number is out of range.
    """
    balance = numbers(balance_amount, "balance_amount", low=0.0)
    limit = numbers(limit_amount, "limit_amount", low=0.0, num=balance.size)
    factor = setting(conversion_factor, "conversion_factor", low=0.0, high=1.0)
    return balance + factor * np.maximum(limit - balance, 0.0)


def dynamic_limits(
    *, start_amount: ArrayLike, wanted_amount: ArrayLike, pd: ArrayLike, is_late: ArrayLike, policy: LimitPolicy
) -> NDArray[np.float64]:
    """Change limits month by month, with hysteresis.

    An account that is late (M1 or worse), or whose risk has grown by ``risk_factor`` since its last change, is cut
    once until it recovers. Otherwise its limit moves to the wanted one if that is further away than
    ``least_change_rate``; it is raised at most every ``months_between_raises`` months.

    Args:
        start_amount: limits before month 0, ``[accounts]``, at least 0.
        wanted_amount: what `limit_amounts` says each month, ``[months, accounts]``.
        pd: risk seen each month, ``[months, accounts]``, in [0, 1].
        is_late: M1 or worse, ``[months, accounts]``.
        policy: the rules.

    Returns:
        Limits after each month, ``[months, accounts]``.

    Raises:
        InputError: if arrays do not fit together.
    """
    limit = numbers(start_amount, "start_amount", low=0.0).copy()
    wanted, risk, late = (np.asarray(table) for table in (wanted_amount, pd, is_late))
    if not wanted.shape == risk.shape == late.shape or wanted.shape[1:] != limit.shape:
        raise InputError(
            f"wanted_amount, pd and is_late have shapes {wanted.shape}, {risk.shape} and {late.shape} for {limit.size} "
            "accounts; give one row a month and one column an account in all three"
        )
    path = np.empty(wanted.shape)
    reference = risk[0].astype(np.float64) if len(risk) else np.empty(limit.size)
    last_raise, is_cut = np.full(limit.size, -policy.months_between_raises), np.zeros(limit.size, dtype=np.bool_)
    for month in range(len(wanted)):
        alarmed = late[month].astype(np.bool_) | (risk[month] >= policy.risk_factor * reference)
        cut = alarmed & ~is_cut
        far = np.abs(wanted[month] - limit) > policy.least_change_rate * limit
        raised = ~alarmed & far & (wanted[month] > limit) & (month - last_raise >= policy.months_between_raises)
        lowered = ~alarmed & far & (wanted[month] < limit)
        limit = np.where(cut, policy.cut_rate * limit, np.where(raised | lowered, wanted[month], limit))
        last_raise = np.where(raised, month, last_raise)
        reference = np.where(raised | lowered, risk[month], reference)
        is_cut = alarmed
        path[month] = limit
    return path


def money_of_limits(
    path: NDArray[np.float64],
    *,
    start_amount: ArrayLike,
    use_rate: ArrayLike,
    default_month: ArrayLike,
    lgd: ArrayLike,
    monthly_margin_rate: float,
    first_month: ArrayLike | None = None,
) -> LimitMoney:
    """Count what a path of limits earned on what was used of it, and lost at default.

    Args:
        path: limits after each month, ``[months, accounts]``.
        start_amount: limits before month 0, ``[accounts]``.
        use_rate: share of the limit that is used, ``[accounts]``, at least 0.
        default_month: the month of default, ``[accounts]``; beyond the months for none.
        lgd: share lost given default, ``[accounts]``, in [0, 1].
        monthly_margin_rate: earned on what is used each month, at least 0.
        first_month: from which on an account counts, ``[accounts]``, at least 0; 0 for all by default.

    Returns:
        Money and counts.

    Raises:
        InputError: if a number is out of range.
    """
    use = numbers(use_rate, "use_rate", low=0.0, num=path.shape[1])
    lost = numbers(lgd, "lgd", low=0.0, high=1.0, num=use.size)
    ends = numbers(default_month, "default_month", low=0.0, num=use.size)
    margin = setting(monthly_margin_rate, "monthly_margin_rate", low=0.0, high=1.0)
    months = np.arange(len(path))[:, None]
    begins = np.zeros(use.size) if first_month is None else numbers(first_month, "first_month", low=0.0, num=use.size)
    alive = (months < ends[None, :]) & (months >= begins[None, :])
    at_default = (months == ends[None, :]) * (ends >= begins)[None, :] * path
    steps = np.diff(path, axis=0, prepend=numbers(start_amount, "start_amount", low=0.0, num=use.size)[None, :])
    return LimitMoney(
        mean_limit_amount=float(path[alive].mean()) if alive.any() else 0.0,
        revenue_amount=float((path * alive * use).sum()) * margin,
        loss_amount=float((at_default * use * lost).sum()),
        num_raises=int(np.count_nonzero((steps > 0.0) & alive)),
        num_cuts=int(np.count_nonzero((steps < 0.0) & alive)),
    )
