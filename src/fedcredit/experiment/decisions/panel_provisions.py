"""Provisions on the simulated market, against what was then lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.loans import Floats
from fedcredit.credit.provisioning import (
    DETERIORATED,
    Scenario,
    StagePolicy,
    expected_credit_losses,
    stages,
)
from fedcredit.data.market.risk import M3
from fedcredit.data.market.settings import WINDOW_MONTHS
from fedcredit.experiment.decisions.panel import Followed

EFFECTIVE_RATE = 0.12
_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class ProvisionedMonth:
    """Provisions at the end of a month and what was then lost; amounts in CNY.

    Attributes:
        month: the month.
        is_in_shock: whether a named shock had begun.
        num_loans: accounts that were provided for.
        exposure_amount: what they owed.
        num_deteriorated: loans in stage 2; accounts in default are not among them.
        provision_amount: what is booked, scenarios weighted.
        twelve_month_amount: expected loss within a year, scenarios weighted, where balances run off as planned.
        replaced_amount: the same where new purchases keep balances as they are.
        down_amount: ``replaced_amount`` in the down scenario alone.
        realised_amount: lost on those that defaulted within a year, at the exposure and loss they then had.
        realised_by_kind: kind of lender -> realised over ``replaced_amount``.
    """

    month: int
    is_in_shock: bool
    num_loans: int
    exposure_amount: float
    num_deteriorated: int
    provision_amount: float
    twelve_month_amount: float
    replaced_amount: float
    down_amount: float
    realised_amount: float
    realised_by_kind: Mapping[str, float]


def provisions(
    followed: Followed, *, months: Sequence[int], lgd_rate: float, policy: StagePolicy
) -> list[ProvisionedMonth]:
    """Provide for the accounts of some months and compare with what was lost.

    Hazards are constant over the remaining term and the PD at origin is that of the first month an account was watched.
    What is booked runs off in equal parts, as the plans of the month do; borrowers go on buying, so what is lost is
    held against balances that stay as they are, too.

    Args:
        followed: the accounts.
        months: at whose ends provisions are made; those that were not followed are passed over.
        lgd_rate: share lost given default, in [0, 1].
        policy: stages and scenarios.

    Returns:
        One item a month.
    """
    known = set(followed.months.tolist())
    return [_provisioned(followed, month, lgd_rate, policy) for month in sorted(set(months)) if month in known]


def _provisioned(followed: Followed, month: int, lgd_rate: float, policy: StagePolicy) -> ProvisionedMonth:
    market, place = followed.market, int(month - followed.months[0])
    chosen = np.flatnonzero(followed.is_watched[place])
    rows = followed.account[chosen]
    panel, losses = market.history.panel, market.history.losses
    balance = panel.balance[month, rows].astype(np.float64)
    left = np.maximum(panel.remaining[month, rows].astype(np.int64), 1)
    hazard = 1.0 - (1.0 - followed.pd[place, chosen]) ** (1.0 / WINDOW_MONTHS)
    first = np.argmax(followed.is_watched[:, chosen], axis=0)
    at_origin = 1.0 - (1.0 - followed.pd[first, chosen]) ** (left / WINDOW_MONTHS)
    stage = stages(
        days_past_due=_DAYS * np.minimum(panel.bucket[month, rows].astype(np.int64), M3 - 1),
        lifetime_pd=1.0 - (1.0 - hazard) ** left,
        lifetime_pd_at_origin=at_origin,
        policy=policy,
    )
    ahead = np.arange(max(int(left.max()), WINDOW_MONTHS))
    run_off = balance[:, None] * np.clip(1.0 - ahead[None, :] / left[:, None], 0.0, 1.0)
    stays = np.repeat(balance[:, None], ahead.size, axis=1)
    hazards = np.repeat(hazard[:, None], ahead.size, axis=1)

    def expected(rules: StagePolicy, exposure: Floats, months: NDArray[np.int64]) -> tuple[Floats, Floats]:
        found = expected_credit_losses(
            hazard_rate=hazards,
            exposure_amount=exposure,
            lgd=np.full(rows.size, lgd_rate),
            remaining_months=months,
            effective_rate=EFFECTIVE_RATE,
            stage=stage,
            policy=rules,
        )
        return found.provision_amount, found.twelve_month_amount

    booked, year = expected(policy, run_off, left)
    full_year = np.full(rows.size, WINDOW_MONTHS)
    replaced = expected(policy, stays, full_year)[1]
    worst = min(policy.scenarios, key=lambda scenario: scenario.factor)
    down = StagePolicy(
        rho=policy.rho,
        scenarios=(Scenario(name=worst.name, weight=1.0, factor=worst.factor, lgd_factor=worst.lgd_factor),),
    )
    when = market.history.default_month[rows].astype(np.int64)
    struck = (when > month) & (when <= month + WINDOW_MONTHS)
    lost = np.where(struck, losses.ead[rows].astype(np.float64) * losses.lgd[rows], 0.0)
    kinds = followed.kind[chosen]
    return ProvisionedMonth(
        month=month,
        is_in_shock=market.settings.shock != "none" and month >= market.settings.shock_month,
        num_loans=int(rows.size),
        exposure_amount=float(balance.sum()),
        num_deteriorated=int(np.count_nonzero(stage == DETERIORATED)),
        provision_amount=float(booked.sum()),
        twelve_month_amount=float(year.sum()),
        replaced_amount=float(replaced.sum()),
        down_amount=float(expected(down, stays, full_year)[1].sum()),
        realised_amount=float(lost.sum()),
        realised_by_kind={
            kind: float(lost[kinds == kind].sum() / replaced[kinds == kind].sum()) for kind in np.unique(kinds).tolist()
        },
    )
