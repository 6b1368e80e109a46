"""Scored loans: a predicted default probability and an outcome for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import InputError


@dataclass(frozen=True, init=False, eq=False)
class Scored:
    """Held-out loans with what was predicted and what happened; checks itself and converts.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 1 where the loan defaulted and 0 elsewhere, ``[loans]``.

    Raises:
        InputError: if the lengths differ, a ``pd`` is outside [0, 1] or not a number, or a
            ``default`` is neither 0 nor 1.
    """

    pd: NDArray[np.float64]
    default: NDArray[np.bool_]

    def __init__(self, *, pd: ArrayLike, default: ArrayLike) -> None:
        """Check and convert; no loans at all is allowed."""
        values, outcomes = np.asarray(pd, dtype=np.float64), np.asarray(default)
        if values.ndim != 1 or values.shape != outcomes.shape:
            raise InputError(
                f"pd has shape {values.shape} and default {outcomes.shape}; allowed is one number a loan in both: "
                "give two arrays of the same length"
            )
        wrong = int(np.count_nonzero(~((values >= 0.0) & (values <= 1.0))))
        if wrong:
            raise InputError(
                f"pd is outside [0, 1] or not a number for {wrong} of {values.size} loans; "
                "give probabilities, for example by the logistic function of a score"
            )
        wrong = int(np.count_nonzero(~((outcomes == 0) | (outcomes == 1))))
        if wrong:
            raise InputError(f"default is neither 0 nor 1 for {wrong} of {values.size} loans; give 1 for a default")
        object.__setattr__(self, "pd", values)
        object.__setattr__(self, "default", outcomes.astype(np.bool_))

    @property
    def num_loans(self) -> int:
        """How many loans there are."""
        return self.pd.size

    @property
    def num_defaults(self) -> int:
        """How many of them defaulted."""
        return int(np.count_nonzero(self.default))

    @property
    def has_both_classes(self) -> bool:
        """Whether at least one loan defaulted and at least one did not."""
        return 0 < self.num_defaults < self.num_loans


def checked_confidence(confidence: float) -> float:
    """Return a confidence level, or refuse it.

    Args:
        confidence: the level, above 0 and below 1.

    Returns:
        The same level.

    Raises:
        InputError: if it is outside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence is {confidence}; allowed is above 0 and below 1, for example 0.95")
    return confidence
