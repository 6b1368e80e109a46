"""Metrics against the true probability of default, which only a simulation knows.

Each is the expectation of its sample metric over outcomes drawn from the true probabilities: a ratio of two
expectations for the AUC and KS, exact for the log loss and the level. So which loans happened to default, the
noise that swamps a lender with a handful of defaults, is gone; what remains is the choice of the loans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.calibration import Recalibration
from fedcredit.credit.logistic import expit, logit
from fedcredit.credit.profit import UNSECURED, LossAndReturn, profit_of_hull
from fedcredit.credit.roc_hull import hull_of
from fedcredit.errors import InputError

_SMALLEST = float(np.finfo(np.float64).eps)
_MAX_NEWTON_STEPS = 100


@dataclass(frozen=True, init=False, eq=False)
class Foreseen:
    """Loans with a predicted and the true probability of default.

    Args:
        pd: predicted, ``[loans]``, in [0, 1].
        true_pd: true, ``[loans]``, in [0, 1].

    Raises:
        InputError: if the lengths differ, or a probability is outside [0, 1] or not a number.
    """

    pd: NDArray[np.float64]
    true_pd: NDArray[np.float64]

    def __init__(self, *, pd: ArrayLike, true_pd: ArrayLike) -> None:
        """Check and convert; no loans at all is allowed."""
        arrays = {"pd": np.asarray(pd, dtype=np.float64), "true_pd": np.asarray(true_pd, dtype=np.float64)}
        if arrays["pd"].ndim != 1 or arrays["pd"].shape != arrays["true_pd"].shape:
            raise InputError(
                f"pd has shape {arrays['pd'].shape} and true_pd {arrays['true_pd'].shape}; allowed is one number a "
                "loan in both: give two arrays of the same length"
            )
        for name, values in arrays.items():
            wrong = int(np.count_nonzero(~((values >= 0.0) & (values <= 1.0))))
            if wrong:
                raise InputError(f"{name} is outside [0, 1] or not a number for {wrong} of {values.size} loans")
            object.__setattr__(self, name, values)

    @property
    def num_loans(self) -> int:
        """How many loans there are."""
        return self.pd.size


def expected_auc(loans: Foreseen) -> float | None:
    """Return the chance that a loan that defaults is scored above another one that does not, ties half.

    ``sum_{i != j} p_i (1 - p_j) [s_i > s_j] / sum_{i != j} p_i (1 - p_j)``.

    Args:
        loans: the loans.

    Returns:
        The area, ``None`` where no pair of a default and a sound loan is possible.
    """
    bad, good = _by_score(loans)
    own = float((loans.true_pd * (1.0 - loans.true_pd)).sum())
    pairs = float(bad.sum() * good.sum()) - own
    if pairs <= 0.0:
        return None
    below = np.cumsum(good) - good
    return (float((bad * (below + good / 2.0)).sum()) - own / 2.0) / pairs


def expected_ks(loans: Foreseen) -> float | None:
    """Return the largest distance of the expected score distributions of defaults and sound loans.

    The sample's own KS is above it by about one over the root of the number of defaults.

    Args:
        loans: the loans.

    Returns:
        The distance, ``None`` where one of the two cannot happen.
    """
    bad, good = _by_score(loans)
    if bad.sum() <= 0.0 or good.sum() <= 0.0:
        return None
    return float(np.abs(np.cumsum(good) / good.sum() - np.cumsum(bad) / bad.sum()).max())


def expected_profit(loans: Foreseen, terms: LossAndReturn = UNSECURED) -> float | None:
    """Return the expected maximum profit on the expected ROC curve, per loan and unit of principal.

    Args:
        loans: the loans.
        terms: losses and returns; unsecured consumer credit by default.

    Returns:
        What the best cut-offs earn over accepting everybody, ``None`` where an outcome cannot happen.
    """
    bad, good = _by_score(loans)
    if bad.sum() <= 0.0 or good.sum() <= 0.0:
        return None
    return profit_of_hull(hull_of(good, bad), terms).profit_rate


def expected_log_loss(loans: Foreseen) -> float | None:
    """Return the expected log loss in nats; the least that any prediction reaches is that of the true PD.

    Args:
        loans: the loans.

    Returns:
        The loss, ``None`` without loans.
    """
    if not loans.num_loans:
        return None
    pd = np.clip(loans.pd, _SMALLEST, 1.0 - _SMALLEST)
    return float(-(loans.true_pd * np.log(pd) + (1.0 - loans.true_pd) * np.log1p(-pd)).mean())


def mean_pd_over_true(loans: Foreseen) -> float | None:
    """Return the mean predicted over the mean true probability of default; 1 is right.

    Args:
        loans: the loans.

    Returns:
        The ratio, ``None`` where no default is possible.
    """
    total = float(loans.true_pd.sum())
    return float(loans.pd.sum()) / total if total > 0.0 else None


def true_slope_and_intercept(loans: Foreseen) -> Recalibration | None:
    """Return the line on the predicted log-odds that the true probabilities ask for; 1 and 0 are right.

    The logistic regression of the true PD on the predicted log-odds, by Newton's method on the expected
    likelihood. Slope below 1: predictions are too extreme.

    Args:
        loans: the loans.

    Returns:
        The line, ``None`` where the predictions do not vary or the line does not exist.
    """
    if loans.num_loans < 2 or np.ptp(loans.pd) == 0.0:
        return None
    odds = logit(np.clip(loans.pd, _SMALLEST, 1.0 - _SMALLEST))
    design = np.column_stack([odds, np.ones_like(odds)])
    line = np.array([1.0, 0.0])
    for _ in range(_MAX_NEWTON_STEPS):
        fitted = expit(design @ line)
        curvature = (design * (fitted * (1.0 - fitted))[:, None]).T @ design
        try:
            step = np.linalg.solve(curvature, design.T @ (loans.true_pd - fitted))
        except np.linalg.LinAlgError:
            return None
        size = float(np.abs(step).max())
        line = line + step * min(1.0, 2.0 / size if size > 0.0 else 1.0)
        if size < 1e-10:
            return Recalibration(slope=float(line[0]), intercept=float(line[1]))
    return None


def _by_score(loans: Foreseen) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the expected defaults and sound loans at each distinct score, lowest first."""
    if not loans.num_loans:
        return np.zeros(0), np.zeros(0)
    order = np.argsort(loans.pd, kind="stable")
    scores, true_pd = loans.pd[order], loans.true_pd[order]
    starts = np.concatenate([[0], np.flatnonzero(scores[1:] != scores[:-1]) + 1])
    return np.add.reduceat(true_pd, starts), np.add.reduceat(1.0 - true_pd, starts)
