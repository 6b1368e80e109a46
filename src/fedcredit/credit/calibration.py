"""How well the level of a predicted default probability agrees with what happened.

Every function takes ``pd`` and ``default`` (see ``Scored``) and returns ``None`` where the metric
does not exist. Logits are taken of ``pd`` clipped to [2.2e-16, 1 - 2.2e-16].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.discrimination import Interval
from fedcredit.credit.logistic import expit, logit, normal_quantile
from fedcredit.credit.ranking import midranks
from fedcredit.credit.scored import Scored, checked_confidence
from fedcredit.errors import InputError

_SMALLEST_PD = float(np.finfo(np.float64).eps)
_MAX_NEWTON_STEPS = 100
_SMALLEST_SHIFT = 1e-13
_MAX_CONDITION = 1e13
_LOSS_ROUNDING = 1e-14


@dataclass(frozen=True, kw_only=True)
class CurveBin:
    """One bin of a calibration curve: mean predicted PD against the bad rate, with its interval."""

    num_loans: int
    mean_pd: float
    bad_rate: float
    bad_rate_interval: Interval


@dataclass(frozen=True, kw_only=True)
class MeanPdOverBadRate:
    """Mean predicted PD over the bad rate: 1 is right, below 1 the risk is understated."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """The line that corrects the logits: slope 1 and intercept 0 where they are right."""

    slope: float
    intercept: float


def brier(pd: ArrayLike, default: ArrayLike) -> float | None:
    """Return the Brier score, the mean of (pd - default)^2.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The score in [0, 1], or ``None`` for no loans.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    return float(np.mean((scored.pd - scored.default) ** 2)) if scored.num_loans else None


def log_loss(pd: ArrayLike, default: ArrayLike) -> float | None:
    """Return the mean negative log-likelihood of the outcomes, in nats.

    ``pd`` is clipped to [2.2e-16, 1 - 2.2e-16], as in scikit-learn.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The loss, at least 0 and finite, or ``None`` for no loans.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.num_loans:
        return None
    happened = np.where(scored.default, scored.pd, 1.0 - scored.pd)
    return float(-np.mean(np.log(np.clip(happened, _SMALLEST_PD, 1.0 - _SMALLEST_PD))))


def ece(pd: ArrayLike, default: ArrayLike, *, num_bins: int = 10) -> float | None:
    """Return the expected calibration error over bins of equal count.

    ECE = sum over bins of n_b / n |bad rate_b - mean pd_b|. At low bad rates bins of equal width
    would put all loans into one.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        num_bins: number of bins, at least 1.

    Returns:
        The error in [0, 1], or ``None`` for no loans.

    Raises:
        InputError: if the arrays are not scored loans, or ``num_bins`` is below 1.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.num_loans:
        return None
    places = _bins(scored.pd, num_bins)
    gaps = np.bincount(places, weights=scored.default - scored.pd)
    return float(np.abs(gaps).sum() / scored.num_loans)


def calibration_curve(
    pd: ArrayLike, default: ArrayLike, *, num_bins: int = 10, confidence: float = 0.95
) -> tuple[CurveBin, ...]:
    """Return mean predicted PD and bad rate over bins of equal count, from low to high risk.

    Loans with the same ``pd`` share a bin, so the order of the loans does not matter and a bin can
    be missing. The interval of the bad rate is Wilson's (JASA 22, 1927).

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        num_bins: number of bins, at least 1.
        confidence: level of the intervals, in (0, 1).

    Returns:
        The bins that hold a loan; none for no loans.

    Raises:
        InputError: if the arrays are not scored loans, ``num_bins`` is below 1, or the level is
            outside (0, 1).
    """
    level = checked_confidence(confidence)
    scored = Scored(pd=pd, default=default)
    places = _bins(scored.pd, num_bins)
    counts = np.bincount(places, minlength=1)
    pds = np.bincount(places, weights=scored.pd, minlength=1)
    bads = np.bincount(places, weights=scored.default, minlength=1)
    return tuple(
        CurveBin(
            num_loans=int(count),
            mean_pd=float(total / count),
            bad_rate=float(bad / count),
            bad_rate_interval=_wilson(float(bad), int(count), level),
        )
        for count, total, bad in zip(counts, pds, bads, strict=True)
        if count
    )


def mean_pd_over_bad_rate(pd: ArrayLike, default: ArrayLike, *, confidence: float = 0.95) -> MeanPdOverBadRate | None:
    """Return mean predicted PD over the bad rate, with an interval by the delta method.

    The loans are taken as draws of (pd, default) pairs; the variance of log(mean pd / bad rate) is
    var(pd / mean pd - default / bad rate) / n, and the interval is normal on the log scale.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        confidence: level of the interval, in (0, 1).

    Returns:
        The ratio, or ``None`` if no loan defaulted. The interval is ``None`` for a single loan or a
        mean PD of zero.

    Raises:
        InputError: if the arrays are not scored loans, or the level is outside (0, 1).
    """
    level = checked_confidence(confidence)
    scored = Scored(pd=pd, default=default)
    if not scored.num_defaults:
        return None
    mean_pd, bad_rate = float(scored.pd.mean()), scored.num_defaults / scored.num_loans
    ratio = mean_pd / bad_rate
    if scored.num_loans < 2 or mean_pd == 0.0:
        return MeanPdOverBadRate(value=ratio, interval=None)
    influence = scored.pd / mean_pd - scored.default / bad_rate
    half = normal_quantile(level) * math.sqrt(influence.var(ddof=1) / scored.num_loans)
    interval = Interval(lower=ratio * math.exp(-half), upper=ratio * math.exp(half), confidence=level)
    return MeanPdOverBadRate(value=ratio, interval=interval)


