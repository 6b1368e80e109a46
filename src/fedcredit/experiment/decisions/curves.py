"""Curves behind a run's decisions: profit by how many are approved, and the pool's loss by how likely it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.approval import Terms
from fedcredit.credit.concentration import LossDistribution, stressed_pd
from fedcredit.credit.lending import LendingPolicy
from fedcredit.credit.loans import Floats

_STEPS = 40
APPROVAL_RATES = tuple(step / _STEPS for step in range(_STEPS // 2, _STEPS + 1))
EXCEEDED = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
_LEAST_PD, _MOST_PD = 1e-6, 0.999


@dataclass(frozen=True, kw_only=True)
class ProfitPoint:
    """What a cut-off earns: the share of loans below it, and profit per 100 of all that was asked for."""

    approval_rate: float
    profit_per_100_asked: float


@dataclass(frozen=True, kw_only=True)
class ProfitCurve:
    """Profit by how many are approved, the safest first.

    Attributes:
        model: whose ranking it is.
        points: approval rates rising to all, from a half or from what the cut-off approves, if that is fewer.
        at_cut_off: what the profit cut-off approves and earns.
        is_true: whether profit is expected at the true PD; else it is as outcomes went.
    """

    model: str
    points: tuple[ProfitPoint, ...]
    at_cut_off: ProfitPoint
    is_true: bool


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """Loss of a pool that is passed with a probability, as a share of the pool.

    Attributes:
        exceeded: probabilities, falling.
        large_pool_rate: of a large even pool of the same mean PD (Vasicek 2002).
        simulated_rate: of the pool's own loans; ``None`` where there are too few draws for it.
    """

    exceeded: tuple[float, ...]
    large_pool_rate: tuple[float, ...]
    simulated_rate: tuple[float | None, ...]


def profit_curve(
    model: str, pd: Floats, chance: Floats, amount: Floats, *, terms: Terms, is_true: bool
) -> ProfitCurve | None:
    """Follow profit as the cut-off rises.

    Args:
        model: whose ranking it is.
        pd: what the cut-off is laid through, ``[loans]``.
        chance: true PD, or 0 and 1 as outcomes went, ``[loans]``.
        amount: what each loan lends, ``[loans]``.
        terms: what loans earn and lose.
        is_true: whether ``chance`` is the truth.

    Returns:
        The curve; ``None`` where nothing was asked for.
    """
    asked = float(amount.sum())
    if asked <= 0.0:
        return None
    order = np.argsort(pd, kind="stable")
    worth = ((1.0 - chance) * terms.margin_rate - chance * terms.lgd_rate) * amount
    earned = np.concatenate([[0.0], np.cumsum(worth[order])])

    def point(num: int) -> ProfitPoint:
        return ProfitPoint(approval_rate=num / pd.size, profit_per_100_asked=100.0 * float(earned[num]) / asked)

    num_below = int(np.count_nonzero(pd < terms.break_even_pd))
    fewer = [step / _STEPS for step in range(_STEPS // 2) if (step + 1) * pd.size > num_below * _STEPS]
    nums = [round(rate * pd.size) for rate in (*fewer, *APPROVAL_RATES)]
    return ProfitCurve(
        model=model,
        points=tuple(point(num) for num in nums),
        at_cut_off=point(num_below),
        is_true=is_true,
    )


def loss_curve(
    pd: Floats, amount: Floats, simulated: LossDistribution | None, *, policy: LendingPolicy
) -> LossCurve | None:
    """Set the loss of a pool against the probability of passing it.

    Args:
        pd: of the pool's loans, ``[loans]``.
        amount: what they lend, ``[loans]``.
        simulated: draws of their loss.
        policy: loss given default and correlation.

    Returns:
        The curve; ``None`` for an empty pool.
    """
    total = float(amount.sum())
    if simulated is None or total <= 0.0:
        return None
    pool_pd = float(np.clip((pd * amount).sum() / total, _LEAST_PD, _MOST_PD))
    num_draws = simulated.losses_amount.size
    return LossCurve(
        exceeded=EXCEEDED,
        large_pool_rate=tuple(
            policy.terms.lgd_rate * float(stressed_pd([pool_pd], rho=policy.rho, quantile=1.0 - chance)[0])
            for chance in EXCEEDED
        ),
        simulated_rate=tuple(
            simulated.quantile_rate(1.0 - chance) if chance * num_draws >= 1.0 else None for chance in EXCEEDED
        ),
    )


def truth_or_outcome(truth: Floats | None, default: NDArray[np.bool_]) -> Floats:
    """Return what profit is reckoned by: the true PD where it is known, else what happened."""
    return default.astype(np.float64) if truth is None else truth
