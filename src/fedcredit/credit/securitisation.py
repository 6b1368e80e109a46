"""Selling a pool: which loans, cut into which tranches, and what the tranches lose."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.stats import norm

from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Tranche:
    """A slice of a pool's losses.

    Attributes:
        name: what it is called.
        thickness_rate: its share of the pool, above 0 and at most 1.
        coupon_rate: yearly interest on what is outstanding, at least 0; the most subordinated takes what is left.
    """

    name: str
    thickness_rate: float
    coupon_rate: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        setting(self.thickness_rate, f"thickness_rate of tranche {self.name}", low=0.0, high=1.0, is_open=True)
        setting(self.coupon_rate, f"coupon_rate of tranche {self.name}", low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class Deal:
    """How a pool is cut and run.

    Attributes:
        tranches: the most senior first; thicknesses add up to 1, coupons do not fall with seniority.
        revolving_months: while principal buys new loans instead of being paid out.
        bad_share_trigger: accumulated defaults over the pool that end the revolving period at once, in (0, 1].
        servicing_rate: yearly fee on the pool, before everything else.
    """

    tranches: Sequence[Tranche]
    revolving_months: int = 0
    bad_share_trigger: float = 1.0
    servicing_rate: float = 0.0

    def __post_init__(self) -> None:
        """Check order and ranges."""
        setting(self.revolving_months, "revolving_months", low=0, high=1200)
        setting(self.bad_share_trigger, "bad_share_trigger", low=0.0, high=1.0, is_open=True)
        setting(self.servicing_rate, "servicing_rate", low=0.0, high=1.0)
        total = sum(tranche.thickness_rate for tranche in self.tranches)
        if len(self.tranches) < 2 or abs(total - 1.0) > 1e-9:
            raise InputError(
                f"tranches: {len(self.tranches)} with thicknesses that add up to {total:g}; give at least two that add "
                "up to 1"
            )
        names = [tranche.name for tranche in self.tranches]
        if len(set(names)) < len(names):
            raise InputError(f"tranches: a name stands twice among {', '.join(names)}; give each its own")
        coupons = [tranche.coupon_rate for tranche in self.tranches[:-1]]
        if coupons != sorted(coupons):
            raise InputError(
                "tranches: a senior one has a higher coupon_rate than the next; give the most senior first"
            )

    def attachments(self) -> Mapping[str, tuple[float, float]]:
        """Return where each tranche begins and ends to lose, as shares of the pool; the last tranche begins at 0."""
        points, end = {}, 0.0
        for tranche in reversed(self.tranches):
            points[tranche.name] = (end, end + tranche.thickness_rate)
            end += tranche.thickness_rate
        return {tranche.name: points[tranche.name] for tranche in self.tranches}


JD_BAITIAO_2015 = Deal(
    tranches=(
        Tranche(name="senior", thickness_rate=0.75, coupon_rate=0.051),
        Tranche(name="mezzanine", thickness_rate=0.13, coupon_rate=0.073),
        Tranche(name="subordinated", thickness_rate=0.12),
    ),
    revolving_months=12,
    bad_share_trigger=0.05,
)
"""JD Baitiao's first deal: 800 million CNY, 75 / 13 / 12, the last slice kept by the seller."""


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """Which loans a pool may hold."""

    max_days_past_due: int = 0
    min_months_on_book: int = 1
    max_remaining_months: int = 24
    max_pd: float = 0.10

    def __post_init__(self) -> None:
        """Check the ranges."""
        setting(self.max_days_past_due, "max_days_past_due", low=0)
        setting(self.min_months_on_book, "min_months_on_book", low=0)
        setting(self.max_remaining_months, "max_remaining_months", low=1)
        setting(self.max_pd, "max_pd", low=0.0, high=1.0, is_open=True)


def eligible(
    *,
    days_past_due: ArrayLike,
    months_on_book: ArrayLike,
    remaining_months: ArrayLike,
    pd: ArrayLike,
    rules: Eligibility,
) -> NDArray[np.bool_]:
    """Choose the loans of a pool.

    Args:
        days_past_due: ``[loans]``, at least 0.
        months_on_book: ``[loans]``, at least 0.
        remaining_months: ``[loans]``, at least 0.
        pd: ``[loans]``, in [0, 1].
        rules: what is allowed.

    Returns:
        Which loans may be sold, ``[loans]``.

    Raises:
        InputError: if a number is out of range.
    """
    late = numbers(days_past_due, "days_past_due", low=0.0)
    seasoned = numbers(months_on_book, "months_on_book", low=0.0, num=late.size)
    left = numbers(remaining_months, "remaining_months", low=0.0, num=late.size)
    risk = numbers(pd, "pd", low=0.0, high=1.0, num=late.size)
    chosen: NDArray[np.bool_] = (
        (late <= rules.max_days_past_due)
        & (seasoned >= rules.min_months_on_book)
        & (left >= 1)
        & (left <= rules.max_remaining_months)
        & (risk <= rules.max_pd)
    )
    return chosen


