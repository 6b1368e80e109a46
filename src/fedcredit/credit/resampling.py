"""Bootstrap intervals of what is a function of counts: few cells, many resamples, one seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.discrimination import Interval
from fedcredit.credit.scored import Scored, checked_confidence

NUM_RESAMPLES = 300
_MAX_GROUPS = 100

Counts = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rejected:
    """Shares of bads and goods that each cut-off rejects, from none to all, ``[resamples, cut-offs]``."""

    bads: Counts
    goods: Counts
    bad_rate: NDArray[np.float64]


def rejected_shares(scored: Scored, *, generator: np.random.Generator) -> tuple[Rejected, Rejected]:
    """Count bads and goods in groups of neighbouring scores, as they are and resampled with replacement.

    At most 100 groups of equal count stand for the scores; the error of that is the same in the sample
    and in its resamples, so it leaves their differences.

    Args:
        scored: loans of both outcomes.
        generator: what the resamples are drawn from.

    Returns:
        The sample (one row) and its resamples (300 rows; those without both outcomes are left out).
    """
    order = np.argsort(-scored.pd, kind="stable")
    falling = scored.pd[order]
    cuts = np.unique(np.searchsorted(-falling, -falling[:: max(1, -(-falling.size // _MAX_GROUPS))]))
    bads = np.add.reduceat(scored.default[order].astype(np.float64), cuts)
    cells = np.concatenate([bads, np.diff(np.append(cuts, falling.size)) - bads])
    drawn = generator.multinomial(scored.num_loans, cells / scored.num_loans, size=NUM_RESAMPLES).astype(np.float64)
    half = bads.size
    both = (drawn[:, :half].sum(axis=1) > 0) & (drawn[:, half:].sum(axis=1) > 0)
    return _shares(cells[None], half), _shares(drawn[both], half)


def bootstrap_interval(
    value: float, at: Callable[[Rejected], NDArray[np.float64]], scored: Scored, *, generator: np.random.Generator,
    confidence: float,
) -> Interval:  # fmt: skip
    """Return the percentile bootstrap interval of a figure, moved to the exact figure (Efron 1979).

    Args:
        value: the figure on all scores.
        at: the figure of each row of shares.
        scored: loans of both outcomes.
        generator: what the resamples are drawn from.
        confidence: level of the interval, in (0, 1).

    Returns:
        The interval.
    """
    sample, resamples = rejected_shares(scored, generator=generator)
    gaps = at(resamples) - at(sample)[0]
    return spread_interval(value, gaps, confidence=confidence)


def spread_interval(value: float, gaps: NDArray[np.float64], *, confidence: float) -> Interval:
    """Return the interval of a figure from how its resamples differ from it.

    Args:
        value: the figure.
        gaps: resampled figures minus the sample's, ``[resamples]``.
        confidence: level of the interval, in (0, 1).

    Returns:
        The percentile interval.
    """
    level = checked_confidence(confidence)
    lower, upper = np.quantile(gaps, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(lower=value + float(lower), upper=value + float(upper), confidence=level)


def _shares(cells: Counts, half: int) -> Rejected:
    bads, goods = (np.cumsum(part, axis=1) for part in (cells[:, :half], cells[:, half:]))
    none = np.zeros((len(cells), 1))
    return Rejected(
        bads=np.concatenate([none, bads / bads[:, -1:]], axis=1),
        goods=np.concatenate([none, goods / goods[:, -1:]], axis=1),
        bad_rate=bads[:, -1] / (bads[:, -1] + goods[:, -1]),
    )
