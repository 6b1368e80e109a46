"""Scores in points: they fall with risk, and a fixed number of points doubles the odds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.calibration import logits_of
from fedcredit.credit.logistic import expit
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """A scale: ``base_points`` at odds of ``base_odds`` goods a bad, and ``points_to_double`` more at twice that.

    Siddiqi, Credit Risk Scorecards (2006), chapter 6: factor = points_to_double / ln 2 and
    points = base_points + factor (ln((1 - pd) / pd) - ln base_odds).

    Raises:
        InputError: if the odds or the points to double are not above 0.
    """

    base_points: float = 600.0
    base_odds: float = 50.0
    points_to_double: float = 20.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (self.base_odds > 0.0 and self.points_to_double > 0.0):
            raise InputError(
                f"base_odds is {self.base_odds} and points_to_double {self.points_to_double}; both must be above 0"
            )

    @property
    def factor(self) -> float:
        """Points for one unit of log-odds."""
        return self.points_to_double / math.log(2.0)

    def points(self, pd: ArrayLike) -> NDArray[np.float64]:
        """Return scores in points, not rounded.

        Args:
            pd: predicted probability of default, any shape, in [0, 1]; clipped to [2.2e-16, 1 - 2.2e-16].

        Returns:
            Points, the same shape.
        """
        odds = -logits_of(np.asarray(pd, dtype=np.float64))
        return np.asarray(self.base_points + self.factor * (odds - math.log(self.base_odds)), dtype=np.float64)

    def pd(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of default of scores; the inverse of ``points``.

        Args:
            points: scores, any shape.

        Returns:
            Probabilities, the same shape.
        """
        above = (np.asarray(points, dtype=np.float64) - self.base_points) / self.factor
        return expit(-(above + math.log(self.base_odds)))
