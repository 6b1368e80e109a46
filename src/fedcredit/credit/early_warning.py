"""Early warning: alarms from monthly risk, how early they come, and how many are false."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.loans import setting
from fedcredit.errors import InputError

NEVER = 10_000
EARLY_MONTHS = 3
Months = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class AlarmPolicy:
    """When an account is watched.

    Attributes:
        threshold_rate: hazard over the next three months from which an alarm is raised, in (0, 1].
        growth_factor: hazard that has grown by this factor since the first month on book raises one as well, above 1.
        least_hazard_rate: below this no growth counts, in [0, 1].
    """

    threshold_rate: float = 0.05
    growth_factor: float = 2.0
    least_hazard_rate: float = 0.005

    def __post_init__(self) -> None:
        """Check the ranges."""
        setting(self.threshold_rate, "threshold_rate", low=0.0, high=1.0, is_open=True)
        setting(self.growth_factor, "growth_factor", low=1.0, is_open=True)
        setting(self.least_hazard_rate, "least_hazard_rate", low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class EarlyWarning:
    """How well alarms foretell defaults; ``None`` where there is nothing to count.

    Attributes:
        median_lead_months: from the first alarm to the default, over defaults that had one before.
        early_share_rate: share of defaults with an alarm at least three months before.
        alarmed_share_rate: share of defaults with any alarm before.
        precision_rate: share of alarmed accounts that defaulted later within the months that were seen.
        alarms_per_1000: first alarms per 1,000 account-months under watch.
        num_defaults: accounts that defaulted after their first month.
    """

    median_lead_months: float | None
    early_share_rate: float | None
    alarmed_share_rate: float | None
    precision_rate: float | None
    alarms_per_1000: float | None
    num_defaults: int


def first_alarms(hazard_rate: ArrayLike, is_watched: ArrayLike, policy: AlarmPolicy) -> Months:
    """Find the month of each account's first alarm.

    Args:
        hazard_rate: predicted probability of default over the next three months, ``[months, accounts]``, in [0, 1];
            what stands where an account is not watched is passed over.
        is_watched: whether an account is open and not in default, ``[months, accounts]``.
        policy: when to raise an alarm.

    Returns:
        Months, ``[accounts]``; ``NEVER`` where there is none.

    Raises:
        InputError: if the tables do not fit together, or a hazard under watch is out of range.
    """
    watched = np.asarray(is_watched, dtype=np.bool_)
    hazard = np.asarray(hazard_rate, dtype=np.float64)
    if hazard.ndim != 2 or hazard.shape != watched.shape:
        raise InputError(
            f"hazard_rate has shape {hazard.shape} and is_watched {watched.shape}; give one row a month and one column "
            "an account in both"
        )
    wrong = int(np.count_nonzero(~((hazard >= 0.0) & (hazard <= 1.0)) & watched))
    if wrong:
        raise InputError(f"hazard_rate is out of range or missing in {wrong} watched cells; allowed is from 0 to 1")
    origin = np.take_along_axis(hazard, np.argmax(watched, axis=0)[None, :], axis=0)
    grown = (hazard >= policy.growth_factor * origin) & (hazard >= policy.least_hazard_rate)
    return first_months(watched & ((hazard >= policy.threshold_rate) | grown))


def first_late_months(bucket: ArrayLike, *, late_bucket: int = 1) -> Months:
    """Find the month in which each account first enters a bucket: the rule that alarms are held against.

    Args:
        bucket: 0 for current, 1 for M1 and so on, negative before opening, ``[months, accounts]``.
        late_bucket: the bucket, 1 for M1.

    Returns:
        Months, ``[accounts]``; ``NEVER`` where there is none.
    """
    return first_months(np.asarray(bucket) >= late_bucket)


def first_months(flags: NDArray[np.bool_]) -> Months:
    """Return the first month in which a flag is set, ``NEVER`` where it is not.

    Args:
        flags: ``[months, accounts]``.

    Returns:
        Months, ``[accounts]``.
    """
    if not len(flags):
        return np.full(flags.shape[1], NEVER, dtype=np.int64)
    found: Months = np.where(flags.any(axis=0), np.argmax(flags, axis=0), NEVER).astype(np.int64)
    return found


def early_warning(first_alarm: Months, default_month: ArrayLike, *, is_watched: ArrayLike) -> EarlyWarning:
    """Judge alarms by the defaults that came.

    Args:
        first_alarm: month of the first alarm, ``[accounts]``; ``NEVER`` for none.
        default_month: month of the default, ``[accounts]``; ``NEVER`` (or any later month) for none.
        is_watched: whether an account is open and not in default, ``[months, accounts]``.

    Returns:
        Lead times and shares.

    Raises:
        InputError: if the arrays do not fit together.
    """
    watched = np.asarray(is_watched, dtype=np.bool_)
    ends = np.asarray(default_month, dtype=np.int64)
    if not first_alarm.shape == ends.shape == watched.shape[1:]:
        raise InputError(
            f"first_alarm, default_month and is_watched are for {first_alarm.size}, {ends.size} and "
            f"{watched.shape[-1]} accounts; give the same ones"
        )
    opened = first_months(watched)
    defaulted = (ends < len(watched)) & (ends > opened)
    alarmed = first_alarm < NEVER
    before = defaulted & (first_alarm < ends)
    lead = (ends - first_alarm)[before]
    num_defaults, num_alarms = int(defaulted.sum()), int(alarmed.sum())
    account_months = int((watched & (np.arange(len(watched))[:, None] <= first_alarm[None, :])).sum())
    return EarlyWarning(
        median_lead_months=float(np.median(lead)) if lead.size else None,
        early_share_rate=float(np.count_nonzero(lead >= EARLY_MONTHS)) / num_defaults if num_defaults else None,
        alarmed_share_rate=float(before.sum()) / num_defaults if num_defaults else None,
        precision_rate=float(before.sum()) / num_alarms if num_alarms else None,
        alarms_per_1000=1000.0 * num_alarms / account_months if account_months else None,
        num_defaults=num_defaults,
    )
