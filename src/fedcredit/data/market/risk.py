"""Risk: the monthly chance to miss a payment, and what follows from it for the true PD.

An account that owes something misses its payment with a hazard ``c``; once overdue it moves between
buckets by one fixed matrix. So the probability of default over any horizon is a product of small
matrices, and is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.market.accounts import HEAVY_USE, Accounts
from fedcredit.data.market.borrowers import MEDIAN_INCOME, Borrowers
from fedcredit.data.market.lenders import SCENARIO_SHIFTS, TENORS
from fedcredit.data.market.macro import stressed
from fedcredit.data.market.rings import FIRST_PAYMENT_DEFAULT
from fedcredit.data.market.settings import WINDOW_MONTHS, Bytes, Flags, Floats, MarketSettings

CURRENT, M1, M2, M3, DEFAULTED = range(5)
BUCKETS = ("C", "M1", "M2", "M3", "D")
# Rows M1, M2, M3; columns C, M1, M2, M3, D.
ROLLS = np.array(
    [
        [0.72, 0.08, 0.20, 0.00, 0.00],
        [0.22, 0.08, 0.10, 0.60, 0.00],
        [0.08, 0.03, 0.04, 0.07, 0.78],
    ]
)
CO_DEBT, MOST_CO_DEBT, HEAVY_USE_FACTOR = 0.25, 4, 1.5
GIG_LOADING = 1.5
_SEASONING, _SEASONING_MONTHS = 0.9, 4.0
_NEW_DEVICE_MONTHS, _FIRST_ORDER_MONTHS, _NEW_DEVICE_SHIFT = 2.0, 3, 0.6
_WEIGHTS = {"willingness": 0.85, "ability": 0.40, "frailty": 0.55}
_CALIBRATION_ACCOUNTS, _BISECTIONS = 8000, 40


@dataclass(frozen=True, kw_only=True)
class Risk:
    """What the hazard of each account is made of, each ``[accounts]``.

    ``index`` is its fixed log-odds, ``loading`` its macro loading, ``co_debt`` the log-odds of each further
    lender, ``new_device`` whether the first orders come from a new device, ``fraud`` whether it is a ring's.
    """

    index: Floats
    loading: Floats
    co_debt: Floats
    new_device: Flags
    fraud: Flags

    def take(self, rows: NDArray[np.integer] | slice) -> Risk:
        """Return the risk of some accounts.

        Args:
            rows: their places.

        Returns:
            The risk, in the order of ``rows``.
        """
        return Risk(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def hazard(self, *, months_on_book: NDArray[np.integer], others: NDArray[np.integer], factor: float) -> Floats:
        """Return the chance to miss the payment of a month, given that one is due and none is overdue.

        Args:
            months_on_book: since opening, ``[accounts]``.
            others: how many other lenders the borrower has, ``[accounts]``.
            factor: the macro factor of the month.

        Returns:
            Hazards, ``[accounts]``.
        """
        season = np.float32(_SEASONING) * np.exp(-np.maximum(months_on_book - 1, 0) / np.float32(_SEASONING_MONTHS))
        odds = self.index + season.astype(np.float32) + self.co_debt * np.minimum(others, MOST_CO_DEBT)
        odds += np.float32(_NEW_DEVICE_SHIFT) * (self.new_device & (months_on_book <= _FIRST_ORDER_MONTHS))
        conditional = stressed(expit(odds), self.loading, factor)
        return np.where(self.fraud, np.float32(FIRST_PAYMENT_DEFAULT), conditional)


def assess(settings: MarketSettings, borrowers: Borrowers, accounts: Accounts) -> Risk:
    """Work out the risk of every account, lender by lender on target.

    The intercept of each lender is set so that its accepted accounts, rings apart, have the lender's
    target as mean probability of default within 12 months of opening in ordinary times.

    Args:
        settings: the market's settings.
        borrowers: the borrowers.
        accounts: the accounts.

    Returns:
        The risk.
    """
    who = accounts.borrower
    tilts = np.array([lender.tilts for lender in settings.lenders], dtype=np.float32)[accounts.lender].T
    parts = _parts(borrowers, accounts)
    index = sum(tilt * part for tilt, part in zip(tilts, parts, strict=True))
    index = index + np.float32(_WEIGHTS["frailty"]) * accounts.frailty
    heavy = np.where(accounts.use > HEAVY_USE, HEAVY_USE_FACTOR, 1.0)
    loading = np.array([lender.macro_loading for lender in settings.lenders], dtype=np.float32)[accounts.lender]
    loading = loading * borrowers.sensitivity[who] * np.where(borrowers.job[who] == 1, GIG_LOADING, 1.0)
    risk = Risk(
        index=index.astype(np.float32),
        loading=np.minimum(loading, 0.5).astype(np.float32),
        co_debt=(CO_DEBT * tilts[2] * heavy).astype(np.float32),
        new_device=borrowers.device_age_months[who] < _NEW_DEVICE_MONTHS,
        fraud=accounts.ring >= 0,
    )
    for place, lender in enumerate(settings.lenders):
        own = np.flatnonzero(accounts.lender == place)
        honest = own[accounts.ring[own] < 0][:_CALIBRATION_ACCOUNTS]
        if len(honest):
            risk.index[own] += _intercept(risk.take(honest), accounts, honest, settings, lender.target_pd)
    return risk


def _parts(borrowers: Borrowers, accounts: Accounts) -> list[Floats]:
    """Return the log-odds by group of risk: repayment, utilisation, co-debt, income, device, scenario."""
    who = accounts.borrower
    age = borrowers.age[who].astype(np.float32)
    income = -0.45 * np.tanh(np.log(borrowers.income[who] / MEDIAN_INCOME) / 0.7)
    income += np.array([0.0, 0.40, 0.15, 0.25], dtype=np.float32)[borrowers.job[who]]
    income += -0.20 * np.log1p(borrowers.job_tenure_months[who] / 6.0) + 0.05 * (borrowers.city_tier[who] - 3)
    income += 0.35 * ((age - 37.0) / 12.0) ** 2 - _WEIGHTS["ability"] * borrowers.ability[who]
    device = 0.9 * np.exp(-borrowers.device_age_months[who] / 5.0) + 0.25 * np.minimum(
        borrowers.devices_12m[who] - 1, 3
    )
    device += 0.20 * np.minimum(borrowers.addresses_12m[who] - 1, 3)
    device += 0.35 * ~borrowers.address_matches[who] + 0.30 * ~borrowers.delivery_matches[who]
    tenors = np.log(np.array(TENORS, dtype=np.float32) / 9.0) ** 2
    scenario = np.array(SCENARIO_SHIFTS, dtype=np.float32)[accounts.scenario] + 0.20 * tenors[accounts.tenor]
    use = 0.55 * np.log1p(6.0 * accounts.use) - 0.25 * accounts.discipline
    repayment = -_WEIGHTS["willingness"] * borrowers.willingness[who]
    none = np.zeros(len(who), dtype=np.float32)
    return [repayment, use, none, income, device, scenario]


def _intercept(
    risk: Risk, accounts: Accounts, rows: NDArray[np.integer], settings: MarketSettings, target: float
) -> np.float32:
    """Bisect the shift of the log-odds at which the mean PD of fresh accounts is on target."""
    cover = coverage(
        remaining_months=np.array(TENORS)[accounts.tenor[rows]],
        purchase_rate=accounts.purchase_rate[rows],
        mix=np.array([lender.tenors for lender in settings.lenders])[accounts.lender[rows]],
    )
    fresh, calm = np.zeros(len(rows), dtype=np.int8), np.zeros(WINDOW_MONTHS)
    base, low, high = risk.index, -15.0, 10.0
    for _ in range(_BISECTIONS):
        middle = np.float32((low + high) / 2)
        moved = Risk(**(risk.__dict__ | {"index": base + middle}))
        path = default_path(
            moved, bucket=fresh, months_on_book=fresh, others=accounts.earlier[rows], cover=cover, factors=calm
        )
        low, high = (float(middle), high) if path[-1].mean() < target else (low, float(middle))
    return np.float32((low + high) / 2)


def coverage(*, remaining_months: NDArray[np.integer], purchase_rate: Floats, mix: NDArray[np.float64]) -> Floats:
    """Return the chance that an account in order owes something in each month of the window.

    A month is covered by what is already bought, or by a purchase in between whose tenor reaches it.

    Args:
        remaining_months: until the last instalment of today's plans, ``[accounts]``.
        purchase_rate: chance of a purchase in a month, ``[accounts]``.
        mix: shares of the tenors, ``[accounts, tenors]``.

    Returns:
        Chances, ``[window, accounts]``.
    """
    cover = np.empty((WINDOW_MONTHS, len(purchase_rate)), dtype=np.float32)
    none_bought = np.ones(len(purchase_rate), dtype=np.float32)
    for ahead in range(1, WINDOW_MONTHS + 1):
        cover[ahead - 1] = np.where(remaining_months >= ahead, 1.0, 1.0 - none_bought)
        reaches = (mix * (np.array(TENORS) >= ahead)).sum(axis=1)
        none_bought *= (1.0 - purchase_rate * reaches).astype(np.float32)
    return cover


def default_path(
    risk: Risk,
    *,
    bucket: Bytes,
    months_on_book: NDArray[np.integer],
    others: NDArray[np.integer],
    cover: Floats,
    factors: NDArray[np.float64],
) -> Floats:
    """Return the probability of having reached 90 days past due by the end of each month ahead.

    Args:
        risk: the accounts' risk.
        bucket: where they stand today, ``[accounts]``.
        months_on_book: today, ``[accounts]``.
        others: other lenders of the borrower today, ``[accounts]``.
        cover: the chance that something is owed, ``[months ahead, accounts]``.
        factors: the macro factor of each month ahead, ``[months ahead]``.

    Returns:
        Cumulative probabilities, ``[months ahead, accounts]``.
    """
    share = [(bucket == state).astype(np.float32) for state in range(4)]
    defaulted = (bucket == DEFAULTED).astype(np.float32)
    rolls = np.where(risk.fraud, _fraud_rolls()[..., None], ROLLS[..., None]).astype(np.float32)
    path = np.empty((len(factors), len(bucket)), dtype=np.float32)
    for ahead, factor in enumerate(factors):
        missed = risk.hazard(months_on_book=months_on_book + ahead + 1, others=others, factor=float(factor))
        missed = missed * cover[ahead] * share[CURRENT]
        arrears = [sum(rolls[row, state] * share[row + 1] for row in range(3)) for state in range(5)]
        share = [share[CURRENT] - missed + arrears[0], missed + arrears[1], arrears[2], arrears[3]]
        defaulted = defaulted + arrears[DEFAULTED]
        path[ahead] = defaulted
    return path


def _fraud_rolls() -> NDArray[np.float64]:
    return np.eye(5)[[M2, M3, DEFAULTED]]


def hazard_path(cumulative: Floats) -> Floats:
    """Return the chance to reach 90 days past due in each month ahead, given none before.

    Args:
        cumulative: ``default_path``, ``[months ahead, accounts]``.

    Returns:
        Hazards, ``[months ahead, accounts]``.
    """
    before = np.vstack([np.zeros_like(cumulative[:1]), cumulative[:-1]])
    alive = np.maximum(1.0 - before, np.float32(1e-9))
    return np.where(before < 1.0, (cumulative - before) / alive, 0.0).astype(np.float32)
