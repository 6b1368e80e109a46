"""Exact Poisson sampling: every loan enters a batch on its own, with the same probability.

This is the sampler that the accountant assumes; shuffled or fixed-size batches are not (Chua et al. 2024).
Gaps between sampled loans are geometric (Devroye 1986, chapter X.2), so a batch costs what it holds and not
what the portfolio holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fedcredit.seeds import Stream, uniforms, uniforms_of_steps

_DRAWS_AT_ONCE = 2**15


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

    def draw(count: int) -> NDArray[np.float64]:
        return uniforms(stream, count=count, server_round=server_round, step=step)

    return indices_from(draw, num_loans=num_loans, probability=probability)


def indices_from(
    draw: Callable[[int], NDArray[np.float64]], *, num_loans: int, probability: float
) -> NDArray[np.int64]:
    """Turn uniforms into the loans of one step, as `poisson_indices` says.

    Args:
        draw: gives the first so many uniforms of one sequence; asked for more, it repeats those it gave, because a
            sample that is thrown away for being long would not be Poisson.
        num_loans: loans to draw from, at least 0.
        probability: the inclusion probability q of each loan, in (0, 1].

    Returns:
        Indices of the sampled loans, ascending, each at most once, ``[batch]``; possibly none.

    Raises:
        ValueError: if the probability or the number of loans is outside its range.
    """
    _check(num_loans, probability)
    if probability == 1.0:
        return np.arange(num_loans, dtype=np.int64)
    num_gaps = likely_largest_batch(num_loans, probability)
    while True:
        draws = draw(num_gaps)
        places = np.cumsum(_gaps(draws, probability, num_loans) + 1) - 1
        if places[-1] >= num_loans:
            return places[: np.searchsorted(places, num_loans)]
        num_gaps *= 2


def poisson_batches(
    stream: Stream, *, num_loans: int, probability: float, server_round: int, num_steps: int
) -> Iterator[NDArray[np.int64]]:
    """Draw what `poisson_indices` draws at steps 0, 1, ..., many steps at once.

    Args:
        stream: the lender's stream for sampling.
        num_loans: loans to draw from, at least 0.
        probability: the inclusion probability q of each loan, in (0, 1].
        server_round: the round, from 1.
        num_steps: how many steps, at least 0.

    Yields:
        The indices of each step, ascending, ``[batch]``.

    Raises:
        ValueError: if the probability or the number of loans is outside its range.
    """
    _check(num_loans, probability)
    num_gaps = likely_largest_batch(num_loans, probability)
    steps_at_once = max(1, _DRAWS_AT_ONCE // num_gaps)

    def alone(step: int) -> NDArray[np.int64]:
        return poisson_indices(
            stream, num_loans=num_loans, probability=probability, server_round=server_round, step=step
        )

    for first in range(0, num_steps, steps_at_once):
        steps = range(first, min(first + steps_at_once, num_steps))
        if probability == 1.0 or len(steps) == 1:
            yield from map(alone, steps)
            continue
        draws = np.ascontiguousarray(uniforms_of_steps(stream, count=num_gaps, server_round=server_round, steps=steps))
        places = np.cumsum(_gaps(draws, probability, num_loans) + 1, axis=1) - 1
        sizes = np.count_nonzero(places < num_loans, axis=1).tolist()
        for step, row, size in zip(steps, places, sizes, strict=True):
            yield row[:size] if size < num_gaps else alone(step)


def loans_of(borrowers: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn sampled borrowers into their loans, which lie side by side.

    Args:
        borrowers: indices of borrowers, ascending, ``[sampled]``.
        starts: where each borrower's loans begin, and where the last one's end, ``[borrowers + 1]``.

    Returns:
        Indices of all their loans, ascending, ``[batch]``.
    """
    sizes = starts[borrowers + 1] - starts[borrowers]
    before = np.cumsum(sizes) - sizes
    loans: NDArray[np.int64] = np.arange(sizes.sum(), dtype=np.int64) + np.repeat(starts[borrowers] - before, sizes)
    return loans


def likely_largest_batch(num_loans: int, probability: float) -> int:
    """Return a number that a batch exceeds about once in a thousand million steps, from public numbers alone.

    Args:
        num_loans: loans to draw from, at least 0.
        probability: the inclusion probability of each loan, in (0, 1].

    Returns:
        Six standard deviations above the mean, and 8.
    """
    mean = num_loans * probability
    return math.ceil(mean + 6.0 * math.sqrt(mean)) + 8


def _check(num_loans: int, probability: float) -> None:
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"probability is {probability}; allowed is above 0 and at most 1")
    if num_loans < 0:
        raise ValueError(f"num_loans is {num_loans}; allowed is 0 or more")


def _gaps(draws: NDArray[np.float64], probability: float, num_loans: int) -> NDArray[np.int64]:
    """Turn uniforms into gaps, cut at ``num_loans`` so that their sum stays an exact integer."""
    with np.errstate(over="ignore"):
        gaps = np.log1p(-draws) / math.log1p(-probability)
    return np.minimum(gaps, num_loans).astype(np.int64)
