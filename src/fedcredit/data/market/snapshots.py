"""Snapshots: what a lender knows at a point in time, what then happened, and what was true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.market.application_columns import (
    Columns,
    Rows,
    application_columns,
    collected_by_lender,
    network_columns,
    num_others,
    overdue_contacts,
)
from fedcredit.data.market.borrowers import JOBS
from fedcredit.data.market.lenders import KINDS, NUM_REGIONS, SCENARIOS
from fedcredit.data.market.panel import NOTHING_DUE, relief
from fedcredit.data.market.plans import NEVER
from fedcredit.data.market.risk import (
    DEFAULTED,
    M1,
    M2,
    M3,
    coverage,
    default_path,
    distress_ahead,
    hazard_path,
    others_ahead,
)
from fedcredit.data.market.settings import WINDOW_MONTHS, Floats, MarketSettings
from fedcredit.data.market.simulate import Market
from fedcredit.data.market.streams import generator
from fedcredit.errors import InputError

HISTORY_MONTHS = 6


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What only a simulator knows; for evaluation, never an input of a model.

    ``pd`` is the probability of 90 days past due within 12 months, ``[rows]``, and ``hazard`` that of each
    month ahead given none before, ``[12, rows]``, both given the macro path. ``ring`` is the fraud ring, -1
    for none. ``other_lenders``, ``other_balance_amount`` and ``other_overdue`` (the worst bucket, 0 to 4)
    are what the same borrower has elsewhere: the vertical question. ``device`` and ``address`` are keys that a lender
    holds of its accounts (-1 where it does not collect them) and no model sees.
    """

    pd: Floats
    hazard: Floats
    ring: NDArray[np.int32]
    other_lenders: NDArray[np.int64]
    other_balance_amount: NDArray[np.float64]
    other_overdue: NDArray[np.int64]
    device: NDArray[np.int64]
    address: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Rows of a snapshot, one per account and month.

    ``columns`` hold numbers (NaN for a gap) and codes into ``CATEGORIES``, each ``[rows]``. ``default`` is
    90 days past due within the 12 months that follow.
    """

    account: NDArray[np.int64]
    lender: NDArray[np.int8]
    month: NDArray[np.int64]
    columns: Columns
    default: NDArray[np.int8]
    truth: Truth

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.default)


CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "region": tuple(f"region_{region + 1}" for region in range(NUM_REGIONS)),
    "job_type": JOBS,
    "scenario": SCENARIOS,
}


def behavioural_snapshot(market: Market, month: int, *, worst: int = M2) -> Snapshot:
    """Look at every account that is at least six months old, owes something and is not far overdue.

    Args:
        market: the market.
        month: the month at whose end the lenders look; 12 more must follow.
        worst: the worst bucket that is looked at, C to M3 as 0 to 3; accounts in M3 are with
            collections, and a score of them would mostly restate the bucket.

    Returns:
        The snapshot: application columns, behaviour of the last six months, labels and truth.

    Raises:
        InputError: for a month without enough history or future.
    """
    settings, accounts, panel = market.settings, market.accounts, market.history.panel
    check_month(settings, month)
    seen = (accounts.opened <= month - HISTORY_MONTHS) & (panel.balance[month] > 0)
    rows = np.flatnonzero(seen & (panel.bucket[month] <= min(worst, M3)))
    months = np.full(len(rows), month)
    columns = {name: values[rows] for name, values in application_columns(market).items()}
    columns |= network_columns(market, rows, months, entity=f"columns.bureau.{month}")
    columns["contacts_overdue_share"] = collected_by_lender(
        market, "contacts", rows, overdue_contacts(market, month)[rows]
    )
    columns |= _behaviour(market, rows, month)
    return _snapshot(market, rows, months, columns)


def check_month(settings: MarketSettings, month: int) -> None:
    """Refuse a snapshot month without enough history or future.

    Args:
        settings: the market's settings.
        month: the month.

    Raises:
        InputError: naming the months that are allowed.
    """
    last = settings.num_months - 1 - WINDOW_MONTHS
    if not HISTORY_MONTHS <= month <= last:
        raise InputError(f"snapshot month is {month}; allowed is {HISTORY_MONTHS} to {last}")


def application_snapshot(market: Market) -> Snapshot:
    """Look at every account at its opening, where 12 more months follow.

    Args:
        market: the market.

    Returns:
        The snapshot: application columns, labels and truth.
    """
    rows = np.flatnonzero(market.accounts.opened < market.settings.num_months - WINDOW_MONTHS)
    months = market.accounts.opened[rows].astype(np.int64)
    columns = {name: values[rows] for name, values in application_columns(market).items()}
    columns |= network_columns(market, rows, months, entity="columns.bureau.opening")
    return _snapshot(market, rows, months, columns)


def joined(parts: list[Snapshot]) -> Snapshot:
    """Put snapshots of several months together.

    Args:
        parts: snapshots with the same columns, at least one.

    Returns:
        All rows, in the same order.
    """
    first = parts[0]
    truth = {
        name: np.concatenate([getattr(part.truth, name) for part in parts], axis=-1)
        for name in Truth.__dataclass_fields__
    }
    return Snapshot(
        account=np.concatenate([part.account for part in parts]),
        lender=np.concatenate([part.lender for part in parts]),
        month=np.concatenate([part.month for part in parts]),
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
        default=np.concatenate([part.default for part in parts]),
        truth=Truth(**truth),
    )


def _behaviour(market: Market, rows: Rows, month: int) -> Columns:
    """Summarise the last six months of accounts."""
    panel, accounts = market.history.panel, market.accounts
    window = slice(month - HISTORY_MONTHS + 1, month + 1)
    draw = generator(seed=market.settings.seed, entity="columns.behaviour", month=month)
    on_time = panel.on_time[window, rows]
    ratio = np.where(on_time == NOTHING_DUE, np.nan, on_time / 100.0)[::-1]
    owing = np.maximum((~np.isnan(ratio)).sum(axis=0), 1)
    worst = panel.bucket[window, rows].max(axis=0).astype(np.float64)
    days = draw.integers(0, 30, len(rows))
    orders = panel.orders[window, rows].sum(axis=0, dtype=np.int64)
    bought = panel.bought[window, rows]
    plans = (bought > 0).sum(axis=0)
    discipline = accounts.discipline[rows]
    night = draw.binomial(orders, 1.0 / (1.0 + np.exp(1.6 + 0.34 * discipline)))
    returned = draw.binomial(orders, 1.0 / (1.0 + np.exp(2.2 + 0.35 * discipline)))
    early = draw.binomial(owing, 1.0 / (1.0 + np.exp(1.3 - 0.5 * discipline)))
    some = np.where(orders > 0, orders, np.nan)
    ahead = {
        "order_count_6m": orders,
        "days_between_orders": np.round(182.0 / (some + 0.5), 1),
        "night_order_share": np.round(night / some, 3),
        "return_rate": np.round(returned / some, 3),
    }
    return {
        **{name: collected_by_lender(market, "orders", rows, values) for name, values in ahead.items()},
        "plan_count_6m": plans,
        "plan_amount": np.round(bought.sum(axis=0, dtype=np.float64) / np.maximum(plans, 1), 2),
        "balance_amount": np.round(panel.balance[month, rows].astype(np.float64), 2),
        "utilisation": np.round(panel.balance[month, rows].astype(np.float64) / accounts.limit[rows], 4),
        "remaining_months": panel.remaining[month, rows],
        "months_on_book": month - accounts.opened[rows].astype(np.int64),
        **{f"pay_ratio_{back + 1}": ratio[back] for back in range(HISTORY_MONTHS)},
        "pay_ratio_6m": np.round(np.nansum(ratio, axis=0) / owing, 4),
        "early_repay_share": np.round(early / owing, 3),
        "dpd_max_6m": np.where(worst > 0, 30 * worst - days, 0.0),
    }


def _snapshot(market: Market, rows: Rows, months: NDArray[np.int64], columns: Columns) -> Snapshot:
    when = market.history.default_month[rows].astype(np.int64)
    within = (when > months) & (when <= months + WINDOW_MONTHS) & (when != NEVER)
    lender = market.accounts.lender[rows]
    return Snapshot(
        account=rows.astype(np.int64),
        lender=lender,
        month=months,
        columns=columns,
        default=within.astype(np.int8),
        truth=_truth(market, rows, months),
    )


def _truth(market: Market, rows: Rows, months: NDArray[np.int64]) -> Truth:
    others = num_others(market, rows, months)
    hazard = np.empty((WINDOW_MONTHS, len(rows)), dtype=np.float32)
    pd = np.empty(len(rows), dtype=np.float32)
    balance, overdue = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    for month in np.unique(months):
        now = np.flatnonzero(months == month)
        balance[now], overdue[now] = _elsewhere(market, rows[now], int(month))
        path = true_path(market, rows[now], int(month), others[now], overdue[now])
        pd[now], hazard[:, now] = path[-1], hazard_path(path)
    borrower = market.accounts.borrower[rows]
    device = collected_by_lender(market, "device", rows, market.borrowers.device[borrower])
    return Truth(
        pd=pd,
        hazard=hazard,
        ring=market.accounts.ring[rows],
        other_lenders=others,
        other_balance_amount=balance,
        other_overdue=overdue,
        device=np.where(np.isnan(device), -1, device).astype(np.int64),
        address=market.borrowers.address[borrower].astype(np.int64),
    )


def true_path(
    market: Market, rows: Rows, month: int, others: NDArray[np.int64], elsewhere: NDArray[np.int64]
) -> Floats:
    """Return the true cumulative probability of default of accounts over the 12 months after a month.

    Args:
        market: the market.
        rows: the accounts, ``[rows]``.
        month: the month at whose end they stand.
        others: other lenders of their borrowers, ``[rows]``.
        elsewhere: the borrowers' worst bucket there, ``[rows]``.

    Returns:
        Probabilities, ``[12, rows]``.
    """
    accounts, panel = market.accounts, market.history.panel
    mixes = np.array([lender.tenors for lender in market.settings.lenders])
    cover = coverage(
        remaining_months=panel.remaining[month, rows],
        purchase_rate=accounts.purchase_rate[rows],
        mix=mixes[accounts.lender[rows]],
    )
    window = slice(month + 1, month + 1 + WINDOW_MONTHS)
    return default_path(
        market.risk.take(rows),
        bucket=panel.bucket[month, rows],
        months_on_book=month - accounts.opened[rows].astype(np.int64),
        others=others_ahead(market.borrowers.wanted_lenders[accounts.borrower[rows]], others),
        distress=distress_ahead(elsewhere),
        cover=cover * relief(market.settings)[window, None].astype(np.float32),
        factors=market.factors[window],
    )


def _elsewhere(market: Market, rows: Rows, month: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what borrowers owe, and their worst bucket, at their other lenders."""
    accounts, panel = market.accounts, market.history.panel
    count = market.borrowers.num_borrowers
    everywhere = np.bincount(accounts.borrower, weights=panel.balance[month], minlength=count)
    own = accounts.borrower[rows]
    balance = everywhere[own] - panel.balance[month, rows]
    worst = np.zeros(len(rows), dtype=np.int64)
    late = panel.bucket[month, rows]
    for state in range(M1, DEFAULTED + 1):
        has = np.bincount(accounts.borrower[panel.bucket[month] == state], minlength=count)[own]
        worst[has - (late == state) > 0] = state
    return np.round(np.maximum(balance, 0.0), 2), worst


