"""Figures and corrections made from noisy histograms of scores, so that no loan need be looked at twice.

A lender counts its loans in public bins of the score, goods and bads apart, and adds Gaussian noise to every
count. One loan is in one cell, so without it one count falls by 1: the Euclidean sensitivity is 1 under the
zero-out relation. Everything here is made from the noisy counts alone. Counts are never cut off at 0: that would
turn noise into bias. Standard errors are those of the delta method with the variance ``deviation^2 + max(count,
0)`` in each cell: the noise, and a Poisson count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.calibration import Recalibration, logits_of
from fedcredit.credit.discrimination import Interval
from fedcredit.credit.logistic import expit, logit, normal_quantile
from fedcredit.credit.scored import Scored, checked_confidence
from fedcredit.errors import InputError

LOWEST_LOGIT, HIGHEST_LOGIT = -5.0, 2.0
LEVEL_BINS = 20
LEVEL_SENSITIVITY = math.sqrt(2.0)
_MAX_STEPS = 60
_HIDDEN = 2.0
_SPREAD = 1.5

_Cells = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreHistogram:
    """Counts of goods and bads in bins of equal width of the score's logit, with noise.

    Attributes:
        counts: goods in row 0 and bads in row 1, ``[2, bins]``, with noise; the bins span logits of -5 to 2, and the
            outermost are open.
        deviation: standard deviation of the noise in each cell, from 0.
    """

    counts: _Cells
    deviation: float

    @property
    def num_bins(self) -> int:
        """How many bins there are."""
        return int(self.counts.shape[1])

    @property
    def variance(self) -> _Cells:
        """The variance of each cell, noise and sampling, ``[2, bins]``."""
        return self.deviation**2 + np.maximum(self.counts, 0.0)


@dataclass(frozen=True, kw_only=True)
class NoisyFigure:
    """A figure made from noisy counts; its interval holds the noise and the sampling of loans."""

    value: float
    standard_error: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class HistogramFigures:
    """What noisy counts say of a group of loans; ``None`` where noise hides the goods or the bads.

    That is where their noisy number is not above two standard deviations of its noise. ``ks`` is the largest of many
    noisy distances, so it is too high where noise is large; its interval is taken at the bin where it was found.
    ``ece`` is what is above ``ece_floor``, the value that noise and sampling alone would give, or 0.
    """

    num_loans: float
    num_defaults: float
    bad_rate: float | None
    auc: NoisyFigure | None
    ks: NoisyFigure | None
    mean_pd_over_bad_rate: NoisyFigure | None
    ece: float | None
    ece_floor: float | None


def bin_pds(num_bins: int) -> NDArray[np.float64]:
    """Return the public probability that stands for each bin: that of its middle.

    Args:
        num_bins: number of bins, at least 2.

    Returns:
        Probabilities, rising, ``[bins]``.

    Raises:
        InputError: if there are fewer than 2 bins.
    """
    edges = _edges(num_bins)
    return expit((edges[:-1] + edges[1:]) / 2.0)


def count_scores(scored: Scored, *, num_bins: int) -> _Cells:
    """Count loans in bins of their score, goods and bads apart.

    Args:
        scored: the loans.
        num_bins: number of bins, at least 2.

    Returns:
        Exact counts, private until noise is added, ``[2, bins]``; one loan moves them by 1 in the Euclidean norm.

    Raises:
        InputError: if there are fewer than 2 bins.
    """
    bins = _bins(scored, num_bins)
    counts = np.zeros((2, num_bins))
    np.add.at(counts, (scored.default.astype(np.int64), bins), 1.0)
    return counts


def level_statistics(scored: Scored) -> _Cells:
    """Count the bads, and all loans in bins of their score: what an intercept needs, at less noise than both classes.

    Args:
        scored: the loans.

    Returns:
        The number of bads and the counts, private until noise is added, ``[1 + LEVEL_BINS]``; one loan moves them by
        at most ``LEVEL_SENSITIVITY`` in the Euclidean norm.
    """
    counts = count_scores(scored, num_bins=LEVEL_BINS)
    return np.concatenate([[counts[1].sum()], counts.sum(axis=0)])


def added(histograms: Iterable[ScoreHistogram]) -> ScoreHistogram:
    """Add up the histograms of several lenders; their noise is independent.

    Args:
        histograms: at least one, all of the same bins.

    Returns:
        The histogram of all their loans.
    """
    parts = list(histograms)
    return ScoreHistogram(
        counts=np.sum([part.counts for part in parts], axis=0),
        deviation=math.sqrt(sum(part.deviation**2 for part in parts)),
    )


def figures(histogram: ScoreHistogram, *, confidence: float = 0.95) -> HistogramFigures:
    """Measure a group of loans by its noisy histogram.

    Loans of one bin count as tied. The bin's middle stands for its loans' PD.

    Args:
        histogram: the counts.
        confidence: level of the intervals, in (0, 1).

    Returns:
        The figures.

    Raises:
        InputError: if the level is outside (0, 1).
    """
    level = checked_confidence(confidence)
    goods, bads = (float(total) for total in histogram.counts.sum(axis=1))
    if min(goods, bads) <= _HIDDEN * histogram.deviation * math.sqrt(histogram.num_bins):
        return HistogramFigures(
            num_loans=goods + bads, num_defaults=bads, bad_rate=None, auc=None, ks=None, mean_pd_over_bad_rate=None,
            ece=None, ece_floor=None,
        )  # fmt: skip
    gap, floor = _calibration_gap(histogram)
    return HistogramFigures(
        num_loans=goods + bads,
        num_defaults=bads,
        bad_rate=bads / (goods + bads),
        auc=_area(histogram, level),
        ks=_largest_distance(histogram, level),
        mean_pd_over_bad_rate=_ratio(histogram, level),
        ece=max(0.0, gap - floor),
        ece_floor=floor,
    )


def _figure(
    histogram: ScoreHistogram, value: float, slope: _Cells, confidence: float, highest: float = 1.0
) -> NoisyFigure:
    error = math.sqrt(float((slope**2 * histogram.variance).sum()))
    half = normal_quantile(confidence) * error
    interval = Interval(lower=max(0.0, value - half), upper=min(highest, value + half), confidence=confidence)
    return NoisyFigure(value=value, standard_error=error, interval=interval)


def _area(histogram: ScoreHistogram, confidence: float) -> NoisyFigure:
    goods, bads = histogram.counts
    below = np.cumsum(goods) - goods / 2.0
    above = bads.sum() - np.cumsum(bads) + bads / 2.0
    pairs = goods.sum() * bads.sum()
    area = float((bads * below).sum() / pairs)
    slope = np.stack([above / pairs - area / goods.sum(), below / pairs - area / bads.sum()])
    return _figure(histogram, area, slope, confidence)


def _largest_distance(histogram: ScoreHistogram, confidence: float) -> NoisyFigure:
    totals = histogram.counts.sum(axis=1, keepdims=True)
    shares = np.cumsum(histogram.counts, axis=1) / totals
    cut = int(np.argmax(shares[0] - shares[1]))
    inside = np.arange(histogram.num_bins) <= cut
    slope = (inside - shares[:, [cut]]) / totals * np.array([[1.0], [-1.0]])
    return _figure(histogram, float(shares[0, cut] - shares[1, cut]), slope, confidence)


def _ratio(histogram: ScoreHistogram, confidence: float) -> NoisyFigure:
    pd, bads = bin_pds(histogram.num_bins), float(histogram.counts[1].sum())
    value = float((histogram.counts.sum(axis=0) * pd).sum()) / bads
    slope = np.stack([pd / bads, (pd - value) / bads])
    return _figure(histogram, value, slope, confidence, highest=math.inf)


def _calibration_gap(histogram: ScoreHistogram) -> tuple[float, float]:
    pd, total = bin_pds(histogram.num_bins), float(histogram.counts.sum())
    gaps = histogram.counts[1] - pd * histogram.counts.sum(axis=0)
    loans = np.maximum(histogram.counts.sum(axis=0), 0.0)
    variance = histogram.deviation**2 * ((1.0 - pd) ** 2 + pd**2) + loans * pd * (1.0 - pd)
    floor = math.sqrt(2.0 / math.pi) * float(np.sqrt(variance).sum())
    return float(np.abs(gaps).sum()) / total, floor / total


def line_of(histogram: ScoreHistogram) -> Recalibration | None:
    """Fit logit P(default) = intercept + slope logit(pd) to noisy counts (Platt 1999, at the bins' middles).

    Cells enter with their noisy weights, so that noise does not bias the score equations. A slope is kept
    between 0 and 4.

    Args:
        histogram: the counts.

    Returns:
        The line, or ``None`` where noise hides it: no goods or bads are left, or the curvature is not positive.
    """
    if float(histogram.counts.sum(axis=1).min()) <= 0.0:
        return None
    centres = logit(bin_pds(histogram.num_bins))
    design = np.stack([np.ones_like(centres), centres], axis=1)
    bads, loans = histogram.counts[1], histogram.counts.sum(axis=0)
    line = np.array([0.0, 1.0])
    for _ in range(_MAX_STEPS):
        fitted = expit(design @ line)
        curvature = (design * (loans * fitted * (1.0 - fitted))[:, None]).T @ design
        if not (curvature[0, 0] > 0.0 and np.linalg.det(curvature) > 1e-9 * curvature[0, 0] * curvature[1, 1] > 0.0):
            return None
        step = np.linalg.solve(curvature, design.T @ (bads - loans * fitted))
        line = line + step * min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < 1e-10:
            return Recalibration(slope=float(line[1]), intercept=float(line[0])) if 0.0 < line[1] < 4.0 else None
    return None


def intercept_of(level: _Cells, *, num_loans: int, deviation: float) -> float | None:
    """Find the shift of the logits at which the mean PD is the bad rate, from noisy `level_statistics`.

    The number of loans is public. The shift is the most likely one given the noisy number of bads and a public
    normal prior of spread 1.5 around none, so a lender whose bads drown in noise keeps about the shared level.

    Args:
        level: noisy statistics, ``[1 + LEVEL_BINS]``.
        num_loans: how many loans they are of.
        deviation: standard deviation of the noise in each of them, from 0.

    Returns:
        The shift, or ``None`` for fewer than two loans, or where noise leaves no score counts.
    """
    if num_loans < 2 or float(np.maximum(level[1:], 0.0).sum()) <= 0.0:
        return None
    bads = float(level[0]) if deviation > 0.0 else float(np.clip(level[0], 0.5, num_loans - 0.5))
    shares = np.maximum(level[1:], 0.0)
    shares = shares / shares.sum()
    centres = logit(bin_pds(LEVEL_BINS))
    low, high = -20.0, 20.0
    for _ in range(_MAX_STEPS):
        middle = (low + high) / 2.0
        fitted = expit(centres + middle)
        slope = num_loans * float((shares * fitted * (1.0 - fitted)).sum())
        pull = middle * deviation**2 / (_SPREAD**2 * slope)
        is_above = num_loans * float((shares * fitted).sum()) - bads + pull > 0.0
        low, high = (low, middle) if is_above else (middle, high)
    return (low + high) / 2.0


def on_line(scored: Scored, line: Recalibration) -> Scored:
    """Move predictions along a line of the logits.

    Args:
        scored: the loans.
        line: the slope and the intercept.

    Returns:
        The loans with the moved predictions.
    """
    return Scored(pd=expit(line.intercept + line.slope * logits_of(scored.pd)), default=scored.default)


def _edges(num_bins: int) -> NDArray[np.float64]:
    if num_bins < 2:
        raise InputError(f"num_bins is {num_bins}; allowed is 2 or more, for example 16")
    return np.linspace(LOWEST_LOGIT, HIGHEST_LOGIT, num_bins + 1)


def _bins(scored: Scored, num_bins: int) -> NDArray[np.int64]:
    return np.searchsorted(_edges(num_bins)[1:-1], logits_of(scored.pd), side="right").astype(np.int64)
