"""What a score is worth in money: the H-measure, and the expected maximum profit of consumer credit.

Both look along the convex hull of the ROC curve and weigh each cut-off by how likely the costs are
under which it is best. Loans at or above a cut-off are rejected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.discrimination import Interval
from fedcredit.credit.ranking import steps
from fedcredit.credit.resampling import Rejected, bootstrap_interval
from fedcredit.credit.scored import Scored
from fedcredit.errors import InputError

_NODES = 32


@dataclass(frozen=True, kw_only=True)
class LossAndReturn:
    """What lenders lose on a default and earn on a good loan, as fractions of the amount lent.

    Of a defaulted loan the share lost is 0 with probability ``no_loss_share``, 1 with probability
    ``total_loss_share``, and else uniform between. ``return_rate`` is the return on investment of a
    good loan over its life.

    Raises:
        InputError: if a share is outside [0, 1], both exceed 1 together, or the return is not above 0.
    """

    no_loss_share: float
    total_loss_share: float
    return_rate: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        shares = (self.no_loss_share, self.total_loss_share)
        if min(shares) < 0.0 or sum(shares) > 1.0:
            raise InputError(
                f"no_loss_share is {shares[0]} and total_loss_share {shares[1]}; both are at least 0 and together at "
                "most 1"
            )
        if not 0.0 < self.return_rate < float("inf"):
            raise InputError(f"return_rate is {self.return_rate}; give a fraction above 0, for example 0.2644")


PUBLISHED = LossAndReturn(no_loss_share=0.55, total_loss_share=0.10, return_rate=0.2644)
"""The parameters of Verbraken, Bravo, Weber and Baesens (EJOR 238, 2014): most defaults lose nothing."""

UNSECURED = LossAndReturn(no_loss_share=0.12, total_loss_share=0.45, return_rate=0.2644)
"""Unsecured consumer credit: 12 % of defaults cure and the mean loss is .67 of principal (loss given default .75 of an
exposure of .9), an assumption of ours: pools of bad Chinese card debt of 2023 expected 4.5 to 14.8 % back. Put your own
figures in its place; the return is Verbraken's."""


@dataclass(frozen=True, kw_only=True)
class HMeasure:
    """The H-measure with the Beta(``alpha``, ``beta``) law of the cost it was taken under."""

    value: float
    alpha: float
    beta: float


@dataclass(frozen=True, kw_only=True)
class MaximumProfit:
    """Expected maximum profit a loan, per unit of amount, and the share of loans then rejected."""

    value: float
    rejected_share: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Hull:
    """Vertices of the ROC hull as shares rejected, from none to all, and the bad rate."""

    bads: NDArray[np.float64]
    goods: NDArray[np.float64]
    bad_rate: float


def h_measure(pd: ArrayLike, default: ArrayLike, *, severity_ratio: float | None = None) -> HMeasure | None:
    """Return the H-measure: the share of the expected loss of the best blind rule that the score saves.

    Hand (Machine Learning 77, 2009); the law of Hand and Anagnostopoulos (Pattern Recognition Letters
    40, 2014). Rejecting a good costs c and accepting a bad 1 - c, with c ~ Beta(2, 1 + 1 / s), whose
    mode is s / (1 + s). Without a ``severity_ratio`` s is bads over goods: Beta(2, 1 + goods / bads).

        H = 1 - E min over t of [c p0 R0(t) + (1-c) p1 (1 - R1(t))] / E min(c p0, (1-c) p1)

    with p0, p1 the shares of goods and bads and R0, R1 the shares of them that t rejects.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        severity_ratio: how many times as much the rejection of a good costs as a bad loan, above 0.

    Returns:
        The measure in [0, 1], or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans, or the ratio is not above 0.
    """
    scored = Scored(pd=pd, default=default)
    if severity_ratio is not None and not 0.0 < severity_ratio < float("inf"):
        raise InputError(f"severity_ratio is {severity_ratio}; give a number above 0, or leave it out")
    if not scored.has_both_classes:
        return None
    hull = _hull(scored)
    ratio = hull.bad_rate / (1.0 - hull.bad_rate) if severity_ratio is None else severity_ratio
    alpha, beta = 2.0, 1.0 + 1.0 / ratio
    bads, goods = hull.bad_rate * np.diff(hull.bads), (1.0 - hull.bad_rate) * np.diff(hull.goods)
    ends = np.concatenate([[1.0], bads / (bads + goods), [0.0]])
    loss = _expected_loss(hull.bads, hull.goods, ends[1:], ends[:-1], bad_rate=hull.bad_rate, law=(alpha, beta))
    rate = hull.bad_rate
    blind = _expected_loss(
        np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([rate, 0.0]), np.array([1.0, rate]),
        bad_rate=rate, law=(alpha, beta),
    )  # fmt: skip
    return HMeasure(value=max(0.0, 1.0 - loss / blind), alpha=alpha, beta=beta)


