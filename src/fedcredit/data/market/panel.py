"""The monthly panel: what every account owed, paid and became."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.market.accounts import Accounts
from fedcredit.data.market.borrowers import Borrowers
from fedcredit.data.market.losses import Losses, draw_losses
from fedcredit.data.market.macro import shock_path
from fedcredit.data.market.plans import NEVER, Plans, buy, joined
from fedcredit.data.market.risk import CURRENT, DEFAULTED, M1, ROLLS, Risk
from fedcredit.data.market.settings import Bytes, Flags, Floats, Ints, MarketSettings
from fedcredit.data.market.streams import generator

Progress = Callable[[str, int, int], None]

NOT_OPEN = np.int8(-1)
NO_REASON, ABILITY, WILLINGNESS = range(3)
NOTHING_DUE = np.uint8(255)
HOLIDAY_SHARE, HOLIDAY_MONTHS, _HOLIDAY_BELOW = 0.5, 3, -1.0
_HORIZON = 32


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Arrays over months and accounts, each ``[months, accounts]``; amounts are CNY.

    ``balance`` is all that is still to be paid, fees included, at the end of the month; ``due`` the month's
    instalments, ``paid`` what came in, recoveries after default included; ``bought`` the principal of the
    month's purchase. ``bucket`` is C, M1, M2, M3 or D as 0 to 4, -1 before opening. ``on_time`` is the
    percentage of what was due that came by the due date, 255 where nothing was due. ``reason`` is why an
    account is overdue: its borrower cannot (1) or will not (2) pay. ``remaining`` counts the months to the
    last instalment.
    """

    bucket: Bytes
    balance: Floats
    due: Floats
    paid: Floats
    bought: Floats
    on_time: NDArray[np.uint8]
    orders: Bytes
    reason: Bytes
    holiday: Flags
    remaining: Bytes

    @property
    def num_months(self) -> int:
        """How many months there are."""
        return len(self.bucket)


@dataclass(frozen=True, kw_only=True)
class History:
    """The panel, the plans behind it, and when and how accounts defaulted."""

    panel: Panel
    plans: Plans
    default_month: Bytes
    losses: Losses


@dataclass(kw_only=True)
class _Books:
    """What the lenders' books hold between two months; written in place."""

    schedule: Floats
    balance: Floats
    arrears: Floats
    bucket: Bytes
    reason: Bytes
    matures: Bytes
    lenders_of: Bytes
    overdue_of: Bytes
    default_month: Bytes
    losses: Losses


def relief(settings: MarketSettings) -> NDArray[np.float64]:
    """Return the factor on missed payments in each month: below one while payment holidays are granted.

    Args:
        settings: the market's settings.

    Returns:
        Factors, ``[months]``.
    """
    granted = settings.forbearance & (shock_path(settings) <= _HOLIDAY_BELOW)
    return np.where(granted, 1.0 - HOLIDAY_SHARE, 1.0)


def run_panel(
    settings: MarketSettings,
    borrowers: Borrowers,
    accounts: Accounts,
    risk: Risk,
    factors: NDArray[np.float64],
    *,
    progress: Progress | None = None,
) -> History:
    """Run the months of a market.

    Args:
        settings: the market's settings.
        borrowers: the borrowers.
        accounts: the accounts, sorted by opening month.
        risk: their risk.
        factors: the macro factor, ``[months]``.
        progress: told the stage, the months done and the months there are.

    Returns:
        The history.
    """
    panel, books = _empty(settings, accounts)
    opened = np.searchsorted(accounts.opened, np.arange(settings.num_months), side="right")
    holidays = relief(settings) < 1.0
    parts = []
    for month in range(settings.num_months):
        rows = slice(0, int(opened[month]))
        newcomers = np.arange(opened[month - 1] if month else 0, opened[month], dtype=np.int32)
        books.bucket[newcomers] = CURRENT
        np.add.at(books.lenders_of, accounts.borrower[newcomers], 1)
        draw = generator(seed=settings.seed, entity="panel", month=month)
        factor = float(factors[month])
        _pay(panel, books, borrowers, accounts, risk, rows, month, factor, draw, bool(holidays[month]))
        parts.append(_purchases(settings, panel, books, accounts, rows, month, newcomers, draw))
        panel.orders[month, rows] = _orders(draw, borrowers.activity[accounts.borrower[rows]], factor)
        panel.balance[month, rows] = books.balance[rows]
        panel.bucket[month, rows] = books.bucket[rows]
        panel.reason[month, rows] = books.reason[rows]
        panel.remaining[month, rows] = np.maximum(books.matures[rows] - month, 0)
        if progress is not None:
            progress("months", month + 1, settings.num_months)
    return History(panel=panel, plans=joined(parts), default_month=books.default_month, losses=books.losses)


