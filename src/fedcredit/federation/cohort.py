"""Who is asked in a round: a pure function of the seed and the round, by institution name."""

from __future__ import annotations

import math

from fedcredit.experiment.spec import FractionCohort, FullCohort
from fedcredit.seeds import permutation, public_stream

SMALLEST_COHORT = 3


def cohort(
    spec: FullCohort | FractionCohort, institutions: tuple[str, ...], *, seed: int, server_round: int
) -> tuple[str, ...]:
    """Choose the lenders of a round.

    A fraction is rounded up, and never below three lenders (or all, where there are fewer), because
    no fewer replies make a quorum.

    Args:
        spec: everyone, or a fraction.
        institutions: the names of all lenders.
        seed: the experiment's seed.
        server_round: the round, from 1.

    Returns:
        Names, sorted.
    """
    names = tuple(sorted(institutions))
    if isinstance(spec, FullCohort):
        return names
    count = max(math.ceil(spec.fraction * len(names)), smallest_quorum(len(names)))
    order = permutation(public_stream(seed=seed, purpose="cohort"), count=len(names), step=server_round)
    return tuple(sorted(names[position] for position in order[:count]))


def quorum(fraction: float, *, cohort_size: int, num_lenders: int) -> int:
    """Return how many replies of a cohort a round needs.

    Args:
        fraction: the fraction of the cohort, in (0, 1].
        cohort_size: how many lenders were asked.
        num_lenders: how many there are in all.

    Returns:
        The larger of the fraction (rounded up) and three lenders (or all, where there are fewer).
    """
    return max(math.ceil(fraction * cohort_size), smallest_quorum(num_lenders))


def smallest_quorum(num_lenders: int) -> int:
    """Return the fewest lenders that a round may rest on.

    Args:
        num_lenders: how many there are in all.

    Returns:
        Three, or all of them where there are fewer.
    """
    return min(SMALLEST_COHORT, num_lenders)
