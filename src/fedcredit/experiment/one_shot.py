"""One noisy look: linear regression of the default label from one release per lender.

Each lender releases its normal equations once, ``X'X`` and ``X'(y - prior)`` with a column of ones,
with Gaussian noise; the sums over lenders give a linear score (Dwork et al. 2014, "Analyze Gauss";
Wang 2018, AdaSSP). It is the cheap baseline that a network trained over rounds must beat.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FLOOR = 1e-4


def sensitivity(row_norm_cap: float) -> float:
    """Bound how far one loan moves a lender's statistics, in the Euclidean norm.

    With ``r^2 = cap^2 + 1`` (the ones column), ``x x'`` has Frobenius norm at most ``r^2`` and
    ``x (y - prior)`` at most ``r``, so the pair moves by at most ``sqrt(r^4 + r^2)``.

    Args:
        row_norm_cap: the schema's cap on a row's Euclidean norm.

    Returns:
        The sensitivity under the zero-out relation.
    """
    square = row_norm_cap**2 + 1.0
    return float(np.sqrt(square**2 + square))


def statistics(features: NDArray[np.float32], default: NDArray[np.float32], *, prior: float) -> NDArray[np.float64]:
    """Compute a lender's statistics as one vector whose norm is that of the pair above.

    Off-diagonal entries of ``X'X`` are stored once and scaled by ``sqrt(2)``.

    Args:
        features: encoded loans within the row-norm cap, ``[loans, features]``.
        default: labels 0 or 1, ``[loans]``.
        prior: public bad rate that the labels are centred on.

    Returns:
        Statistics, ``[(f + 1) (f + 2) / 2 + f + 1]``.
    """
    rows = np.column_stack([features.astype(np.float64), np.ones(len(features))])
    upper = np.triu_indices(rows.shape[1])
    scale = np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0))
    return np.concatenate([(rows.T @ rows)[upper] * scale, rows.T @ (default.astype(np.float64) - prior)])


def solve(total: NDArray[np.float64], *, num_features: int, noise_deviation: float) -> NDArray[np.float64]:
    """Solve the noisy normal equations with a ridge set by the public noise level.

    The ridge is twice ``noise_deviation * sqrt(2 (features + 1))``, the expected spectral norm of the
    noise matrix, whose off-diagonal entries have that deviation over ``sqrt(2)``.

    Args:
        total: the sum of the lenders' statistics.
        num_features: how many features a row has.
        noise_deviation: standard deviation of the noise in one entry of the sum; 0 without privacy.

    Returns:
        Coefficients, the last one for the ones column, ``[features + 1]``.
    """
    size = num_features + 1
    upper = np.triu_indices(size)
    gram = np.zeros((size, size))
    gram[upper] = total[: len(upper[0])] / np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0))
    gram = gram + np.triu(gram, 1).T
    ridge = max(2.0 * noise_deviation * np.sqrt(2.0 * size), 1e-6)
    values, vectors = np.linalg.eigh(gram)
    damped = np.maximum(values, 0.0) + ridge
    coefficients: NDArray[np.float64] = vectors @ ((vectors.T @ total[len(upper[0]) :]) / damped)
    return coefficients


def predict_pd(
    coefficients: NDArray[np.float64], features: NDArray[np.float32], *, prior: float
) -> NDArray[np.float64]:
    """Score loans with the linear probability, kept inside (0, 1).

    Args:
        coefficients: from ``solve``.
        features: encoded loans, ``[loans, features]``.
        prior: the public bad rate that the labels were centred on.

    Returns:
        Default probabilities, ``[loans]``.
    """
    score = features.astype(np.float64) @ coefficients[:-1] + coefficients[-1] + prior
    return np.asarray(np.clip(score, _FLOOR, 1.0 - _FLOOR), dtype=np.float64)