def calibration_slope_and_intercept(pd: ArrayLike, default: ArrayLike) -> Recalibration | None:
    """Fit logit P(default) = intercept + slope logit(pd) by maximum likelihood.

    Cox (Biometrika 45, 1958). A slope below 1 means predictions that are too extreme. Damped
    Newton steps in float64.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The line, or ``None`` if it does not exist (a class is missing, all ``pd`` are equal, or one
        ``pd`` parts bads from goods) or is too near to that to be found.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.has_both_classes:
        return None
    logits = logits_of(scored.pd)
    bads, goods = logits[scored.default], logits[~scored.default]
    if bads.min() >= goods.max() or goods.min() >= bads.max():
        return None
    centre, scale = float(logits.mean()), float(logits.std())
    design = np.stack([np.ones_like(logits), (logits - centre) / scale], axis=1)
    line = _fit_line(design, scored.default)
    if line is None:
        return None
    slope = float(line[1]) / scale
    return Recalibration(slope=slope, intercept=float(line[0]) - slope * centre)


def own_intercept(pd: ArrayLike, default: ArrayLike) -> float | None:
    """Return the one shift of the logits that makes mean pd equal the bad rate on these loans.

    It is also the maximum-likelihood intercept at slope 1 (calibration in the large).

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The shift, to be applied by ``shift_logits``, or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.has_both_classes:
        return None
    return _shift_to(scored.num_defaults / scored.num_loans, logits_of(scored.pd))


def shift_logits(pd: ArrayLike, shift: float) -> NDArray[np.float64]:
    """Move probabilities by a constant on the logit scale; their order stays.

    Args:
        pd: probabilities, ``[loans]``, in [0, 1].
        shift: what is added to every logit.

    Returns:
        Probabilities, ``[loans]``.
    """
    return np.asarray(expit(logits_of(np.asarray(pd, dtype=np.float64)) + shift), dtype=np.float64)


def logits_of(pd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logits of probabilities clipped to [2.2e-16, 1 - 2.2e-16].

    Args:
        pd: probabilities, ``[loans]``, in [0, 1].

    Returns:
        Finite logits, ``[loans]``.
    """
    return np.asarray(logit(np.clip(pd, _SMALLEST_PD, 1.0 - _SMALLEST_PD)), dtype=np.float64)


def _bins(pd: NDArray[np.float64], num_bins: int) -> NDArray[np.int64]:
    """Bin by mid-rank, so that equal values share a bin and the others fill bins evenly."""
    if num_bins < 1:
        raise InputError(f"num_bins is {num_bins}; allowed is 1 or more, for example 10")
    return np.floor((midranks(pd) - 0.5) * num_bins / max(pd.size, 1)).astype(np.int64)


def _wilson(num_bads: float, num_loans: int, confidence: float) -> Interval:
    square = normal_quantile(confidence) ** 2
    rate = num_bads / num_loans
    centre = (rate + square / (2 * num_loans)) / (1 + square / num_loans)
    spread = math.sqrt(square * rate * (1 - rate) / num_loans + (square / (2 * num_loans)) ** 2)
    half = spread / (1 + square / num_loans)
    return Interval(lower=max(0.0, centre - half), upper=min(1.0, centre + half), confidence=confidence)


def _shift_to(bad_rate: float, logits: NDArray[np.float64]) -> float:
    """Find the shift at which the mean probability is the bad rate: Newton's steps, halved brackets beyond them."""
    target = float(logit(bad_rate))
    low, high = target - float(logits.max()) - 1.0, target - float(logits.min()) + 1.0
    shift = target - float(logits.mean())
    for _ in range(_MAX_NEWTON_STEPS):
        fitted = expit(logits + shift)
        excess, slope = float(fitted.mean()) - bad_rate, float(np.mean(fitted * (1.0 - fitted)))
        if abs(excess) <= _SMALLEST_SHIFT * slope:
            break
        low, high = (low, shift) if excess > 0.0 else (shift, high)
        moved = shift - excess / slope if slope > 0.0 else math.inf
        shift = moved if low < moved < high else (low + high) / 2.0
    return shift


def _fit_line(design: NDArray[np.float64], default: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    line, loss = np.zeros(2), math.log(2.0)
    for _ in range(_MAX_NEWTON_STEPS):
        fitted = expit(design @ line)
        slope = design.T @ (fitted - default)
        curvature = (design * (fitted * (1.0 - fitted))[:, None]).T @ design
        if np.linalg.cond(curvature) > _MAX_CONDITION:
            return None
        step = np.linalg.solve(curvature, slope)
        if float(slope @ step) <= 1e-20 * default.size:
            return line - step
        most = loss + _LOSS_ROUNDING
        length = next((0.5**k for k in range(60) if _mean_loss(design @ (line - 0.5**k * step), default) <= most), 0.0)
        line = line - length * step
        loss = _mean_loss(design @ line, default)
    return None


def _mean_loss(logits: NDArray[np.float64], default: NDArray[np.bool_]) -> float:
    return float(np.mean(np.logaddexp(0.0, logits) - default * logits))
