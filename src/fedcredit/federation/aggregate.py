"""Many updates to one: pure functions on flat vectors in float64, summed in the order given.

Callers give the updates sorted by institution name, so that the sum has the same bits whatever
order the replies came in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fedcredit.experiment.spec import Mean, Median, TrimmedMean

Aggregator = Mean | Median | TrimmedMean


def aggregate(spec: Aggregator, updates: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Aggregate the updates of a round.

    The weights are public constants of the contract table. They are renormalised over the lenders
    given here: the round's record names who is missing, and nothing private enters.

    Median and trimmed mean: Yin et al., "Byzantine-robust distributed learning", ICML 2018; they
    ignore the weights.

    Args:
        spec: which aggregator.
        updates: local minus global parameters, ``[lenders, num_parameters]``.
        weights: contract weights, ``[lenders]``, above 0.

    Returns:
        The aggregated update, ``[num_parameters]``.

    Raises:
        ValueError: if there is no update, or the shapes differ, or the weights do not add up above 0.
    """
    if updates.ndim != 2 or len(updates) == 0 or weights.shape != (len(updates),):
        raise ValueError(f"updates have shape {updates.shape} and weights {weights.shape}; allowed is [K, P] and [K]")
    if isinstance(spec, Median):
        return np.asarray(np.median(updates, axis=0), dtype=np.float64)
    if isinstance(spec, TrimmedMean):
        return _trimmed_mean(updates, spec.trim_fraction)
    if np.any(weights < 0.0) or not math.isfinite(total := math.fsum(weights)) or total <= 0.0:
        raise ValueError("weights must be finite, at least 0, and add up above 0")
    return _ordered_sum(row * share for row, share in zip(updates, weights / total, strict=True))


def _trimmed_mean(updates: NDArray[np.float64], trim_fraction: float) -> NDArray[np.float64]:
    trimmed = math.floor(trim_fraction * len(updates))
    kept = np.sort(updates, axis=0)[trimmed : len(updates) - trimmed]
    return _ordered_sum(kept) / len(kept)


def _ordered_sum(rows: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    each = iter(rows)
    total = np.array(next(each), dtype=np.float64)
    for row in each:
        total += row
    return total
