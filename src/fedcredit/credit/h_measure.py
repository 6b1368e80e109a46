"""The H-measure: how much of the loss of an ignorant decision a score avoids, averaged over costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc

from fedcredit.credit.roc_hull import roc_hull
from fedcredit.errors import InputError


def h_measure(pd: ArrayLike, default: ArrayLike, *, severity_ratio: float | None = None) -> float | None:
    """Return the H-measure of a score.

    Hand, Machine Learning 77 (2009) 103; Hand and Anagnostopoulos, Pattern Recognition Letters 40 (2014) 41. A good
    that is rejected costs c, a bad that is accepted costs 1 - c, and c is distributed as Beta(2, 1 + 1 / s), where s
    is the severity ratio. The default s = bad rate / good rate is the paper's: it puts the mode of c where the two
    classes would cost the same in total. H = 1 - (least loss of the score) / (least loss without a score), each
    averaged over c; the least loss is attained on the hull of the ROC curve.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        severity_ratio: s, above 0; how much a good that is rejected costs, over a bad that is accepted, at the
            mode of c.

    Returns:
        0 for a useless score, 1 for a perfect one; ``None`` without both outcomes.

    Raises:
        InputError: if the arrays are not scored loans, or ``severity_ratio`` is not above 0.
    """
    if severity_ratio is not None and not (np.isfinite(severity_ratio) and severity_ratio > 0.0):
        raise InputError(f"severity_ratio is {severity_ratio}; allowed is above 0, or None for bad rate / good rate")
    hull = roc_hull(pd, default)
    if hull is None:
        return None
    bad_rate = hull.bad_rate
    good_rate = 1.0 - bad_rate
    shapes = (2.0, 1.0 + (good_rate / bad_rate if severity_ratio is None else 1.0 / severity_ratio))
    goods, bads = good_rate * np.diff(hull.goods_rejected), bad_rate * np.diff(hull.bads_rejected)
    edges = np.concatenate(([1.0], bads / (goods + bads), [0.0]))
    weight, cost = _mass(edges, shapes), _mean_cost(edges, shapes)
    accepted_bads = bad_rate * (1.0 - hull.bads_rejected)
    loss = float(np.sum(good_rate * hull.goods_rejected * cost + accepted_bads * (weight - cost)))
    ignorant = np.array([1.0, bad_rate, 0.0])
    weight, cost = _mass(ignorant, shapes), _mean_cost(ignorant, shapes)
    return 1.0 - loss / float(bad_rate * (weight[0] - cost[0]) + good_rate * cost[1])


def _mass(edges: np.ndarray, shapes: tuple[float, float]) -> np.ndarray:
    """Return the probability that c lies between two neighbouring edges, which fall."""
    return -np.diff(betainc(*shapes, edges))


def _mean_cost(edges: np.ndarray, shapes: tuple[float, float]) -> np.ndarray:
    """Return the integral of c between two neighbouring edges."""
    first, second = shapes
    return -np.diff(betainc(first + 1.0, second, edges)) * first / (first + second)
