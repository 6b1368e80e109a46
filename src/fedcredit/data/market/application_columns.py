"""What a lender sees when an account is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.market.settings import Flags, Floats
from fedcredit.data.market.simulate import Market
from fedcredit.data.market.streams import generator

INCOME_CUTS = (2000.0, 3500.0, 5000.0, 7000.0, 10_000.0, 15_000.0, 25_000.0)
Columns = dict[str, NDArray[Any]]
Rows = NDArray[np.integer]
_SEEN_ENQUIRIES, _STRAY_ENQUIRIES = 0.85, 0.3
_SEEN_LENDERS, _STRAY_LENDERS = 0.45, 0.3


def application_columns(market: Market) -> Columns:
    """Return what was written down at application, for every account.

    Incomes are as stated: noisy, and raised by those less willing to repay. Gaps speak: income and job
    tenure are missing more often where they would look poor.

    Args:
        market: the market.

    Returns:
        Numbers with NaN for a gap, and codes of categories, each ``[accounts]``.
    """
    people, accounts = market.borrowers, market.accounts
    who = accounts.borrower
    draw = generator(seed=market.settings.seed, entity="columns.application")
    count = accounts.num_accounts
    stated = people.income[who] * np.exp(0.2 * draw.standard_normal(count) - 0.06 * people.willingness[who])
    band = np.searchsorted(INCOME_CUTS, stated, side="right").astype(np.float64)
    gig, student = people.job[who] == 1, people.job[who] == 3
    silent = draw.random(count) < 1.0 / (1.0 + np.exp(2.4 + 0.6 * people.ability[who] - 0.7 * gig))
    no_tenure = draw.random(count) < 0.04 + 0.35 * gig + 0.4 * student
    verified = (draw.random(count) < np.where(people.job[who] == 0, 0.7, 0.25)) & ~silent
    collected = {group: _collected(market, group) for group in ("income", "verified", "tenure", "device")}
    first = _first_plans(market)
    return {
        "age": people.age[who] + accounts.opened // 12,
        "region": people.region[who],
        "city_tier": people.city_tier[who],
        "job_type": people.job[who],
        "income_band": np.where(collected["income"] & ~silent, band, np.nan),
        "income_verified": np.where(collected["verified"], verified, np.nan),
        "job_tenure_months": np.where(collected["tenure"] & ~no_tenure, people.job_tenure_months[who], np.nan),
        "scenario": accounts.scenario,
        "first_tenor_months": first["tenor"],
        "first_amount": first["amount"],
        "fee_rate": first["fee_rate"],
        "limit_amount": accounts.limit,
        "device_age_months": np.where(collected["device"], people.device_age_months[who], np.nan),
        "devices_12m": np.where(collected["device"], people.devices_12m[who], np.nan),
        "delivery_match": np.where(collected["device"], people.delivery_matches[who], np.nan),
        "address_count_12m": people.addresses_12m[who],
        "address_match": people.address_matches[who],
    }


def _first_plans(market: Market) -> Columns:
    """Return tenor, amount and fee of each account's first plan; zero where there was no room for one."""
    plans = market.history.plans
    first = plans.month == market.accounts.opened[plans.account]
    columns = {name: np.zeros(market.accounts.num_accounts) for name in ("tenor", "amount", "fee_rate")}
    for name, values in columns.items():
        values[plans.account[first]] = np.round(getattr(plans, name)[first].astype(np.float64), 5)
    return columns


def _collected(market: Market, group: str) -> Flags:
    """Say for each account whether its lender collects a group of columns."""
    return np.array([group in lender.collects for lender in market.settings.lenders])[market.accounts.lender]


def collected_by_lender(market: Market, group: str, rows: Rows, values: NDArray[Any]) -> NDArray[np.float64]:
    """Blank what the lender does not collect.

    Args:
        market: the market.
        group: the group of columns.
        rows: the accounts, ``[rows]``.
        values: what it would be, ``[rows]``.

    Returns:
        Numbers, NaN where the lender does not collect them, ``[rows]``.
    """
    return np.where(_collected(market, group)[rows], values, np.nan)


