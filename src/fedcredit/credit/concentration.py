"""Diversification: how a portfolio's losses spread, and what each part adds to the tail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.errors import InputError

RetailClass = Literal["mortgage", "revolving", "other"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LossDistribution:
    """Simulated losses of a portfolio over its horizon.

    Attributes:
        losses_amount: one simulated loss each, ``[draws]``, rising.
        exposure_amount: of the whole portfolio.
    """

    losses_amount: Floats
    exposure_amount: float

    @property
    def expected_loss_rate(self) -> float:
        """Mean loss as a share of exposure."""
        return float(self.losses_amount.mean()) / self.exposure_amount

    def quantile_rate(self, level: float) -> float:
        """Return a quantile of the loss as a share of exposure.

        Args:
            level: in (0, 1).

        Returns:
            The quantile.
        """
        return float(np.quantile(self.losses_amount, setting(level, "level", low=0.0, high=1.0))) / self.exposure_amount


def herfindahl(amount: ArrayLike, group: ArrayLike) -> float:
    """Return the Herfindahl index of exposure over groups: the sum of squared shares.

    Args:
        amount: exposure of each loan, ``[loans]``, at least 0.
        group: scenario, tenor, region or lender of each loan, ``[loans]``.

    Returns:
        From 1 / groups (equal shares) to 1 (all in one).

    Raises:
        InputError: if there is no exposure, or the arrays are not of one length.
    """
    names, codes = np.unique(np.asarray(group), return_inverse=True)
    money = numbers(amount, "amount", low=0.0, num=codes.size)
    total = float(money.sum())
    if total <= 0.0:
        raise InputError("amount is 0 for all loans; a share needs an exposure")
    shares = np.bincount(codes, weights=money, minlength=len(names)) / total
    return float(np.sum(shares**2))


def basel_correlation(pd: ArrayLike, *, retail_class: RetailClass = "other") -> Floats:
    """Return the asset correlation of the Basel retail formula (BCBS 2017, CRE31.13 to 31.16).

    Mortgages .15, qualifying revolving .04, other retail .03 w + .16 (1 - w) with
    w = (1 - e^(-35 PD)) / (1 - e^(-35)).

    Args:
        pd: probability of default within a year, ``[loans]``, in [0, 1].
        retail_class: which of the three.

    Returns:
        Correlations, ``[loans]``.

    Raises:
        InputError: if a PD is out of range, or there is no such class.
    """
    risk = numbers(pd, "pd", low=0.0, high=1.0)
    fixed = {"mortgage": 0.15, "revolving": 0.04}
    if retail_class in fixed:
        return np.full(risk.size, fixed[retail_class])
    if retail_class != "other":
        raise InputError(f"retail_class is {retail_class!r}; allowed: mortgage, revolving, other")
    weight = -np.expm1(-35.0 * risk) / -np.expm1(-35.0)
    correlation: Floats = 0.03 * weight + 0.16 * (1.0 - weight)
    return correlation


def basel_capital(pd: ArrayLike, lgd: ArrayLike, *, retail_class: RetailClass = "other") -> Floats:
    """Return the capital of the Basel retail formula, as a share of exposure.

    K = LGD Phi((Phi^-1(PD) + sqrt(R) Phi^-1(.999)) / sqrt(1 - R)) - PD LGD; PD is at least .0005 (CRE32.4).

    Args:
        pd: probability of default within a year, ``[loans]``, in [0, 1].
        lgd: share lost given default, ``[loans]``, in [0, 1].
        retail_class: see `basel_correlation`.

    Returns:
        Capital rates, ``[loans]``.

    Raises:
        InputError: if a number is out of range.
    """
    risk = np.maximum(numbers(pd, "pd", low=0.0, high=1.0), 0.0005)
    lost = numbers(lgd, "lgd", low=0.0, high=1.0, num=risk.size)
    correlation = basel_correlation(risk, retail_class=retail_class)
    capital: Floats = lost * (stressed_pd(risk, rho=correlation, quantile=0.999) - risk)
    return np.maximum(capital, 0.0)


def stressed_pd(pd: ArrayLike, *, rho: ArrayLike, quantile: float) -> Floats:
    """Return the default rate that is not exceeded with a probability, in Vasicek's single-factor model.

    Vasicek, Risk 15 (2002) 160: Phi((Phi^-1(PD) + sqrt(rho) Phi^-1(q)) / sqrt(1 - rho)).

    Args:
        pd: probability of default, ``[loans]``, in [0, 1].
        rho: asset correlation, a number or ``[loans]``, at least 0 and below 1.
        quantile: q, in (0, 1).

    Returns:
        Default rates, ``[loans]``.

    Raises:
        InputError: if a number is out of range.
    """
    risk = numbers(pd, "pd", low=0.0, high=1.0)
    correlation = _correlation(rho, risk.size)
    bad_times = norm.ppf(setting(quantile, "quantile", low=0.0, high=1.0))
    return _conditional_pd(risk, correlation, -bad_times)


def simulated_losses(
    pd: ArrayLike,
    lgd: ArrayLike,
    ead: ArrayLike,
    *,
    rho: ArrayLike,
    num_draws: int,
    generator: np.random.Generator,
) -> LossDistribution:
    """Simulate the losses of a finite portfolio with one common factor.

    Unlike Vasicek's limit, single large loans show in the tail.

    Args:
        pd: probability of default over the horizon, ``[loans]``, in [0, 1].
        lgd: share lost given default, ``[loans]``, in [0, 1].
        ead: exposure at default, ``[loans]``, at least 0.
        rho: asset correlation, a number or ``[loans]``.
        num_draws: simulated horizons, at least 1.
        generator: the random stream.

    Returns:
        Sorted losses.

    Raises:
        InputError: if a number is out of range, or nothing is exposed.
    """
    risk = numbers(pd, "pd", low=0.0, high=1.0)
    lost = numbers(lgd, "lgd", low=0.0, high=1.0, num=risk.size) * numbers(ead, "ead", low=0.0, num=risk.size)
    exposure = float(np.sum(np.asarray(ead, dtype=np.float64)))
    setting(num_draws, "num_draws", low=1)
    if exposure <= 0.0:
        raise InputError("ead is 0 for all loans; a loss distribution needs an exposure")
    correlation = _correlation(rho, risk.size)
    losses = np.empty(num_draws)
    for draw, factor in enumerate(generator.standard_normal(num_draws)):
        losses[draw] = lost[generator.random(risk.size) < _conditional_pd(risk, correlation, factor)].sum()
    return LossDistribution(losses_amount=np.sort(losses), exposure_amount=exposure)


def tail_contributions(
    pd: ArrayLike, lgd: ArrayLike, ead: ArrayLike, group: ArrayLike, *, rho: ArrayLike, quantile: float = 0.999
) -> Mapping[str, float]:
    """Share out the unexpected loss of a large portfolio over its groups.

    In the single-factor limit a loan's marginal contribution is its stressed loss minus its expected loss (Gordy,
    Journal of Financial Intermediation 12 (2003) 199), so the contributions add up.

    Args:
        pd: probability of default, ``[loans]``, in [0, 1].
        lgd: share lost given default, ``[loans]``, in [0, 1].
        ead: exposure at default, ``[loans]``, at least 0.
        group: scenario, tenor, region or lender, ``[loans]``.
        rho: asset correlation, a number or ``[loans]``.
        quantile: of the common factor.

    Returns:
        Group -> unexpected loss amount.

    Raises:
        InputError: if a number is out of range.
    """
    names, codes = np.unique(np.asarray(group), return_inverse=True)
    risk = numbers(pd, "pd", low=0.0, high=1.0, num=codes.size)
    lost = numbers(lgd, "lgd", low=0.0, high=1.0, num=risk.size) * numbers(ead, "ead", low=0.0, num=risk.size)
    unexpected = lost * (stressed_pd(risk, rho=rho, quantile=quantile) - risk)
    totals = np.bincount(codes, weights=unexpected, minlength=len(names))
    return {str(name): float(total) for name, total in zip(names, totals, strict=True)}


def _conditional_pd(pd: Floats, rho: Floats, factor: float) -> Floats:
    """Return the default probability in a state of the common factor; a low factor is bad times."""
    conditional: Floats = norm.cdf((norm.ppf(pd) - np.sqrt(rho) * factor) / np.sqrt(1.0 - rho))
    return conditional


def _correlation(rho: ArrayLike, num: int) -> Floats:
    return numbers(np.broadcast_to(np.asarray(rho, dtype=np.float64), (num,)), "rho", low=0.0, high=0.999)
