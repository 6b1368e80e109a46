"""Drift: the population stability index of scores and characteristics, with what chance alone makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import InputError

MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How far a distribution has moved.

    Attributes:
        psi: the index, at least 0. The usual words are folklore without error rates: below .10 stable, to .25 watch,
            above act.
        chance_quantile: what the index stays below with the given confidence if nothing moved and only the two
            samples differ; more is drift, however small.
        num_bins: bins that held loans of either sample, the one for missing values included.
        num_reference: loans before.
        num_current: loans now.
    """

    psi: float
    chance_quantile: float
    num_bins: int
    num_reference: int
    num_current: int

    @property
    def has_moved(self) -> bool:
        """Whether the index is beyond what chance alone makes."""
        return self.psi > self.chance_quantile


Borrowers = tuple[ArrayLike, ArrayLike]


def population_stability(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    num_bins: int = 10,
    confidence: float = 0.95,
    borrowers: Borrowers | None = None,
) -> Stability:
    """Compare the distribution of a number, for example a score or an income, at two times.

    PSI = sum over bins of (a - e) ln(a / e), e the share before and a now. Bins are quantiles of the loans before,
    missing values (NaN) a bin of their own; half a loan is added to every bin. If nothing moved, PSI is distributed
    as (1/n + 1/m) chi-squared with bins - 1 degrees of freedom (Yurdakul and Naranjo, Journal of Risk Model
    Validation 14 (2020) 89). That is for loans drawn one by one. With ``borrowers`` the loans of a borrower, in either
    sample, count as one draw: the factor before chi-squared is the one that gives the index its mean, from the variance
    of each bin's shares over borrowers (first-order correction of Rao and Scott, JASA 76 (1981) 221).

    Args:
        reference: values before, ``[loans]``.
        current: values now, ``[loans]``.
        num_bins: quantile bins, at least 2; equal quantiles are one bin.
        confidence: of the chance quantile, in (0, 1).
        borrowers: the borrower of each loan before, and of each loan now; loans of one borrower have equal keys.

    Returns:
        The index and what chance makes of it.

    Raises:
        InputError: if a sample is empty or not one number a loan, an option is out of range, or there is not one
            borrower a loan.
    """
    before, now = (_numbers(values, name) for values, name in ((reference, "reference"), (current, "current")))
    if num_bins < 2:
        raise InputError(f"num_bins is {num_bins}; allowed is from 2, for example 10")
    known = before[~np.isnan(before)]
    inner = np.unique(np.quantile(known, np.arange(1, num_bins) / num_bins)) if known.size else np.empty(0)
    return _stability(_binned(before, inner), _binned(now, inner), len(inner) + 2, confidence, borrowers)


def characteristic_stability(
    reference: ArrayLike, current: ArrayLike, *, confidence: float = 0.95, borrowers: Borrowers | None = None
) -> Stability:
    """Compare the distribution of a category at two times; every category is a bin.

    Args:
        reference: categories before, ``[loans]``; None is a missing one.
        current: categories now, ``[loans]``.
        confidence: of the chance quantile, in (0, 1).
        borrowers: as `population_stability`.

    Returns:
        As `population_stability`.

    Raises:
        InputError: if a sample is empty, an option is out of range, or there is not one borrower a loan.
    """
    before, now = (_texts(values, name) for values, name in ((reference, "reference"), (current, "current")))
    names, codes = np.unique(np.concatenate([before, now]), return_inverse=True)
    return _stability(codes[: before.size], codes[before.size :], len(names), confidence, borrowers)


def _stability(
    before: NDArray[np.int64], now: NDArray[np.int64], num_bins: int, confidence: float, borrowers: Borrowers | None
) -> Stability:
    from scipy.special import gammaincinv

    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence is {confidence}; allowed is above 0 and below 1, for example 0.95")
    counts = np.stack([np.bincount(codes, minlength=num_bins) for codes in (before, now)]).astype(np.float64)
    counts = counts[:, counts.sum(axis=0) > 0] + 0.5
    expected, actual = counts / counts.sum(axis=1, keepdims=True)
    psi = float(np.sum((actual - expected) * np.log(actual / expected)))
    freedom = max(counts.shape[1] - 1, 1)
    factor = 1.0 / before.size + 1.0 / now.size
    if borrowers is not None:
        factor = _factor_over_borrowers(before, now, num_bins, borrowers, singly=factor)
    return Stability(
        psi=psi,
        chance_quantile=factor * 2.0 * float(gammaincinv(freedom / 2.0, confidence)),
        num_bins=counts.shape[1],
        num_reference=before.size,
        num_current=now.size,
    )


def _factor_over_borrowers(
    before: NDArray[np.int64], now: NDArray[np.int64], num_bins: int, borrowers: Borrowers, *, singly: float
) -> float:
    """Return the mean of the index by chance over its degrees of freedom, where a borrower's loans go together."""
    keys = [np.asarray(found) for found in borrowers]
    if [found.shape for found in keys] != [before.shape, now.shape]:
        raise InputError(
            f"borrowers have shapes {keys[0].shape} and {keys[1].shape} for {before.size} and {now.size} loans; give "
            "one borrower a loan"
        )
    names, codes = np.unique(np.concatenate(keys), return_inverse=True)
    if len(names) == codes.size:
        return singly
    parts = (codes[: before.size], before, 1.0 / before.size), (codes[before.size :], now, -1.0 / now.size)
    moves = np.zeros((len(names), num_bins))
    for who, bins, weight in parts:
        share = np.bincount(bins, minlength=num_bins) / bins.size
        held = np.bincount(who, minlength=len(names)).astype(np.float64)
        own = np.bincount(who * num_bins + bins, minlength=moves.size).reshape(moves.shape)
        moves += weight * (own - held[:, None] * share)
    together = np.bincount(np.concatenate([before, now]), minlength=num_bins) / codes.size
    used = together > 0.0
    return float(((moves**2).sum(axis=0)[used] / together[used]).sum() / max(int(used.sum()) - 1, 1))


def _binned(values: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number the bins from 0; values up to and including an edge are below it, and the last bin is for missing ones."""
    return np.where(np.isnan(values), len(inner) + 1, np.searchsorted(inner, values, side="left"))


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    _check_shape(numbers.shape, name)
    return numbers


def _texts(values: ArrayLike, name: str) -> NDArray[np.str_]:
    cells = np.asarray(values, dtype=object)
    _check_shape(cells.shape, name)
    return np.array([MISSING if cell is None or cell != cell else str(cell) for cell in cells.tolist()])


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 1 or shape[0] == 0:
        raise InputError(f"{name} has shape {shape}; allowed is one value a loan, and at least one loan")
