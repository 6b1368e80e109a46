"""Tests of whether predicted PDs can be right: Hosmer and Lemeshow's, and Spiegelhalter's.

Both answer "could chance alone explain the gap", not "does the gap matter": at large samples any model
that is not perfect is rejected, at small ones almost none is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit.calibration import equal_count_bins
from fedcredit.credit.scored import Scored

LARGE_SAMPLE = 50_000
_LARGE = (
    "at {loans:,} loans the test rejects models whose error does not matter: judge by the calibration slope and "
    "intercept, the ECE and mean PD over bad rate"
)
_FEW = "fewer than 5 defaults or goods are expected in {groups} of the {all} groups, so the p-value is rough"


@dataclass(frozen=True, kw_only=True)
class CalibrationTest:
    """A test of calibration: its statistic, the two-sided or upper p-value, and what to know to read it."""

    statistic: float
    p_value: float
    degrees_of_freedom: int | None = None
    warnings: tuple[str, ...] = ()


def hosmer_lemeshow(
    pd: ArrayLike, default: ArrayLike, *, num_groups: int = 10, fitted_on_these: bool = False
) -> CalibrationTest | None:
    """Return Hosmer and Lemeshow's test over groups of equal count.

    Hosmer and Lemeshow (Communications in Statistics A9, 1980): the sum over groups g of
    (O_g - n_g p_g)^2 / (n_g p_g (1 - p_g)) with O_g defaults and p_g the mean PD; chi-square with
    ``num_groups`` degrees of freedom on held-out loans, 2 fewer on the loans that the model saw. Groups
    are made by rank and equal PDs share one, so some can be missing; they cost their degrees too.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        num_groups: groups of equal count, at least 1 (3 on the loans that the model saw).
        fitted_on_these: whether the model was fitted on these loans.

    Returns:
        The test, or ``None`` for too few groups, or where a group's mean PD is 0 or 1.

    Raises:
        InputError: if the arrays are not scored loans, or ``num_groups`` is below 1.
    """
    from scipy.special import gammaincc

    scored = Scored(pd=pd, default=default)
    places = equal_count_bins(scored.pd, num_groups)
    counts = np.bincount(places, minlength=1).astype(np.float64)
    kept = counts > 0
    counts = counts[kept]
    expected = np.bincount(places, weights=scored.pd, minlength=1)[kept]
    found = np.bincount(places, weights=scored.default, minlength=1)[kept]
    spread = expected * (1.0 - expected / np.maximum(counts, 1.0))
    degrees = counts.size - 2 * fitted_on_these
    if degrees < 1 or (spread <= 0.0).any():
        return None
    statistic = float(np.sum((found - expected) ** 2 / spread))
    few = int(np.count_nonzero(np.minimum(expected, counts - expected) < 5.0))
    warnings = _large(scored.num_loans) + ((_FEW.format(groups=few, all=counts.size),) if few else ())
    return CalibrationTest(
        statistic=statistic,
        p_value=float(gammaincc(degrees / 2.0, statistic / 2.0)),
        degrees_of_freedom=degrees,
        warnings=warnings,
    )


def spiegelhalter(pd: ArrayLike, default: ArrayLike) -> CalibrationTest | None:
    """Return Spiegelhalter's z-test of the Brier score.

    Spiegelhalter (Statistics in Medicine 5, 1986): z = sum (y - p)(1 - 2p) / sqrt(sum (1 - 2p)^2 p (1 - p)),
    standard normal where the PDs are right.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The test, two-sided, or ``None`` if all PDs are 0, 1 or one half.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    tilt = 1.0 - 2.0 * scored.pd
    variance = float(np.sum(tilt**2 * scored.pd * (1.0 - scored.pd)))
    if variance <= 0.0:
        return None
    z = float(np.sum((scored.default - scored.pd) * tilt)) / math.sqrt(variance)
    return CalibrationTest(statistic=z, p_value=math.erfc(abs(z) / math.sqrt(2.0)), warnings=_large(scored.num_loans))


def _large(num_loans: int) -> tuple[str, ...]:
    return (_LARGE.format(loans=num_loans),) if num_loans > LARGE_SAMPLE else ()