def _empty(settings: MarketSettings, accounts: Accounts) -> tuple[Panel, _Books]:
    shape, count = (settings.num_months, accounts.num_accounts), accounts.num_accounts
    amounts: dict[str, Any] = {name: np.zeros(shape, dtype=np.float32) for name in ("balance", "due", "paid", "bought")}
    small: dict[str, Any] = {name: np.zeros(shape, dtype=np.int8) for name in ("orders", "reason", "remaining")}
    panel = Panel(
        bucket=np.full(shape, NOT_OPEN),
        on_time=np.full(shape, NOTHING_DUE),
        holiday=np.zeros(shape, dtype=np.bool_),
        **amounts,
        **small,
    )
    books = _Books(
        schedule=np.zeros((_HORIZON, count), dtype=np.float32),
        balance=np.zeros(count, dtype=np.float32),
        arrears=np.zeros(count, dtype=np.float32),
        bucket=np.full(count, NOT_OPEN),
        reason=np.zeros(count, dtype=np.int8),
        matures=np.zeros(count, dtype=np.int8),
        lenders_of=np.zeros(int(accounts.borrower.max()) + 1, dtype=np.int8),
        overdue_of=np.zeros(int(accounts.borrower.max()) + 1, dtype=np.int8),
        default_month=np.full(count, NEVER),
        losses=draw_losses(settings, accounts),
    )
    return panel, books


def _pay(
    panel: Panel,
    books: _Books,
    borrowers: Borrowers,
    accounts: Accounts,
    risk: Risk,
    rows: slice,
    month: int,
    factor: float,
    draw: np.random.Generator,
    holidays: bool,
) -> None:
    """Let the month's instalments fall due, be paid or be missed."""
    who = accounts.borrower[rows]
    before = books.bucket[rows].copy()
    slot = month % _HORIZON
    due = np.where(before == DEFAULTED, np.float32(0.0), books.schedule[slot, rows])
    books.schedule[slot] = 0.0
    age = month - accounts.opened[rows].astype(np.int16)
    others = books.lenders_of[who] - np.int8(1)
    distressed = books.overdue_of[who] > 0
    hazard = risk.take(rows).hazard(months_on_book=age, others=others, factor=factor, distressed=distressed) * (due > 0)
    uniform = draw.random(len(who), np.float32)
    if holidays:
        _grant(panel, books, rows, month, due, before, spared=uniform < hazard, draw=draw)
        hazard = hazard * (due > 0)
    after = _roll(before, hazard, uniform, risk.fraud[rows])
    strength = 0.64 * borrowers.willingness[who] + 0.24 * borrowers.ability[who]
    strength -= np.float32(0.40 * max(-factor, 0.0)) * np.sqrt(np.minimum(risk.loading[rows] / np.float32(0.05), 4.0))
    strength += np.float32(1.05) + np.float32(1.1) * draw.standard_normal(len(who), np.float32)
    _explain(books, borrowers, rows, who, before, after, factor, draw)
    paid, on_time = _payments(books, rows, before, after, due, np.clip(strength, 0.0, 1.0))
    books.balance[rows] -= paid
    fresh = np.flatnonzero((after == DEFAULTED) & (before != DEFAULTED))
    books.default_month[fresh] = month
    books.losses.strike(fresh, books.balance[fresh], books.reason[fresh], month)
    recovered = np.minimum(books.losses.recovered(rows, month), books.balance[rows])
    books.balance[rows] -= recovered
    paid += recovered
    books.bucket[rows] = after
    overdue = np.flatnonzero(after > CURRENT)
    books.overdue_of = np.bincount(who[overdue], minlength=len(books.overdue_of)).astype(np.int8)
    panel.due[month, rows], panel.paid[month, rows] = due, paid
    panel.on_time[month, rows] = np.where((due > 0) | (before > CURRENT), np.rint(100.0 * on_time), NOTHING_DUE)


def _grant(
    panel: Panel,
    books: _Books,
    rows: slice,
    month: int,
    due: Floats,
    before: Bytes,
    *,
    spared: Flags,
    draw: np.random.Generator,
) -> None:
    """Grant payment holidays to some of those who would miss: the instalment moves three months."""
    lucky = spared & (before == CURRENT) & (draw.random(len(due), np.float32) < HOLIDAY_SHARE)
    panel.holiday[month, rows] = lucky
    place = np.flatnonzero(lucky)
    books.schedule[(month + HOLIDAY_MONTHS) % _HORIZON, place] += due[place]
    books.matures[place] = np.maximum(books.matures[place], month + HOLIDAY_MONTHS)
    due[place] = 0.0


