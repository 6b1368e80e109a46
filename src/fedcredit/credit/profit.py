"""What a score is worth at the cut-off that earns most: the expected maximum profit of a loan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit.roc_hull import RocHull, roc_hull
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LossAndReturn:
    """What a bad loan loses and a good one earns, as shares of the principal.

    The share lost is 0 with probability ``no_loss_probability``, 1 with ``total_loss_probability``, and uniform in
    between otherwise. The defaults are those of Verbraken, Bravo, Weber and Baesens (European Journal of Operational
    Research 238 (2014) 505) for consumer loans with some security.

    Attributes:
        no_loss_probability: in [0, 1].
        total_loss_probability: in [0, 1]; with the other at most 1.
        return_rate: what a good loan earns, per principal and over its life, above 0.

    Raises:
        InputError: if one is outside its range.
    """

    no_loss_probability: float = 0.55
    total_loss_probability: float = 0.10
    return_rate: float = 0.2644

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("no_loss_probability", "total_loss_probability"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name} is {getattr(self, name)}; allowed is from 0 to 1")
        if self.no_loss_probability + self.total_loss_probability > 1.0 + 1e-12:
            raise InputError(
                f"no_loss_probability and total_loss_probability are {self.no_loss_probability} and "
                f"{self.total_loss_probability}; together at most 1 is allowed"
            )
        if not (np.isfinite(self.return_rate) and self.return_rate > 0.0):
            raise InputError(f"return_rate is {self.return_rate}; allowed is above 0, for example 0.2644")

    @property
    def mean_loss_rate(self) -> float:
        """The expected share of the principal that a bad loan loses."""
        return self.total_loss_probability + 0.5 * (1.0 - self.no_loss_probability - self.total_loss_probability)


UNSECURED = LossAndReturn(no_loss_probability=0.12, total_loss_probability=0.45)
"""Unsecured consumer credit: a mean loss of two thirds of the principal (loss given default .75, exposure .9)."""


@dataclass(frozen=True, kw_only=True)
class MaximumProfit:
    """The expected maximum profit.

    Attributes:
        profit_rate: per applicant and unit of principal, over accepting everybody; at least 0.
        rejected_rate: the share of applicants that the best cut-offs reject, on average.
    """

    profit_rate: float
    rejected_rate: float


def expected_maximum_profit(
    pd: ArrayLike, default: ArrayLike, *, terms: LossAndReturn | None = None
) -> MaximumProfit | None:
    """Return what the best cut-off earns over accepting everybody, averaged over the share that bad loans lose.

    Verbraken et al. (2014): for each share lost, L, the cut-off maximises L x bads rejected - return x goods rejected
    (both as shares of all applicants); it lies on the hull of the ROC curve.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        terms: losses and returns; the paper's by default, ``UNSECURED`` for unsecured consumer credit.

    Returns:
        Profit and rejected share; ``None`` without both outcomes.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    hull = roc_hull(pd, default)
    return None if hull is None else profit_of_hull(hull, LossAndReturn() if terms is None else terms)


def profit_of_hull(hull: RocHull, terms: LossAndReturn) -> MaximumProfit:
    """Return the expected maximum profit of a hull, whatever it was made from.

    Args:
        hull: the corners of a ROC curve and the bad rate.
        terms: losses and returns.

    Returns:
        Profit and rejected share.
    """
    saved = hull.bad_rate * hull.bads_rejected
    forgone = terms.return_rate * (1.0 - hull.bad_rate) * hull.goods_rejected
    with np.errstate(divide="ignore"):
        turns = np.where(np.diff(saved) > 0.0, np.diff(forgone) / np.diff(saved), np.inf)
    edges = np.minimum(np.concatenate(([0.0], turns, [np.inf])), 1.0)
    low, high = edges[:-1], edges[1:]
    between = 1.0 - terms.no_loss_probability - terms.total_loss_probability
    spread = between * (high - low)
    at_one = int(np.argmax(saved - forgone))
    profit = float(np.sum(between * saved * (high**2 - low**2) / 2.0 - forgone * spread))
    rejected = float(np.sum(hull.rejected * spread))
    return MaximumProfit(
        profit_rate=profit + terms.total_loss_probability * float(saved[at_one] - forgone[at_one]),
        rejected_rate=rejected + terms.total_loss_probability * float(hull.rejected[at_one]),
    )
