"""Tests of calibration: Hosmer-Lemeshow and Spiegelhalter, with the warning that belongs to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from fedcredit.credit.scored import Scored
from fedcredit.errors import InputError

LARGE = 50_000
LARGE_SAMPLE_WARNING = (
    "With this many loans a test rejects any calibration that is not perfect; read the slope, the intercept and mean "
    "PD over bad rate instead."
)


@dataclass(frozen=True, kw_only=True)
class GoodnessOfFit:
    """A test of the hypothesis that every ``pd`` is the probability of its default.

    Attributes:
        statistic: chi-squared for Hosmer-Lemeshow, standard normal for Spiegelhalter.
        p_value: of the statistic, two-sided for Spiegelhalter.
        degrees_of_freedom: of the chi-squared; ``None`` for Spiegelhalter.
        warning: why not to trust it here, empty if there is no reason.
    """

    statistic: float
    p_value: float
    degrees_of_freedom: int | None
    warning: str


def hosmer_lemeshow(
    pd: ArrayLike, default: ArrayLike, *, num_groups: int = 10, on_training_loans: bool = False
) -> GoodnessOfFit | None:
    """Test calibration in groups of equal count by predicted risk.

    Hosmer and Lemeshow, Communications in Statistics A9 (1980) 1043: the sum over groups of
    (defaults - n p)^2 / (n p (1 - p)), p the group's mean ``pd``.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        num_groups: g, at least 3.
        on_training_loans: whether ``pd`` was fitted on these loans: g - 2 degrees of freedom then, g otherwise.

    Returns:
        The test; ``None`` for fewer loans than groups, or where a group's ``pd`` are all 0 or all 1.

    Raises:
        InputError: if the arrays are not scored loans, or ``num_groups`` is below 3.
    """
    if num_groups < 3:
        raise InputError(f"num_groups is {num_groups}; allowed is from 3, for example 10")
    scored = Scored(pd=pd, default=default)
    if scored.num_loans < num_groups:
        return None
    order = np.argsort(scored.pd, kind="stable")
    groups = np.array_split(order, num_groups)
    counts = np.array([len(group) for group in groups], dtype=np.float64)
    means = np.array([scored.pd[group].mean() for group in groups])
    observed = np.array([np.count_nonzero(scored.default[group]) for group in groups], dtype=np.float64)
    variance = counts * means * (1.0 - means)
    if not np.all(variance > 0.0):
        return None
    statistic = float(np.sum((observed - counts * means) ** 2 / variance))
    freedom = num_groups - 2 if on_training_loans else num_groups
    small = float(np.min(counts * np.minimum(means, 1.0 - means)))
    return GoodnessOfFit(
        statistic=statistic,
        p_value=float(chi2.sf(statistic, freedom)),
        degrees_of_freedom=freedom,
        warning=_warning(scored.num_loans, small),
    )


def spiegelhalter(pd: ArrayLike, default: ArrayLike) -> GoodnessOfFit | None:
    """Test whether the Brier score is what the predictions themselves promise.

    Spiegelhalter, Statistics in Medicine 5 (1986) 421: z = sum (y - p)(1 - 2p) / sqrt(sum (1 - 2p)^2 p (1 - p)).

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The test; ``None`` where every ``pd`` is 0, 1/2 or 1.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    slack = 1.0 - 2.0 * scored.pd
    variance = float(np.sum(slack**2 * scored.pd * (1.0 - scored.pd)))
    if variance <= 0.0:
        return None
    statistic = float(np.sum((scored.default - scored.pd) * slack)) / math.sqrt(variance)
    return GoodnessOfFit(
        statistic=statistic,
        p_value=float(2.0 * norm.sf(abs(statistic))),
        degrees_of_freedom=None,
        warning=_warning(scored.num_loans, float(np.sum(scored.pd))),
    )


def _warning(num_loans: int, fewest_defaults: float) -> str:
    if num_loans > LARGE:
        return LARGE_SAMPLE_WARNING
    if fewest_defaults < 5.0:
        return f"Only {fewest_defaults:.1f} defaults are expected where they are fewest; the p-value is rough below 5."
    return ""
