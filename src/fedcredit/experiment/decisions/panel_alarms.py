"""Early warning on the simulated market: alarms by the network, beside the rule "enters M1".

In the market a default takes three missed payments after entering M1, so the rule is at least three months early
wherever it is asked, and no alarm can be early for more defaults than the rule and foresight together. What a network
can add is order: fewer alarms for the same defaults, or the same alarms sooner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.early_warning import (
    EARLY_MONTHS,
    NEVER,
    AlarmPolicy,
    EarlyWarning,
    early_warning,
    first_alarms,
    first_late_months,
    first_months,
)
from fedcredit.credit.loans import Floats
from fedcredit.experiment.decisions.panel import Followed

RULE, NETWORK, BUCKET, ORDERED = "enters M1", "network", "network, level by bucket", "enters M1, riskiest first"
FEWER = (0.5, 0.25)
LEADS, EARLIER = tuple(range(13)), 6
_Months = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """Early warning by the network, beside the rule "enters M1".

    Attributes:
        by_policy: alarms of the policy.
        at_equal_alarms: alarms by threshold alone, chosen so that there are as many as the rule raises.
        by_bucket_level: the same, where each lender adds its own level of each bucket.
        by_rule: the rule.
        at_fewer: share of the rule's number of alarms -> way of raising them -> what comes of it; of the rule's own
            alarms a share at random is what it is expected to be.
        threshold_rate: that of ``at_equal_alarms``, a three-month hazard.
        early_beyond_rule_rate: share of defaults that ``at_equal_alarms`` foretells three months before and the rule
            does not; ``None`` without a default.
        not_reached_rate: share of defaults that the rule could not be early for: watched for the first time less than
            three months before, or late for the first time after the last month that is looked at.
        alarmed_before: way of raising as many alarms as the rule -> share of defaults alarmed at least 0, 1, ... 12
            months before; empty without a default.
        months: that were looked at.
        alarms_by_month: way of raising as many alarms as the rule -> first alarms in each of ``months``.
        defaults_by_month: defaults of watched accounts in each of ``months``.
    """

    by_policy: EarlyWarning
    at_equal_alarms: EarlyWarning
    by_bucket_level: EarlyWarning
    by_rule: EarlyWarning
    at_fewer: Mapping[str, Mapping[str, EarlyWarning]]
    threshold_rate: float
    early_beyond_rule_rate: float | None
    not_reached_rate: float | None
    alarmed_before: Mapping[str, tuple[float, ...]]
    months: tuple[int, ...]
    alarms_by_month: Mapping[str, tuple[int, ...]]
    defaults_by_month: tuple[int, ...]


def alarms(followed: Followed, policy: AlarmPolicy | None = None) -> Alarms:
    """Raise alarms from the hazard and hold them against the rule "enters M1".

    Args:
        followed: the accounts.
        policy: when to raise an alarm.

    Returns:
        All of them, over the same accounts and months; defaults count up to the end of the market.
    """
    watched, first = followed.is_watched, int(followed.months[0])
    when = followed.market.history.default_month[followed.account].astype(np.int64)
    default_month = np.where(when < followed.market.settings.num_months, when - first, NEVER)
    until_end = np.zeros((followed.market.settings.num_months - first, watched.shape[1]), dtype=np.bool_)
    until_end[: len(watched)] = watched

    def judged(found: _Months) -> EarlyWarning:
        return early_warning(found, default_month, is_watched=until_end)

    by_rule = first_late_months(followed.bucket)
    num = int(np.count_nonzero(by_rule < NEVER))
    risks = {
        NETWORK: followed.pd,
        BUCKET: followed.pd_by_bucket,
        ORDERED: np.where(np.arange(len(watched))[:, None] == by_rule[None, :], followed.pd_by_bucket, 0.0),
    }
    found = {RULE: by_rule} | {name: highest(risks[name], watched, num) for name in (NETWORK, BUCKET)}
    is_default = (default_month < len(until_end)) & (default_month > first_months(watched))
    early = {name: is_default & (default_month - alarm >= EARLY_MONTHS) for name, alarm in found.items()}
    num_defaults = int(is_default.sum())

    def of_defaults(flags: NDArray[np.bool_]) -> float | None:
        return float(flags.sum()) / num_defaults if num_defaults else None

    return Alarms(
        by_policy=judged(first_alarms(_three_months(followed.pd), watched, policy or AlarmPolicy())),
        at_equal_alarms=judged(found[NETWORK]),
        by_bucket_level=judged(found[BUCKET]),
        by_rule=judged(by_rule),
        at_fewer={
            f"{share:g}": {name: judged(highest(risk, watched, round(share * num))) for name, risk in risks.items()}
            for share in FEWER
        },
        threshold_rate=float(_three_months(_threshold(followed.pd, watched, num))),
        early_beyond_rule_rate=of_defaults(early[NETWORK] & ~early[RULE]),
        not_reached_rate=of_defaults(is_default & ~early[RULE]),
        alarmed_before={name: _alarmed_before(alarm, default_month, is_default) for name, alarm in found.items()}
        if num_defaults
        else {},
        months=tuple(followed.months.tolist()),
        alarms_by_month={name: _by_month(alarm, len(watched)) for name, alarm in found.items()},
        defaults_by_month=_by_month(np.where(is_default, default_month, NEVER), len(watched)),
    )


def highest(risk: Floats, is_watched: NDArray[np.bool_], num_alarms: int) -> _Months:
    """Raise a number of alarms, on the accounts whose risk rises highest, in the month it passes the threshold.

    Args:
        risk: ``[months, accounts]``.
        is_watched: ``[months, accounts]``.
        num_alarms: how many accounts are alarmed; more where several have the risk of the last one.

    Returns:
        Month of each account's alarm, ``[accounts]``; ``NEVER`` where there is none.
    """
    return first_months(is_watched & (risk >= _threshold(risk, is_watched, num_alarms)))


def _threshold(risk: Floats, is_watched: NDArray[np.bool_], num_alarms: int) -> float:
    if not 0 < num_alarms <= risk.shape[1]:
        return float("inf")
    return max(float(np.sort(np.where(is_watched, risk, 0.0).max(axis=0))[-num_alarms]), 1e-9)


def _three_months(pd: Floats | float) -> Floats:
    hazard: Floats = 1.0 - (1.0 - np.minimum(pd, 1.0)) ** 0.25
    return hazard


def _alarmed_before(alarm: _Months, default_month: _Months, is_default: NDArray[np.bool_]) -> tuple[float, ...]:
    lead = np.where(alarm < NEVER, default_month - alarm, -1)[is_default]
    return tuple(float(np.count_nonzero(lead >= months)) / lead.size for months in LEADS)


def _by_month(month: _Months, num_months: int) -> tuple[int, ...]:
    return tuple(np.bincount(month[month < num_months], minlength=num_months).tolist())