def maximum_profit(pd: ArrayLike, default: ArrayLike, *, terms: LossAndReturn = UNSECURED) -> MaximumProfit | None:
    """Return the expected maximum profit over lending to everybody, and the share to reject for it.

    Verbraken, Bravo, Weber and Baesens (EJOR 238, 2014): with loss l of a default and return r,

        EMP = E over l of max over t of [l p1 R1(t) - r p0 R0(t)]

    with p0, p1 the shares of goods and bads and R0, R1 the shares of them that t rejects.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        terms: losses and return.

    Returns:
        The profit, at least 0, or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.has_both_classes:
        return None
    hull = _hull(scored)
    bads, goods = hull.bad_rate * hull.bads, (1.0 - hull.bad_rate) * hull.goods
    with np.errstate(divide="ignore"):
        turns = terms.return_rate * np.diff(goods) / np.diff(bads)
    ends = np.minimum(np.concatenate([[0.0], turns, [np.inf]]), 1.0)
    lower, upper = ends[:-1], ends[1:]
    uniform = 1.0 - terms.no_loss_share - terms.total_loss_share
    best = int(np.argmax(bads - terms.return_rate * goods))
    profit = bads * (upper**2 - lower**2) / 2.0 - terms.return_rate * goods * (upper - lower)
    return MaximumProfit(
        value=float(uniform * profit.sum() + terms.total_loss_share * (bads - terms.return_rate * goods)[best]),
        rejected_share=float(
            uniform * ((bads + goods) * (upper - lower)).sum() + terms.total_loss_share * (bads + goods)[best]
        ),
    )


def h_measure_interval(
    pd: ArrayLike, default: ArrayLike, *, generator: np.random.Generator, confidence: float = 0.95
) -> Interval | None:
    """Return the bootstrap interval of the H-measure; the law of the cost stays that of the sample.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        generator: what the resamples are drawn from.
        confidence: level of the interval, in (0, 1).

    Returns:
        The interval, or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans, or the level is outside (0, 1).
    """
    from scipy.special import betaincinv

    found = h_measure(pd, default)
    if found is None:
        return None
    cost = betaincinv(found.alpha, found.beta, (np.arange(_NODES) + 0.5) / _NODES)

    def at(shares: Rejected) -> NDArray[np.float64]:
        rate = shares.bad_rate[:, None]
        losses = [
            (np.minimum.reduce(c * (1.0 - rate) * shares.goods + (1.0 - c) * rate * (1.0 - shares.bads), axis=1))
            for c in cost
        ]
        blind = np.minimum(cost * (1.0 - rate), (1.0 - cost) * rate).sum(axis=1)
        return np.asarray(1.0 - np.sum(losses, axis=0) / blind, dtype=np.float64)

    loans = Scored(pd=pd, default=default)
    return bootstrap_interval(found.value, at, loans, generator=generator, confidence=confidence)


def maximum_profit_interval(
    pd: ArrayLike, default: ArrayLike, *, generator: np.random.Generator, terms: LossAndReturn = UNSECURED,
    confidence: float = 0.95,
) -> Interval | None:  # fmt: skip
    """Return the bootstrap interval of the expected maximum profit.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        generator: what the resamples are drawn from.
        terms: losses and return.
        confidence: level of the interval, in (0, 1).

    Returns:
        The interval, or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans, or the level is outside (0, 1).
    """
    found = maximum_profit(pd, default, terms=terms)
    if found is None:
        return None
    uniform = 1.0 - terms.no_loss_share - terms.total_loss_share
    losses = [*((np.arange(_NODES) + 0.5) / _NODES).tolist(), 1.0]
    weights = [*[uniform / _NODES] * _NODES, terms.total_loss_share]

    def at(shares: Rejected) -> NDArray[np.float64]:
        rate = shares.bad_rate[:, None]
        bads, goods = rate * shares.bads, terms.return_rate * (1.0 - rate) * shares.goods
        best = [w * np.maximum.reduce(loss * bads - goods, axis=1) for loss, w in zip(losses, weights, strict=True)]
        return np.asarray(np.sum(best, axis=0), dtype=np.float64)

    loans = Scored(pd=pd, default=default)
    return bootstrap_interval(found.value, at, loans, generator=generator, confidence=confidence)


def _hull(scored: Scored) -> _Hull:
    at = steps(scored)
    num_bads, num_goods = scored.num_defaults, scored.num_loans - scored.num_defaults
    points = zip(np.cumsum(at.goods[::-1]).tolist(), np.cumsum(at.bads[::-1]).tolist(), strict=True)
    kept: list[tuple[int, int]] = [(0, 0)]
    for point in points:
        while len(kept) > 1 and _turns_left(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    hull = np.array(kept, dtype=np.float64)
    return _Hull(bads=hull[:, 1] / num_bads, goods=hull[:, 0] / num_goods, bad_rate=num_bads / scored.num_loans)


def _turns_left(first: tuple[int, int], middle: tuple[int, int], last: tuple[int, int]) -> bool:
    """Say, in whole numbers, whether the middle point lies on or below the line of the other two."""
    return (middle[0] - first[0]) * (last[1] - first[1]) >= (last[0] - first[0]) * (middle[1] - first[1])


def _expected_loss(
    bads: NDArray[np.float64], goods: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64],
    *, bad_rate: float, law: tuple[float, float],
) -> float:  # fmt: skip
    """Integrate each vertex's loss over the costs under which it is best, by incomplete Beta functions."""
    from scipy.special import betainc

    alpha, beta = law
    of_cost = (betainc(alpha + 1.0, beta, upper) - betainc(alpha + 1.0, beta, lower)) * alpha / (alpha + beta)
    of_rest = (betainc(alpha, beta + 1.0, upper) - betainc(alpha, beta + 1.0, lower)) * beta / (alpha + beta)
    return float(np.sum((1.0 - bad_rate) * goods * of_cost + bad_rate * (1.0 - bads) * of_rest))