def snapshot_table(market: Market, snapshot: Snapshot) -> pa.Table:
    """Write a snapshot as a table: keys, columns and label; nothing of the truth.

    Args:
        market: the market.
        snapshot: the snapshot.

    Returns:
        The table, one row per account and month.
    """
    names = [lender.name for lender in market.settings.lenders]
    kinds = np.array([KINDS.index(lender.kind) for lender in market.settings.lenders], dtype=np.int8)
    opened = market.accounts.opened[snapshot.account]
    columns: dict[str, Any] = {
        "borrower": market.accounts.borrower[snapshot.account],
        "lender": pa.DictionaryArray.from_arrays(snapshot.lender, names),
        "lender_kind": pa.DictionaryArray.from_arrays(kinds[snapshot.lender], list(KINDS)),
        "account": snapshot.account,
        "snapshot_month": snapshot.month,
        "vintage": opened.astype(np.int64),
    }
    for name, values in snapshot.columns.items():
        labels = CATEGORIES.get(name)
        columns[name] = _cells(values) if labels is None else pa.DictionaryArray.from_arrays(values, list(labels))
    columns["default"] = snapshot.default
    return pa.table(columns)


def _cells(values: NDArray[Any]) -> pa.Array:
    if values.dtype.kind == "f":
        return pa.array(values.astype(np.float64), from_pandas=True)
    return pa.array(values.astype(np.int8) if values.dtype.kind == "b" else values)
