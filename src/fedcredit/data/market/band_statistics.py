"""Statistics of columns that the bands of a market are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import chi2
from sklearn.metrics import roc_auc_score

_BINS, _FEW = 20, 20
_HALF = 0.5


def bins(reference: NDArray[Any], values: NDArray[Any], *, count: int = _BINS) -> tuple[NDArray[np.int64], int]:
    """Sort values into the quantile bins of a reference; few distinct values are bins of their own.

    Args:
        reference: where the cuts come from, ``[reference rows]``.
        values: what is sorted, ``[rows]``.
        count: how many quantile bins.

    Returns:
        The bin of each value, ``[rows]``, a gap last, and how many bins there are.
    """
    known = reference[~np.isnan(reference)]
    distinct = np.unique(known)
    if len(distinct) > _FEW:
        distinct = np.unique(np.quantile(known, np.arange(1, count) / count, method="inverted_cdf"))
        distinct = np.append(distinct, np.inf)
    cuts = distinct[:-1]
    place = np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values, side="left"))
    return place.astype(np.int64), len(cuts) + 2


def information_value(column: NDArray[np.float64], default: NDArray[np.int8]) -> float:
    """Return the information value of a column, in quantile bins with half a count in each.

    Args:
        column: numbers with NaN for a gap, ``[rows]``.
        default: 0 or 1, ``[rows]``.

    Returns:
        ``sum (good share - bad share) ln(good share / bad share)``.
    """
    place, number = bins(column, column)
    return _divergence(place[default == 0], place[default == 1], number)


def stability_index(reference: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Return the population stability index in the deciles of a reference, half a count in each bin.

    Args:
        reference: the column as it was, ``[reference rows]``.
        now: the column as it is, ``[rows]``.

    Returns:
        ``sum (a - e) ln(a / e)``.
    """
    was, number = bins(reference, reference, count=10)
    return _divergence(was, bins(reference, now, count=10)[0], number)


def _divergence(first: NDArray[np.int64], second: NDArray[np.int64], number: int) -> float:
    counts = [np.bincount(place, minlength=number) for place in (first, second)]
    used = (counts[0] + counts[1]) > 0
    one, two = ((count[used] + _HALF) / (count[used] + _HALF).sum() for count in counts)
    return float(((one - two) * np.log(one / two)).sum())


def single_auc(column: NDArray[np.float64], default: NDArray[np.int8]) -> float:
    """Return how well one column ranks by itself, in whichever direction is right; gaps are a median.

    Args:
        column: numbers with NaN for a gap, ``[rows]``.
        default: 0 or 1, ``[rows]``.

    Returns:
        AUC, at least one half.
    """
    known = column[~np.isnan(column)]
    if not len(known):
        return 0.5
    area = float(roc_auc_score(default, np.where(np.isnan(column), np.median(known), column)))
    return max(area, 1.0 - area)


def joint_standard_errors(counts: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return how far counts are from expected ones, as standard errors of one joint chi-square test.

    Args:
        counts: found, ``[rows, states]``.
        expected: expected under the hypothesis, with the same row sums, ``[rows, states]``.

    Returns:
        The normal quantile of the p-value of Pearson's test, two-sided; 0 for a perfect fit.
    """
    used = expected > 0
    statistic = float((((counts - expected) ** 2)[used] / expected[used]).sum())
    freedom = int(used.sum() - len(counts))
    return float(-ndtri(max(chi2.sf(statistic, freedom), 1e-300) / 2.0))
