"""Lift and capture by decile of risk, the riskiest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit.calibration import equal_count_bins, wilson
from fedcredit.credit.discrimination import Interval
from fedcredit.credit.scored import Scored, checked_confidence
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Decile:
    """Loans of one decile of risk.

    ``decile`` 1 is the riskiest; ``lift`` is its bad rate over that of all loans; ``captured_rate`` is the share
    of all bads in this decile and the riskier ones. Both are ``None`` if no loan defaulted.
    """

    decile: int
    num_loans: int
    num_defaults: int
    lowest_pd: float
    highest_pd: float
    mean_pd: float
    bad_rate: float
    bad_rate_interval: Interval
    lift: float | None
    captured_rate: float | None
    captured_rate_interval: Interval | None


def decile_table(
    pd: ArrayLike, default: ArrayLike, *, num_groups: int = 10, confidence: float = 0.95
) -> tuple[Decile, ...]:
    """Return the loans by decile of risk; loans of equal PD share one, so some can be missing.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        num_groups: number of groups of equal count, at least 1.
        confidence: level of Wilson's intervals, in (0, 1).

    Returns:
        The groups that hold a loan, the riskiest first; none for fewer loans than groups.

    Raises:
        InputError: if the arrays are not scored loans, or an option is out of range.
    """
    level = checked_confidence(confidence)
    if num_groups < 1:
        raise InputError(f"num_groups is {num_groups}; allowed is from 1, for example 10")
    scored = Scored(pd=pd, default=default)
    if scored.num_loans < num_groups:
        return ()
    places = num_groups - 1 - equal_count_bins(scored.pd, num_groups)
    found: list[Decile] = []
    caught = 0
    for place in np.unique(places).tolist():
        own = places == place
        values, num_loans = scored.pd[own], int(np.count_nonzero(own))
        bads = int(np.count_nonzero(scored.default[own]))
        caught += bads
        total = scored.num_defaults
        found.append(
            Decile(
                decile=place + 1,
                num_loans=num_loans,
                num_defaults=bads,
                lowest_pd=float(values.min()),
                highest_pd=float(values.max()),
                mean_pd=float(values.mean()),
                bad_rate=bads / num_loans,
                bad_rate_interval=wilson(bads, num_loans, level),
                lift=bads / num_loans / (total / scored.num_loans) if total else None,
                captured_rate=caught / total if total else None,
                captured_rate_interval=wilson(caught, total, level) if total else None,
            )
        )
    return tuple(found)
