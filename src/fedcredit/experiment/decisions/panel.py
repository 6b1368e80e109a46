"""A run's network month after month on the simulated market: its scores, and provisions against what was then lost.

The market of the experiment is simulated again with its whole history. At the end of every month that has six months
behind and twelve ahead, the network scores the accounts of borrowers held out by key, from what lenders see then; each
lender's own intercept is added. In a market split by time, borrowers that are held out here may have been trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.calibration import own_intercept, shift_logits
from fedcredit.credit.loans import Floats
from fedcredit.credit.provisioning import (
    DETERIORATED,
    Scenario,
    StagePolicy,
    expected_credit_losses,
    stages,
)
from fedcredit.data.encoding import encode
from fedcredit.data.institution import split
from fedcredit.data.market.portfolio import market_schema, market_settings
from fedcredit.data.market.risk import M2, M3
from fedcredit.data.market.settings import WINDOW_MONTHS
from fedcredit.data.market.simulate import Market, simulate
from fedcredit.data.market.snapshots import HISTORY_MONTHS, behavioural_snapshot, snapshot_table
from fedcredit.data.portfolio import portfolio_from_table
from fedcredit.errors import InputError
from fedcredit.experiment.decisions.rescoring import Progress, Rescored, scores_of
from fedcredit.experiment.prepare import predict_pd
from fedcredit.experiment.spec import MarketPortfolio

EFFECTIVE_RATE = 0.12
_DAYS, _FEW = 30, 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Followed:
    """Held-out accounts of a market, month by month.

    Attributes:
        market: with its whole history.
        months: that were looked at the end of, rising, ``[months]``.
        account: places of the accounts in the market, ``[accounts]``.
        pd: within 12 months, at the lender's own level, ``[months, accounts]``; 0 where an account is not watched.
        pd_by_bucket: the same at the lender's own level of each bucket, which the network does not see.
        bucket: C, M1, M2, M3 or D as 0 to 4, negative where an account is not watched, ``[months, accounts]``.
        is_watched: owes something, is six months old and at most in M2, ``[months, accounts]``.
        lender: names, ``[accounts]``.
        kind: of the lender, ``[accounts]``.
    """

    market: Market
    months: NDArray[np.int64]
    account: NDArray[np.int64]
    pd: Floats
    pd_by_bucket: Floats
    bucket: NDArray[np.int8]
    is_watched: NDArray[np.bool_]
    lender: NDArray[np.str_]
    kind: NDArray[np.str_]


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


def follow(run: Rescored, *, progress: Progress | None = None) -> Followed:
    """Score the held-out accounts of a market at the end of every month.

    Args:
        run: a run on the simulated market, view ``behaviour``.
        progress: told ``"snapshots"``, the months done and the months there are.

    Returns:
        The accounts that were watched in at least one month.

    Raises:
        InputError: if the run is on other loans, or on the view ``application``.
    """
    portfolio = run.prepared.experiment.portfolio
    if not isinstance(portfolio, MarketPortfolio) or portfolio.view != "behaviour":
        raise InputError(
            f"{run.folder} is a run on {run.prepared.portfolio.schema.name}; months can be followed on the simulated "
            "market alone, with portfolio.view=behaviour"
        )
    market = simulate(market_settings(portfolio), progress=progress)
    shifts = scores_of(run, run.networks()).shifts
    last = market.settings.num_months - 1 - WINDOW_MONTHS
    months = np.arange(HISTORY_MONTHS, last + 1)
    pds = np.zeros((months.size, market.accounts.num_accounts), dtype=np.float32)
    watched = np.zeros(pds.shape, dtype=np.bool_)
    for place, month in enumerate(months.tolist()):
        if progress is not None:
            progress("snapshots", place, months.size)
        account, pd, _ = scored_snapshot(run, market, month, shifts=shifts)
        pds[place, account], watched[place, account] = pd, True
    kept = np.flatnonzero(watched.any(axis=0))
    lenders = market.settings.lenders
    own = market.accounts.lender[kept]
    names = np.array([lender.name for lender in lenders])[own]
    pd, is_watched = pds[:, kept].astype(np.float64), watched[:, kept]
    bucket = np.where(is_watched, market.history.panel.bucket[months][:, kept], np.int8(-1))
    return Followed(
        market=market,
        months=months,
        account=kept,
        pd=pd,
        pd_by_bucket=_at_bucket_levels(pd, bucket, names, bucket_shifts(run, market, shifts)),
        bucket=bucket,
        is_watched=is_watched,
        lender=names,
        kind=np.array([lender.kind for lender in lenders])[own],
    )


def bucket_shifts(run: Rescored, market: Market, shifts: Mapping[str, float]) -> dict[str, Floats]:
    """Fit each lender's level in each bucket, on its training and validation loans and inside.

    The columns that the network sees say whether a borrower was late in the last six months, not whether she is now.

    Args:
        run: the run.
        market: its market.
        shifts: lender -> own intercept.

    Returns:
        Lender -> what is added to the log-odds in C, M1 and M2, beyond the own intercept; 0 where a bucket holds
        fewer than 5 loans of either outcome.
    """
    portfolio, found = run.prepared.portfolio, {}
    account, month = (portfolio.column(name).astype(np.int64) for name in ("account", "snapshot_month"))
    bucket = market.history.panel.bucket[month, account]
    for institution in run.prepared.institutions:
        own = np.zeros(M2 + 1)
        parts = (institution.train, institution.validation)
        pd = np.concatenate(
            [predict_pd(run.prepared, run.prepared.network, run.parameters, part.features) for part in parts]
        )
        pd = shift_logits(pd, shifts.get(institution.name, 0.0))
        default = np.concatenate([part.default for part in parts]).astype(np.bool_)
        where = bucket[np.concatenate([part.rows for part in parts])]
        for state in range(M2 + 1):
            there = where == state
            if min(np.count_nonzero(default[there]), np.count_nonzero(~default[there])) >= _FEW:
                own[state] = own_intercept(pd[there], default[there]) or 0.0
        found[institution.name] = own
    return found


def _at_bucket_levels(
    pd: Floats, bucket: NDArray[np.int8], lender: NDArray[np.str_], shifts: Mapping[str, Floats]
) -> Floats:
    moved = pd.copy()
    for name, own in shifts.items():
        for state, shift in enumerate(own.tolist()):
            there = (bucket == state) & (lender == name)[None, :]
            moved[there] = shift_logits(pd[there], shift)
    return moved


def scored_snapshot(
    run: Rescored, market: Market, month: int, *, shifts: Mapping[str, float], worst: int = M2
) -> tuple[NDArray[np.int64], Floats, NDArray[np.str_]]:
    """Score the held-out accounts of one month.

    Args:
        run: the run.
        market: its market.
        month: at whose end lenders look.
        shifts: lender -> own intercept; other names of lenders get none.
        worst: the worst bucket that is looked at.

    Returns:
        Places of the accounts in the market, their PDs at own level, and their lenders, each ``[accounts]``.
    """
    table = snapshot_table(market, behavioural_snapshot(market, month, worst=worst))
    portfolio = portfolio_from_table(table, market_schema("behaviour"))
    held_out = portfolio.take(split(portfolio, seed=run.prepared.experiment.split_seed)["test"])
    lender = held_out.column("lender").astype(np.str_)
    pd = predict_pd(run.prepared, run.prepared.network, run.parameters, encode(held_out))
    for name in np.unique(lender).tolist():
        if shifts.get(name):
            pd[lender == name] = shift_logits(pd[lender == name], shifts[name])
    return held_out.column("account").astype(np.int64), pd, lender


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
