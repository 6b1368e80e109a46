"""Exact Poisson sampling: every loan enters a batch on its own, with the same probability.

This is the sampler that the accountant assumes; shuffled or fixed-size batches are not (Chua et al. 2024).
Gaps between sampled loans are geometric (Devroye 1986, chapter X.2), so a batch costs what it holds and not
what the portfolio holds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedcredit.seeds import Stream, uniforms


def poisson_indices(
    stream: Stream, *, num_loans: int, probability: float, server_round: int, step: int
) -> NDArray[np.int64]:
    """Draw the loans of one step.

    With u uniform on [0, 1), floor(ln(1 - u) / ln(1 - q)) loans are passed over before the next one
    is taken. Uniforms have 53 bits and the arithmetic is float64, so each inclusion probability is
    q to about 1e-16.

    Args:
        stream: the lender's stream for sampling.
        num_loans: loans to draw from, at least 0.
        probability: the inclusion probability q of each loan, in (0, 1].
        server_round: the round, from 1.
        step: the local step, from 0.

    Returns:
        Indices of the sampled loans, ascending, each at most once, ``[batch]``; possibly none.

    Raises:
        ValueError: if the probability or the number of loans is outside its range.
    """
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"probability is {probability}; allowed is above 0 and at most 1")
    if num_loans < 0:
        raise ValueError(f"num_loans is {num_loans}; allowed is 0 or more")
    if probability == 1.0:
        return np.arange(num_loans, dtype=np.int64)
    mean = num_loans * probability
    num_gaps = math.ceil(mean + 6.0 * math.sqrt(mean)) + 8
    while True:
        draws = uniforms(stream, count=num_gaps, server_round=server_round, step=step)
        places = np.cumsum(_gaps(draws, probability, num_loans) + 1) - 1
        if places[-1] >= num_loans:
            return places[: np.searchsorted(places, num_loans)]
        num_gaps *= 2


def _gaps(draws: NDArray[np.float64], probability: float, num_loans: int) -> NDArray[np.int64]:
    """Turn uniforms into gaps, cut at ``num_loans`` so that their sum stays an exact integer."""
    with np.errstate(over="ignore"):
        gaps = np.log1p(-draws) / math.log1p(-probability)
    return np.minimum(gaps, num_loans).astype(np.int64)
