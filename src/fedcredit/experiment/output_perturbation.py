"""Logistic regression with a ridge, released once with noise on its coefficients.

The minimiser of a strongly convex mean loss moves little when one loan is left out, so Gaussian noise on the
minimiser itself is private (Chaudhuri, Monteleoni and Sarwate 2011, "Differentially Private Empirical Risk
Minimization", algorithm 1, here with Gaussian noise and the number of loans public). The ridge that buys this is
set by the noise, which needs public numbers alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NOISE_DEVIATION = 0.05
_LEAST_RIDGE = 1e-4
_GRADIENT_TOLERANCE = 1e-9
_MOST_STEPS = 200

Floats = NDArray[np.float64]


def sensitivity(*, row_norm_cap: float, num_loans: int, ridge: float) -> float:
    """Bound how far leaving out one loan moves the coefficients, in the Euclidean norm.

    A loan's gradient has a norm of at most ``L = sqrt(cap^2 + 1)`` (the ones column; residuals are at most 1), and
    the mean loss is ``ridge``-strongly convex, so the minimiser moves by at most ``L / (n ridge)``. Each of two
    fits may miss its minimiser by the tolerance of its gradient over the ridge.

    Args:
        row_norm_cap: the schema's cap on a row's Euclidean norm.
        num_loans: n, the public divisor of the mean.
        ridge: above 0.

    Returns:
        The sensitivity under the zero-out relation.
    """
    return (math.sqrt(row_norm_cap**2 + 1.0) / num_loans + 2.0 * _GRADIENT_TOLERANCE) / ridge


def ridge_for(noise_multiplier: float, *, row_norm_cap: float, num_loans: int) -> float:
    """Choose the ridge at which the noise on a coefficient has a deviation of ``NOISE_DEVIATION``.

    The deviation was chosen on a tuning market (seed 11): .05 to .1 tie at epsilon 1, and .05 varies less.

    Args:
        noise_multiplier: the noise over the sensitivity; 0 without privacy.
        row_norm_cap: the schema's cap.
        num_loans: the public number of loans.

    Returns:
        The ridge, at least 1e-4.
    """
    wanted = noise_multiplier * sensitivity(row_norm_cap=row_norm_cap, num_loans=num_loans, ridge=1.0)
    return max(_LEAST_RIDGE, wanted / NOISE_DEVIATION)


def fit(
    features: NDArray[np.float32], default: NDArray[np.float32], *, prior: float, num_loans: int, ridge: float
) -> Floats:
    """Minimise ``sum of log loss / num_loans + ridge / 2 |w - w0|^2``, where ``w0`` predicts the public prior.

    Damped Newton steps, until the gradient's norm is below the tolerance that the sensitivity allows for.

    Args:
        features: encoded loans, ``[loans, features]``.
        default: labels 0 or 1, ``[loans]``.
        prior: public bad rate.
        num_loans: public divisor.
        ridge: above 0.

    Returns:
        Coefficients, the last one for the ones column, ``[features + 1]``.

    Raises:
        ArithmeticError: if the gradient does not get that small.
    """
    rows = np.column_stack([features.astype(np.float64), np.ones(len(features))])
    label = default.astype(np.float64)
    centre = np.zeros(rows.shape[1])
    centre[-1] = math.log(prior / (1.0 - prior))
    found = centre.copy()
    for _ in range(_MOST_STEPS):
        risk = _logistic(rows @ found)
        gradient = rows.T @ (risk - label) / num_loans + ridge * (found - centre)
        if float(np.linalg.norm(gradient)) <= _GRADIENT_TOLERANCE:
            return found
        curvature = (rows * (risk * (1.0 - risk))[:, None]).T @ rows / num_loans + ridge * np.eye(len(found))
        found = found - _damped(rows, label, found, centre, gradient, curvature, num_loans, ridge)
    raise ArithmeticError(f"the ridge regression did not settle in {_MOST_STEPS} steps")


def predict_pd(coefficients: Floats, features: NDArray[np.float32]) -> Floats:
    """Score loans.

    Args:
        coefficients: from ``fit``, ``[features + 1]``.
        features: encoded loans, ``[loans, features]``.

    Returns:
        Default probabilities, ``[loans]``.
    """
    return _logistic(features.astype(np.float64) @ coefficients[:-1] + coefficients[-1])


def _damped(
    rows: Floats, label: Floats, found: Floats, centre: Floats, gradient: Floats, curvature: Floats, num_loans: int,
    ridge: float,
) -> Floats:  # fmt: skip
    """Return a Newton step, halved until it lowers the objective."""

    def objective(at: Floats) -> float:
        logit = rows @ at
        loss = np.logaddexp(0.0, logit) - label * logit
        return float(loss.sum()) / num_loans + 0.5 * ridge * float(np.sum((at - centre) ** 2))

    step: Floats = np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
    start, slope = objective(found), float(gradient @ step)
    while objective(found - step) > start - 1e-4 * slope + 1e-12 and slope > 1e-14:
        step, slope = np.asarray(0.5 * step, dtype=np.float64), 0.5 * slope
    return step


def _logistic(logit: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(logit), dtype=np.float64)
