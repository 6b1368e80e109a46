"""A run's network month after month on the simulated market: what lenders see and what the network says of it.

The market of the experiment is simulated again with its whole history. At the end of every month that has six months
behind and twelve ahead, the network scores the accounts of borrowers held out by key, from what lenders see then; each
lender's own intercept is added. In a market split by time, borrowers that are held out here may have been trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.calibration import own_intercept, shift_logits
from fedcredit.credit.loans import Floats
from fedcredit.data.encoding import encode
from fedcredit.data.institution import split
from fedcredit.data.market.portfolio import market_schema, market_settings
from fedcredit.data.market.risk import M2
from fedcredit.data.market.settings import WINDOW_MONTHS
from fedcredit.data.market.simulate import Market, simulate
from fedcredit.data.market.snapshots import HISTORY_MONTHS, behavioural_snapshot, snapshot_table
from fedcredit.data.portfolio import portfolio_from_table
from fedcredit.errors import InputError
from fedcredit.experiment.decisions.rescoring import Progress, Rescored, scores_of
from fedcredit.experiment.prepare import predict_pd
from fedcredit.experiment.spec import MarketPortfolio

_FEW = 5


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


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenMonths:
    """What lenders see of held-out accounts at the end of each month, as networks read it; one item a month.

    ``account`` are places in the market, ``lender`` names and ``features`` ``[accounts of the month, features]``.
    """

    market: Market
    months: NDArray[np.int64]
    account: tuple[NDArray[np.int64], ...]
    lender: tuple[NDArray[np.str_], ...]
    features: tuple[NDArray[np.float32], ...]


def months_key(run: Rescored) -> tuple[object, int]:
    """Return what decides which months a run sees: its market and its split."""
    experiment = run.prepared.experiment
    return experiment.portfolio, experiment.split_seed


def see_months(run: Rescored, *, progress: Progress | None = None) -> SeenMonths:
    """Look at the held-out accounts of a market at the end of every month.

    Args:
        run: a run on the simulated market, view ``behaviour``.
        progress: told ``"snapshots"``, the months done and the months there are.

    Returns:
        What is seen, the same for all runs of one `months_key`.

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
    months = np.arange(HISTORY_MONTHS, market.settings.num_months - WINDOW_MONTHS)
    parts = []
    for place, month in enumerate(months.tolist()):
        if progress is not None:
            progress("snapshots", place, months.size)
        parts.append(_seen(run, market, month, worst=M2))
    account, lender, features = zip(*parts, strict=True)
    return SeenMonths(market=market, months=months, account=account, lender=lender, features=features)


def follow(
    run: Rescored,
    *,
    seen: SeenMonths | None = None,
    networks: Mapping[str, NDArray[np.float32]] | None = None,
    progress: Progress | None = None,
) -> Followed:
    """Score the held-out accounts of a market at the end of every month.

    Args:
        run: a run on the simulated market, view ``behaviour``.
        seen: what `see_months` saw for a run of the same `months_key`; seen now by default.
        networks: flat parameters by lender; by default the shared network for all.
        progress: told ``"snapshots"``, the months done and the months there are.

    Returns:
        The accounts that were watched in at least one month.

    Raises:
        InputError: if the run is on other loans, or on the view ``application``.
    """
    told = seen or see_months(run, progress=progress)
    market, months, used = told.market, told.months, networks or run.networks()
    shifts = scores_of(run, used).shifts
    pds = np.zeros((months.size, market.accounts.num_accounts), dtype=np.float32)
    watched = np.zeros(pds.shape, dtype=np.bool_)
    for place, (account, names, features) in enumerate(zip(told.account, told.lender, told.features, strict=True)):
        pds[place, account] = _pd_by_lender(run, features, names, networks=used, shifts=shifts)
        watched[place, account] = True
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
        pd_by_bucket=_at_bucket_levels(pd, bucket, names, bucket_shifts(run, market, shifts, networks=used)),
        bucket=bucket,
        is_watched=is_watched,
        lender=names,
        kind=np.array([lender.kind for lender in lenders])[own],
    )


def bucket_shifts(
    run: Rescored,
    market: Market,
    shifts: Mapping[str, float],
    *,
    networks: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, Floats]:
    """Fit each lender's level in each bucket, on its training and validation loans and inside.

    The columns that the network sees say whether a borrower was late in the last six months, not whether she is now.

    Args:
        run: the run.
        market: its market.
        shifts: lender -> own intercept.
        networks: flat parameters by lender; by default the shared network for all.

    Returns:
        Lender -> what is added to the log-odds in C, M1 and M2, beyond the own intercept; 0 where a bucket holds
        fewer than 5 loans of either outcome.
    """
    portfolio, found, used = run.prepared.portfolio, {}, networks or run.networks()
    account, month = (portfolio.column(name).astype(np.int64) for name in ("account", "snapshot_month"))
    bucket = market.history.panel.bucket[month, account]
    for institution in run.prepared.institutions:
        own = np.zeros(M2 + 1)
        parts = (institution.train, institution.validation)
        pd = np.concatenate(
            [predict_pd(run.prepared, run.prepared.network, used[institution.name], part.features) for part in parts]
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
    account, lender, features = _seen(run, market, month, worst=worst)
    return account, _pd_by_lender(run, features, lender, networks=run.networks(), shifts=shifts), lender


def _seen(
    run: Rescored, market: Market, month: int, *, worst: int
) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.float32]]:
    table = snapshot_table(market, behavioural_snapshot(market, month, worst=worst))
    portfolio = portfolio_from_table(table, market_schema("behaviour"))
    held_out = portfolio.take(split(portfolio, seed=run.prepared.experiment.split_seed)["test"])
    return held_out.column("account").astype(np.int64), held_out.column("lender").astype(np.str_), encode(held_out)


def _pd_by_lender(
    run: Rescored,
    features: NDArray[np.float32],
    lender: NDArray[np.str_],
    *,
    networks: Mapping[str, NDArray[np.float32]],
    shifts: Mapping[str, float],
) -> Floats:
    pd = np.empty(lender.size)
    for name in np.unique(lender).tolist():
        own = lender == name
        raw = predict_pd(run.prepared, run.prepared.network, networks.get(name, run.parameters), features[own])
        pd[own] = shift_logits(raw, shifts.get(name, 0.0))
    return pd