def network_columns(market: Market, rows: Rows, months: NDArray[np.integer], *, entity: str) -> Columns:
    """Return what ties a borrower to others: shared devices, contacts, and what a bureau tells.

    A bureau is noisy: it misses enquiries and lenders, and counts some that are none.

    Args:
        market: the market.
        rows: the accounts, ``[rows]``.
        months: as of which month, ``[rows]``.
        entity: names the draw of the bureau's noise.

    Returns:
        Columns, each ``[rows]``.
    """
    draw = generator(seed=market.settings.seed, entity=entity)
    enquiries = _enquiries(market, rows, months)
    others = num_others(market, rows, months)
    return {
        "accounts_per_device": collected_by_lender(market, "device", rows, _sharing(market)[rows]),
        "contact_degree": collected_by_lender(
            market, "contacts", rows, market.contacts.degree[market.accounts.borrower[rows]]
        ),
        "contact_overlap": collected_by_lender(market, "contacts", rows, _overlap(market)[rows]),
        "enquiries_3m": draw.binomial(enquiries, _SEEN_ENQUIRIES) + draw.poisson(_STRAY_ENQUIRIES, len(rows)),
        "other_lenders": draw.binomial(others, _SEEN_LENDERS) + draw.poisson(_STRAY_LENDERS, len(rows)),
    }


def num_others(market: Market, rows: Rows, months: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count the other lenders where the borrowers have an account by a month; nobody sees this.

    Args:
        market: the market.
        rows: the accounts, ``[rows]``.
        months: as of which month, ``[rows]``.

    Returns:
        Counts, ``[rows]``.
    """
    accounts = market.accounts
    keys = np.sort(accounts.borrower.astype(np.int64) * 256 + accounts.opened)
    borrower = accounts.borrower[rows].astype(np.int64) * 256
    return np.searchsorted(keys, borrower + months, side="right") - np.searchsorted(keys, borrower, side="left") - 1


def _enquiries(market: Market, rows: Rows, months: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count the borrowers' applications anywhere in the last three months."""
    asked = market.applications
    keys = np.sort(asked.borrower.astype(np.int64) * 256 + asked.month)
    borrower = market.accounts.borrower[rows].astype(np.int64) * 256
    first = np.maximum(months.astype(np.int64) - 2, 0)
    return np.searchsorted(keys, borrower + months, side="right") - np.searchsorted(keys, borrower + first, side="left")


def _sharing(market: Market) -> NDArray[np.int64]:
    """Count, for each account, the accounts of its lender on the same device."""
    key = market.borrowers.device[market.accounts.borrower].astype(np.int64) * 256 + market.accounts.lender
    _, place, count = np.unique(key, return_inverse=True, return_counts=True)
    sharing: NDArray[np.int64] = count[place]
    return sharing


def _overlap(market: Market) -> Floats:
    return _by_lender(market, {place: _customers(market, place) for place in range(len(market.settings.lenders))})


def _customers(market: Market, place: int) -> Flags:
    customer = np.zeros(market.borrowers.num_borrowers, dtype=np.bool_)
    customer[market.accounts.borrower[market.accounts.lender == place]] = True
    return customer


def _by_lender(market: Market, marked: Mapping[int, Flags]) -> Floats:
    """Return, for each account, the share of the borrower's contacts that its lender marks."""
    share = np.zeros(market.accounts.num_accounts, dtype=np.float32)
    for place, flags in marked.items():
        own = market.accounts.lender == place
        if "contacts" in market.settings.lenders[place].collects:
            share[own] = market.contacts.share(flags)[market.accounts.borrower[own]]
    return share


def overdue_contacts(market: Market, month: int, *, months: int = 6) -> Floats:
    """Return which share of a borrower's contacts was overdue at the same lender of late.

    Args:
        market: the market.
        month: as of which month.
        months: how far back, that month included.

    Returns:
        Shares, ``[accounts]``.
    """
    late = (market.history.panel.bucket[max(0, month - months + 1) : month + 1] > 0).any(axis=0)
    marked = {}
    for place in range(len(market.settings.lenders)):
        flags = np.zeros(market.borrowers.num_borrowers, dtype=np.bool_)
        flags[market.accounts.borrower[late & (market.accounts.lender == place)]] = True
        marked[place] = flags
    return _by_lender(market, marked)
