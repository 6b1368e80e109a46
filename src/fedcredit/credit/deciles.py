"""Lift and capture: how many of the bads are found among the loans of highest predicted risk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit.scored import Scored
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Decile:
    """One group of loans of about equal count; the first group has the highest predicted risk.

    Attributes:
        num_loans: loans in the group.
        num_defaults: bads in it.
        mean_pd: their mean predicted probability of default.
        bad_rate: the share that defaulted.
        lift: its bad rate over that of all loans; ``None`` without a bad.
        captured_rate: share of all bads in this group and those above; ``None`` without a bad.
    """

    num_loans: int
    num_defaults: int
    mean_pd: float
    bad_rate: float
    lift: float | None
    captured_rate: float | None


def decile_table(pd: ArrayLike, default: ArrayLike, *, num_groups: int = 10) -> tuple[Decile, ...]:
    """Deal loans into groups by predicted risk, the riskiest first.

    Loans of equal ``pd`` keep the order they are given in.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        num_groups: groups, at least 1; 10 for deciles.

    Returns:
        The groups; none for fewer loans than groups.

    Raises:
        InputError: if the arrays are not scored loans, or ``num_groups`` is below 1.
    """
    if num_groups < 1:
        raise InputError(f"num_groups is {num_groups}; allowed is from 1, for example 10")
    scored = Scored(pd=pd, default=default)
    if scored.num_loans < num_groups:
        return ()
    groups = np.array_split(np.argsort(-scored.pd, kind="stable"), num_groups)
    bads = [int(np.count_nonzero(scored.default[group])) for group in groups]
    overall = scored.num_defaults / scored.num_loans
    return tuple(
        Decile(
            num_loans=len(group),
            num_defaults=count,
            mean_pd=float(scored.pd[group].mean()),
            bad_rate=count / len(group),
            lift=count / len(group) / overall if overall else None,
            captured_rate=found / scored.num_defaults if overall else None,
        )
        for group, count, found in zip(groups, bads, np.cumsum(bads).tolist(), strict=True)
    )
