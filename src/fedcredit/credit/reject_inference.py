"""Learning about applicants whose outcome nobody saw, from those who were accepted.

Neither method finds what is not in the accepted loans; in a simulated market both are judged against the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit.loans import Floats, numbers, setting


@dataclass(frozen=True, kw_only=True, eq=False)
class FuzzyLoans:
    """Refused applicants as training loans, each twice: once bad with weight PD, once good with the rest.

    ``applicant`` is the row of the refused applicant, ``default`` the label it stands with, ``weight`` what it counts;
    all ``[2 x refused]``.
    """

    applicant: np.ndarray
    default: np.ndarray
    weight: Floats


def acceptance_weights(acceptance_probability: ArrayLike, *, largest_weight: float = 20.0) -> Floats:
    """Weigh accepted loans so that they stand for all applicants.

    Each counts 1 / P(accepted | its columns) (Horvitz and Thompson 1952; in credit, Banasik and Crook 2007), at most
    ``largest_weight``, scaled to a mean of 1.

    Args:
        acceptance_probability: of each accepted loan, ``[accepted]``, above 0 and at most 1.
        largest_weight: before scaling, at least 1.

    Returns:
        Weights, ``[accepted]``.

    Raises:
        InputError: if a probability or ``largest_weight`` is out of range.
    """
    chance = numbers(acceptance_probability, "acceptance_probability", low=1e-12, high=1.0)
    most = setting(largest_weight, "largest_weight", low=1.0)
    weight: Floats = np.minimum(1.0 / chance, most)
    return weight / weight.mean() if weight.size else weight


def fuzzy_augmentation(pd_of_refused: ArrayLike, *, harshness: float = 1.0) -> FuzzyLoans:
    """Turn refused applicants into weighted training loans (Hand and Henley 1993, fuzzy augmentation).

    Args:
        pd_of_refused: what a model of the accepted loans predicts for them, ``[refused]``, in [0, 1].
        harshness: factor on the odds of default, above 0; refused applicants are often worse than they look.

    Returns:
        Each applicant twice.

    Raises:
        InputError: if a PD or ``harshness`` is out of range.
    """
    risk = numbers(pd_of_refused, "pd_of_refused", low=0.0, high=1.0)
    factor = setting(harshness, "harshness", low=0.0, is_open=True)
    bad = factor * risk / (1.0 - risk + factor * risk)
    rows = np.arange(risk.size)
    return FuzzyLoans(
        applicant=np.concatenate([rows, rows]),
        default=np.repeat(np.array([1, 0], dtype=np.int8), risk.size),
        weight=np.concatenate([bad, 1.0 - bad]),
    )