def tranche_losses(deal: Deal, *, pd: float, lgd: float, rho: float) -> Mapping[str, float]:
    """Return the expected loss of each tranche of a large even pool, as a share of the tranche.

    E[min(max(L - A, 0), D - A)] / (D - A) with L = LGD Phi((Phi^-1(PD) - sqrt(rho) Z) / sqrt(1 - rho)) (Vasicek 2002).
    Thickness times loss adds up to PD times LGD.

    Args:
        deal: the tranches.
        pd: of the pool, in (0, 1).
        lgd: share lost given default, in (0, 1].
        rho: asset correlation, above 0 and below 1.

    Returns:
        Tranche -> expected loss rate.

    Raises:
        InputError: if a number is out of range.
    """
    setting(pd, "pd", low=0.0, high=0.999_999, is_open=True)
    setting(lgd, "lgd", low=0.0, high=1.0, is_open=True)
    setting(rho, "rho", low=0.0, high=0.999, is_open=True)
    points = deal.attachments()
    edges = sorted({edge for pair in points.values() for edge in pair})
    above = {edge: _mean_beyond(edge, pd=pd, lgd=lgd, rho=rho) for edge in edges}
    return {name: (above[low] - above[high]) / (high - low) for name, (low, high) in points.items()}


def tranche_losses_of(deal: Deal, pool_loss_rate: ArrayLike) -> Mapping[str, Floats]:
    """Share simulated losses of a pool out to its tranches.

    Args:
        deal: the tranches.
        pool_loss_rate: losses over the pool, ``[draws]``, in [0, 1].

    Returns:
        Tranche -> loss rate of the tranche, ``[draws]``.

    Raises:
        InputError: if a loss is out of range.
    """
    losses = numbers(pool_loss_rate, "pool_loss_rate", low=0.0, high=1.0)
    return {
        name: np.clip(losses - low, 0.0, high - low) / (high - low) for name, (low, high) in deal.attachments().items()
    }


def sale_price(
    *, balance_amount: ArrayLike, recovery_curve_rate: ArrayLike, yearly_rate: float, cost_rate: float
) -> Floats:
    """Price non-performing loans by what they are expected to bring in.

    Args:
        balance_amount: owed on each loan, ``[loans]``, at least 0.
        recovery_curve_rate: share of the balance that comes back in month 1, 2, ... after the sale, ``[months]``.
        yearly_rate: what the buyer wants to earn, at least 0.
        cost_rate: share of each recovery that collecting it costs, in [0, 1].

    Returns:
        Prices, ``[loans]``.

    Raises:
        InputError: if a number is out of range, or more than everything comes back.
    """
    balance = numbers(balance_amount, "balance_amount", low=0.0)
    curve = numbers(recovery_curve_rate, "recovery_curve_rate", low=0.0, high=1.0)
    if curve.sum() > 1.0 + 1e-9:
        raise InputError(f"recovery_curve_rate adds up to {curve.sum():g}; at most 1 is allowed")
    setting(yearly_rate, "yearly_rate", low=0.0, high=100.0)
    setting(cost_rate, "cost_rate", low=0.0, high=1.0)
    worth = float(np.sum(curve * (1.0 + yearly_rate) ** (-np.arange(1, curve.size + 1) / 12.0))) * (1.0 - cost_rate)
    return worth * balance


def _mean_beyond(edge: float, *, pd: float, lgd: float, rho: float) -> float:
    """Return E[max(L - edge, 0)] for the loss rate of a large even pool."""
    if edge >= lgd:
        return 0.0
    start = norm.ppf(pd)
    root, rest = np.sqrt(rho), np.sqrt(1.0 - rho)
    turn = np.inf if edge <= 0.0 else float((start - rest * norm.ppf(edge / lgd)) / root)

    def beyond(factor: float) -> float:
        return float((lgd * norm.cdf((start - root * factor) / rest) - edge) * norm.pdf(factor))

    knots = [knot for knot in (-8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0) if knot < turn]
    ends = [-38.0, *knots, min(turn, 38.0)]
    pieces = itertools.pairwise(ends)
    return float(sum(quad(beyond, low, high, epsabs=1e-18, epsrel=1e-10)[0] for low, high in pieces))
