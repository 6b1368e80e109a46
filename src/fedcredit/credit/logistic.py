"""The logistic function, its inverse, and the normal quantile, without loading SciPy."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_STANDARD_NORMAL = NormalDist()


def expit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)), to a relative error of a few roundings at both ends.

    Args:
        values: finite numbers, any shape.

    Returns:
        Probabilities, the same shape.
    """
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0.0, 1.0, small) / (1.0 + small), dtype=np.float64)


def logit(probabilities: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return log(p / (1 - p)).

    Args:
        probabilities: above 0 and below 1, any shape.

    Returns:
        Finite numbers, the same shape.
    """
    return np.asarray(np.log(probabilities) - np.log1p(-probabilities), dtype=np.float64)


def normal_quantile(confidence: float) -> float:
    """Return the half width, in standard errors, of a two-sided normal interval.

    Args:
        confidence: level of the interval, in (0, 1).

    Returns:
        The quantile at (1 + confidence) / 2 (Wichura's AS 241, to 1e-15).
    """
    return _STANDARD_NORMAL.inv_cdf(0.5 + confidence / 2.0)