def _roll(before: Bytes, hazard: Floats, uniform: Floats, fraud: Flags) -> Bytes:
    """Move every account to its next bucket."""
    steps = np.cumsum(ROLLS, axis=1)[:, :-1].astype(np.float32)
    after = np.where(uniform < hazard, np.int8(M1), np.int8(CURRENT))
    for state, step in enumerate(steps, start=1):
        rows = np.flatnonzero(before == state)
        moved = np.searchsorted(step, uniform[rows], side="right").astype(np.int8)
        after[rows] = np.where(fraud[rows], state + 1, moved)
    after[before == DEFAULTED] = DEFAULTED
    return after


def _explain(
    books: _Books,
    borrowers: Borrowers,
    rows: slice,
    who: Ints,
    before: Bytes,
    after: Bytes,
    factor: float,
    draw: np.random.Generator,
) -> None:
    """Give those who fall overdue their reason: the weaker of the two traits, and the times."""
    fresh = np.flatnonzero((before == CURRENT) & (after == M1))
    gap = borrowers.willingness[who[fresh]] - borrowers.ability[who[fresh]]
    chance = 1.0 / (1.0 + np.exp(-1.5 * gap + 0.8 * borrowers.sensitivity[who[fresh]] * factor))
    cannot = draw.random(len(fresh), np.float32) < chance
    books.reason[fresh] = np.where(cannot, ABILITY, WILLINGNESS)
    books.reason[rows][after == CURRENT] = NO_REASON


def _payments(
    books: _Books, rows: slice, before: Bytes, after: Bytes, due: Floats, strength: Floats
) -> tuple[Floats, Floats]:
    """Work out what came in and which share of what was due came in time; arrears are kept up to date.

    Back to C pays all; a better or equal bucket pays what is due, and half the arrears if better; a worse
    one pays nothing, or a part of what is due if its borrower would but cannot.
    """
    arrears = books.arrears[rows]
    worse = after > before
    partial = np.where(worse & (books.reason[rows] == ABILITY), 0.5 * due * strength, 0.0).astype(np.float32)
    better = (after < before) & (after > CURRENT)
    paid = np.select([after == CURRENT, worse, better], [due + arrears, partial, due + 0.5 * arrears], due)
    paid = np.where(before == DEFAULTED, 0.0, paid).astype(np.float32)
    paid = np.minimum(paid, books.balance[rows])
    books.arrears[rows] = np.where(after == CURRENT, 0.0, np.maximum(arrears + due - paid, 0.0))
    share = np.where(worse, np.where(books.reason[rows] == ABILITY, 0.5 * strength, 0.0), strength)
    return paid, np.where(before == DEFAULTED, 0.0, share).astype(np.float32)


def _purchases(
    settings: MarketSettings,
    panel: Panel,
    books: _Books,
    accounts: Accounts,
    rows: slice,
    month: int,
    newcomers: Ints,
    draw: np.random.Generator,
) -> Plans:
    buys = draw.random(rows.stop, np.float32) < accounts.purchase_rate[rows]
    buys &= books.bucket[rows] == CURRENT
    buys[newcomers] = True
    buyers = np.flatnonzero(buys).astype(np.int32)
    first = accounts.opened[buyers] == month
    plans = buy(settings, accounts, month=month, buyers=buyers, balance=books.balance[buyers], first=first)
    for tenor in np.unique(plans.tenor):
        chosen = plans.tenor == tenor
        account, instalment = plans.account[chosen], plans.instalment[chosen]
        for ahead in range(1, int(tenor) + 1):
            books.schedule[(month + ahead) % _HORIZON, account] += instalment
        books.matures[account] = np.maximum(books.matures[account], month + tenor)
    books.balance[plans.account] += plans.instalment * plans.tenor
    panel.bought[month, plans.account] = plans.amount
    return plans


def _orders(draw: np.random.Generator, activity: Floats, factor: float) -> Bytes:
    """Draw the orders of a month, paid in whatever way; bad times have fewer."""
    rate = np.exp(np.float32(0.4 + 0.15 * min(factor, 0.0)) + np.float32(0.6) * activity)
    orders: Bytes = np.minimum(draw.poisson(rate), 120).astype(np.int8)
    return orders
