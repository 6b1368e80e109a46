"""Whether a population moved: the population stability index of a score, and of each characteristic.

PSI = sum over bins of (a - e) ln(a / e) with e the shares in the reference and a those in the new loans.
The usual limits .10 and .25 have no error rate; where nothing moved, PSI is near (1/n + 1/m) times a
chi-square with bins - 1 degrees of freedom (Yurdakul and Naranjo, Journal of Risk Model Validation 14,
2020), so its quantile for the sizes at hand says what chance alone would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.scored import checked_confidence
from fedcredit.errors import InputError

_SMOOTHING = 0.5


@dataclass(frozen=True, kw_only=True)
class Stability:
    """A PSI beside what chance gives.

    ``chance_quantile`` is the level's quantile of PSI where nothing moved, 0 for a single bin;
    ``exceeds_chance`` says that ``psi`` is above it. The law takes loans as independent: several loans
    of one borrower widen it.
    """

    psi: float
    chance_quantile: float
    confidence: float
    num_bins: int

    @property
    def exceeds_chance(self) -> bool:
        """Whether chance alone gives so much in fewer than 1 - ``confidence`` of cases."""
        return self.psi > self.chance_quantile


def number_stability(
    reference: ArrayLike, new: ArrayLike, *, num_bins: int = 10, confidence: float = 0.95
) -> Stability | None:
    """Compare numbers over bins of equal count in the reference; missing ones are a bin of their own.

    Args:
        reference: numbers, NaN where missing, ``[reference loans]``.
        new: numbers, NaN where missing, ``[new loans]``.
        num_bins: bins of equal count, at least 2; equal numbers share one, so there can be fewer.
        confidence: level of the chance quantile, in (0, 1).

    Returns:
        The PSI, or ``None`` if either side has no loan.

    Raises:
        InputError: if ``num_bins`` is below 2, or the level is outside (0, 1).
    """
    if num_bins < 2:
        raise InputError(f"num_bins is {num_bins}; allowed is 2 or more, for example 10")
    before, after = (np.asarray(values, dtype=np.float64) for values in (reference, new))
    level = checked_confidence(confidence)
    if not (before.size and after.size):
        return None
    known = np.sort(before[~np.isnan(before)])
    ranks = np.arange(1, num_bins) * known.size // num_bins
    cuts = np.unique(known[ranks]) if known.size else known
    return _stability(_places(before, cuts), _places(after, cuts), level)


def label_stability(reference: ArrayLike, new: ArrayLike, *, confidence: float = 0.95) -> Stability | None:
    """Compare categories, one bin each; a missing cell (the empty text, or NaN) is a category.

    Args:
        reference: texts or codes, ``[reference loans]``.
        new: texts or codes, ``[new loans]``.
        confidence: level of the chance quantile, in (0, 1).

    Returns:
        The PSI, or ``None`` if either side has no loan.

    Raises:
        InputError: if the level is outside (0, 1).
    """
    before, after = np.asarray(reference), np.asarray(new)
    level = checked_confidence(confidence)
    if not (before.size and after.size):
        return None
    places = np.unique(np.concatenate([before, after]), return_inverse=True)[1]
    return _stability(places[: before.size], places[before.size :], level)


def chance_quantile(*, num_reference: int, num_new: int, num_bins: int, confidence: float = 0.95) -> float:
    """Return what PSI stays below where nothing moved.

    Args:
        num_reference: loans in the reference, at least 1.
        num_new: new loans, at least 1.
        num_bins: bins that hold a loan, at least 1.
        confidence: level of the quantile, in (0, 1).

    Returns:
        (1 / num_reference + 1 / num_new) times the chi-square quantile at ``num_bins`` - 1 degrees.
    """
    from scipy.special import gammaincinv

    if num_bins < 2:
        return 0.0
    quantile = 2.0 * float(gammaincinv((num_bins - 1) / 2.0, confidence))
    return (1.0 / num_reference + 1.0 / num_new) * quantile


def _places(values: NDArray[np.float64], cuts: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.where(np.isnan(values), cuts.size + 1, np.searchsorted(cuts, values, side="right"))


def _stability(before: NDArray[np.int64], after: NDArray[np.int64], level: float) -> Stability:
    size = 1 + int(max(before.max(), after.max()))
    counts = np.stack([np.bincount(places, minlength=size) for places in (before, after)])
    counts = counts[:, counts.sum(axis=0) > 0]
    shares = (counts + _SMOOTHING) / (counts.sum(axis=1, keepdims=True) + _SMOOTHING * counts.shape[1])
    return Stability(
        psi=float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0]))),
        chance_quantile=chance_quantile(
            num_reference=before.size, num_new=after.size, num_bins=counts.shape[1], confidence=level
        ),
        confidence=level,
        num_bins=counts.shape[1],
    )
