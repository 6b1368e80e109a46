"""Bootstrap intervals of the H-measure and of the expected maximum profit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.discrimination import Interval
from fedcredit.credit.h_measure import h_measure
from fedcredit.credit.profit import UNSECURED, LossAndReturn, expected_maximum_profit
from fedcredit.credit.resampling import Rejected, bootstrap_interval
from fedcredit.credit.scored import Scored

_NODES = 32


def h_measure_interval(
    pd: ArrayLike, default: ArrayLike, *, generator: np.random.Generator, confidence: float = 0.95
) -> Interval | None:
    """Return the bootstrap interval of the H-measure; the law of the cost stays that of the sample.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        generator: what the resamples are drawn from.
        confidence: level of the interval, in (0, 1).

    Returns:
        The interval, or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans, or the level is outside (0, 1).
    """
    from scipy.special import betaincinv

    found, loans = h_measure(pd, default), Scored(pd=pd, default=default)
    if found is None:
        return None
    law = 2.0, 1.0 + (loans.num_loans - loans.num_defaults) / loans.num_defaults
    cost = betaincinv(*law, (np.arange(_NODES) + 0.5) / _NODES)

    def at(shares: Rejected) -> NDArray[np.float64]:
        rate = shares.bad_rate[:, None]
        losses = [
            (np.minimum.reduce(c * (1.0 - rate) * shares.goods + (1.0 - c) * rate * (1.0 - shares.bads), axis=1))
            for c in cost
        ]
        blind = np.minimum(cost * (1.0 - rate), (1.0 - cost) * rate).sum(axis=1)
        return np.asarray(1.0 - np.sum(losses, axis=0) / blind, dtype=np.float64)

    return bootstrap_interval(found, at, loans, generator=generator, confidence=confidence)


def maximum_profit_interval(
    pd: ArrayLike, default: ArrayLike, *, generator: np.random.Generator, terms: LossAndReturn = UNSECURED,
    confidence: float = 0.95,
) -> Interval | None:  # fmt: skip
    """Return the bootstrap interval of the expected maximum profit.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        generator: what the resamples are drawn from.
        terms: losses and return.
        confidence: level of the interval, in (0, 1).

    Returns:
        The interval, or ``None`` if a class is missing.

    Raises:
        InputError: if the arrays are not scored loans, or the level is outside (0, 1).
    """
    found = expected_maximum_profit(pd, default, terms=terms)
    if found is None:
        return None
    uniform = 1.0 - terms.no_loss_probability - terms.total_loss_probability
    losses = [*((np.arange(_NODES) + 0.5) / _NODES).tolist(), 1.0]
    weights = [*[uniform / _NODES] * _NODES, terms.total_loss_probability]

    def at(shares: Rejected) -> NDArray[np.float64]:
        rate = shares.bad_rate[:, None]
        bads, goods = rate * shares.bads, terms.return_rate * (1.0 - rate) * shares.goods
        best = [w * np.maximum.reduce(loss * bads - goods, axis=1) for loss, w in zip(losses, weights, strict=True)]
        return np.asarray(np.sum(best, axis=0), dtype=np.float64)

    loans = Scored(pd=pd, default=default)
    return bootstrap_interval(found.profit_rate, at, loans, generator=generator, confidence=confidence)
