"""How well a score ranks defaulters above the rest.

Every function takes ``pd`` and ``default`` (see ``Scored``) and returns ``None`` where the metric
does not exist, because one class is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.logistic import expit, logit, normal_quantile
from fedcredit.credit.ranking import midranks, steps
from fedcredit.credit.scored import Scored, checked_confidence


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval, its level beside it."""

    lower: float
    upper: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class AucDifference:
    """The AUC of one score minus that of another on the same loans (DeLong et al. 1988)."""

    value: float
    standard_error: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class KolmogorovSmirnov:
    """The KS statistic, and the ``pd`` from which loans would be declined to reach it."""

    value: float
    cut_off: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Placements:
    """Where each loan stands among the loans of the other class; both have mean AUC."""

    of_bads: NDArray[np.float64]
    of_goods: NDArray[np.float64]


def auc(pd: ArrayLike, default: ArrayLike) -> float | None:
    """Return the area under the ROC curve; a tie counts one half.

    Mann and Whitney's count of pairs in whole numbers, so the quotient is rounded once.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The area in [0, 1], or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.has_both_classes:
        return None
    at = steps(scored)
    twice_won = int(np.sum(at.bads * (2 * (np.cumsum(at.goods) - at.goods) + at.goods)))
    return twice_won / (2 * scored.num_defaults * (scored.num_loans - scored.num_defaults))


def gini(pd: ArrayLike, default: ArrayLike) -> float | None:
    """Return the Gini coefficient, 2 AUC - 1.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The coefficient in [-1, 1], or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    area = auc(pd, default)
    return None if area is None else 2.0 * area - 1.0


def pr_auc(pd: ArrayLike, default: ArrayLike) -> float | None:
    """Return the average precision (area under the precision-recall steps, without interpolation).

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The area in [0, 1] (the bad rate for a score that knows nothing), or ``None`` if a class is
        missing.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.has_both_classes:
        return None
    at = steps(scored)
    bads, goods = np.cumsum(at.bads[::-1]), np.cumsum(at.goods[::-1])
    return float(np.sum(at.bads[::-1] * (bads / (bads + goods)))) / scored.num_defaults


def ks(pd: ArrayLike, default: ArrayLike) -> KolmogorovSmirnov | None:
    """Return the largest gap between the score distributions of bads and goods.

    KS = max over t of |share of bads with pd >= t - share of goods with pd >= t|; where several
    cut-offs reach it, the highest is given.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The gap in [0, 1] with its cut-off, or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.has_both_classes:
        return None
    at = steps(scored)
    bads = np.cumsum(at.bads[::-1]) / scored.num_defaults
    goods = np.cumsum(at.goods[::-1]) / (scored.num_loans - scored.num_defaults)
    gaps = np.abs(bads - goods)
    best = int(np.argmax(gaps))
    return KolmogorovSmirnov(value=float(gaps[best]), cut_off=abs(float(at.pd[::-1][best])))


def auc_interval(pd: ArrayLike, default: ArrayLike, *, confidence: float = 0.95) -> Interval | None:
    """Return DeLong's confidence interval of the AUC, taken on the logit scale.

    The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), computed in
    O(n log n) by mid-ranks as in Sun and Xu (IEEE Signal Processing Letters 21, 2014). The logit
    keeps the ends in [0, 1] and the coverage near the level for few defaults (Qin and Hotilovac,
    Statistical Methods in Medical Research 17, 2008).

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        confidence: level of the interval, in (0, 1).

    Returns:
        The interval, or ``None`` if a class has fewer than two loans or the classes are wholly
        apart (AUC 0 or 1), where the variance cannot be estimated.

    Raises:
        InputError: if the arrays are not scored loans, or the level is outside (0, 1).
    """
    level = checked_confidence(confidence)
    scored = Scored(pd=pd, default=default)
    if not _has_variance(scored):
        return None
    placements = _placements(scored)
    area = float(placements.of_bads.mean())
    if area in (0.0, 1.0):
        return None
    half = normal_quantile(level) * _standard_error(placements) / (area * (1.0 - area))
    ends = expit(logit(area) + np.array([-half, half]))
    return Interval(lower=float(ends[0]), upper=float(ends[1]), confidence=level)


def auc_difference(
    pd: ArrayLike, other_pd: ArrayLike, default: ArrayLike, *, confidence: float = 0.95
) -> AucDifference | None:
    """Return the AUC of ``pd`` minus that of ``other_pd`` on the same loans, paired.

    DeLong et al. (1988), by the mid-ranks of Sun and Xu (2014); the interval is normal.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        other_pd: another prediction for the same loans, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        confidence: level of the interval, in (0, 1).

    Returns:
        The difference with its standard error and interval, or ``None`` if a class has fewer than
        two loans.

    Raises:
        InputError: if the arrays are not scored loans, or the level is outside (0, 1).
    """
    level = checked_confidence(confidence)
    first, second = Scored(pd=pd, default=default), Scored(pd=other_pd, default=default)
    if not _has_variance(first):
        return None
    here, there = _placements(first), _placements(second)
    gap = _Placements(of_bads=here.of_bads - there.of_bads, of_goods=here.of_goods - there.of_goods)
    return normal_difference(float(gap.of_bads.mean()), _standard_error(gap), confidence=level)


def normal_difference(value: float, standard_error: float, *, confidence: float) -> AucDifference:
    """Give a difference of AUCs its normal interval.

    Args:
        value: the difference.
        standard_error: its standard error.
        confidence: level of the interval, in (0, 1).

    Returns:
        The difference with its interval.
    """
    half = normal_quantile(confidence) * standard_error
    interval = Interval(lower=value - half, upper=value + half, confidence=confidence)
    return AucDifference(value=value, standard_error=standard_error, interval=interval)


def _has_variance(scored: Scored) -> bool:
    return min(scored.num_defaults, scored.num_loans - scored.num_defaults) >= 2


def _placements(scored: Scored) -> _Placements:
    bads, goods = scored.pd[scored.default], scored.pd[~scored.default]
    among_all = midranks(scored.pd)
    return _Placements(
        of_bads=(among_all[scored.default] - midranks(bads)) / goods.size,
        of_goods=1.0 - (among_all[~scored.default] - midranks(goods)) / bads.size,
    )


def _standard_error(placements: _Placements) -> float:
    bads, goods = placements.of_bads, placements.of_goods
    return math.sqrt(bads.var(ddof=1) / bads.size + goods.var(ddof=1) / goods.size)
