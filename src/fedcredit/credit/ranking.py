"""Loans in the order of their scores, ties together: one sort, and exact whole numbers from there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.scored import Scored


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """The distinct scores, rising, with how many bads and goods have each; all ``[distinct]``."""

    pd: NDArray[np.float64]
    bads: NDArray[np.int64]
    goods: NDArray[np.int64]


def steps(scored: Scored) -> Steps:
    """Count bads and goods at each distinct score.

    Args:
        scored: at least one loan.

    Returns:
        The counts, from the lowest score to the highest.
    """
    order, starts = _groups(scored.pd)
    loans = np.diff(starts)
    bads = np.add.reduceat(scored.default[order].astype(np.int64), starts[:-1])
    return Steps(pd=scored.pd[order[starts[:-1]]], bads=bads, goods=loans - bads)


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank values from 1; equal values share the mean of their ranks.

    Args:
        values: numbers without NaN, ``[values]``.

    Returns:
        Ranks, ``[values]``, multiples of one half.
    """
    if values.size == 0:
        return np.empty(0)
    order, starts = _groups(values)
    ranks = np.empty(values.size)
    ranks[order] = np.repeat((starts[:-1] + starts[1:] + 1) / 2.0, np.diff(starts))
    return ranks


def _groups(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a sorting order, and where in it each group of equal values starts (and the last one ends)."""
    order = np.argsort(values)
    ordered = values[order]
    inner = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return order, np.concatenate(([0], inner, [values.size]))
