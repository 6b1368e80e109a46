"""Lenders that share the noise of their sum: what is left of it, and what it costs, when some of them do not.

Each of K lenders adds noise of variance sigma^2 C^2 / K to its clipped sum, so that the sum of all carries sigma C. For
who sees the whole sum alone this is one Poisson-sampled Gaussian on the loans of all lenders, at their common rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from fedcredit.experiment.spec import Privacy
from fedcredit.privacy.accounting.accountants import Epsilon, epsilon
from fedcredit.privacy.accounting.events import Event


def noise_share(privacy: Privacy, num_lenders: int) -> float:
    """Return a lender's share of the noise's standard deviation.

    Args:
        privacy: the promise.
        num_lenders: K, at least 1.

    Returns:
        1 / sqrt(K) where lenders share the noise of their sum, and 1 where each of them trusts itself alone.
    """
    return 1.0 / math.sqrt(num_lenders) if privacy.shares_noise else 1.0


def under_collusion(events: Iterable[Event], *, num_lenders: int, num_colluders: int, delta: float) -> Epsilon:
    """Price a loan when other lenders subtract their own part of the sum, noise and all.

    Args:
        events: what the sum of all lenders costs.
        num_lenders: K, at least 2.
        num_colluders: t, from 0 to K - 1.
        delta: above 0 and below 1.

    Returns:
        The bound at noise multiplier sigma sqrt((K - t) / K).

    Raises:
        ValueError: if there are more colluders than other lenders.
    """
    if not 0 <= num_colluders < num_lenders:
        raise ValueError(f"num_colluders is {num_colluders}; allowed is 0 to {num_lenders - 1}")
    kept = math.sqrt((num_lenders - num_colluders) / num_lenders)
    return epsilon([replace(event, noise_multiplier=kept * event.noise_multiplier) for event in events], delta=delta)
