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
from scipy.stats import nbinom

from fedcredit.data.market.accounts import HEAVY_USE, Accounts
from fedcredit.data.market.borrowers import MEDIAN_INCOME, MONTHS_BETWEEN_LENDERS, Borrowers
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
GIG_LOADING = 1.3
DISTRESS, BANK_DISTRESS = 1.5, 0.4
_SEASONING, _SEASONING_MONTHS = 0.9, 4.0
_NEW_DEVICE_MONTHS, _FIRST_ORDER_MONTHS, _NEW_DEVICE_SHIFT = 2.5, 3, 1.4
_WEIGHTS = {"willingness": 0.67, "ability": 0.28, "frailty": 0.50}
_STANDING = 1.1
_CALIBRATION_ACCOUNTS, _BISECTIONS = 8000, 40


@dataclass(frozen=True, kw_only=True)
class Risk:
    """What the hazard of each account is made of, each ``[accounts]``.

    ``index`` is its fixed log-odds, ``loading`` its macro loading, ``co_debt`` the log-odds of each further
    lender, ``distress`` those of being overdue at one (less at banks, which are paid first), ``contagion`` how
    much more often than here the borrower falls overdue at each of them, ``new_device`` whether the first
    orders come from a new device, ``fraud`` whether it is a ring's.
    """

    index: Floats
    loading: Floats
    co_debt: Floats
    distress: Floats
    contagion: Floats
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

    def hazard(
        self,
        *,
        months_on_book: NDArray[np.integer],
        others: NDArray[np.integer | np.floating],
        factor: float,
        distressed: Flags | None = None,
    ) -> Floats:
        """Return the chance to miss the payment of a month, given that one is due and none is overdue.

        Args:
            months_on_book: since opening, ``[accounts]``.
            others: how many other lenders the borrower has, ``[accounts]``.
            factor: the macro factor of the month.
            distressed: whether the borrower is overdue or in default at another lender, ``[accounts]``;
                nobody is by default.

        Returns:
            Hazards, ``[accounts]``.
        """
        season = np.float32(_SEASONING) * np.exp(-np.maximum(months_on_book - 1, 0) / np.float32(_SEASONING_MONTHS))
        odds = self.index + season.astype(np.float32) + self.co_debt * np.minimum(others, MOST_CO_DEBT)
        odds += np.float32(_NEW_DEVICE_SHIFT) * (self.new_device & (months_on_book <= _FIRST_ORDER_MONTHS))
        if distressed is not None:
            odds += self.distress * distressed
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
    targets = np.array([lender.target_pd for lender in settings.lenders], dtype=np.float32)
    is_bank = np.array([lender.kind == "bank" for lender in settings.lenders])[accounts.lender]
    risk = Risk(
        index=index.astype(np.float32),
        loading=np.minimum(loading, 0.5).astype(np.float32),
        distress=np.where(is_bank, np.float32(BANK_DISTRESS), np.float32(DISTRESS)),
        contagion=(_STANDING * targets[accounts.lender].mean() / targets[accounts.lender]).astype(np.float32),
        co_debt=(CO_DEBT * tilts[2] * heavy).astype(np.float32),
        new_device=borrowers.device_age_months[who] < _NEW_DEVICE_MONTHS,
        fraud=accounts.ring >= 0,
    )
    for place, lender in enumerate(settings.lenders):
        own = np.flatnonzero(accounts.lender == place)
        honest = own[accounts.ring[own] < 0][:_CALIBRATION_ACCOUNTS]
        if len(honest):
            risk.index[own] += _intercept(risk.take(honest), borrowers, accounts, honest, settings, lender.target_pd)
    return risk


def _parts(borrowers: Borrowers, accounts: Accounts) -> list[Floats]:
    """Return the log-odds by group of risk: repayment, utilisation, co-debt, income, device, scenario."""
    who = accounts.borrower
    age = borrowers.age[who].astype(np.float32)
    income = -0.19 * np.tanh(np.log(borrowers.income[who] / MEDIAN_INCOME) / 0.7)
    income += np.array([0.0, 0.28, 0.12, 0.20], dtype=np.float32)[borrowers.job[who]]
    income += -0.08 * np.log1p(borrowers.job_tenure_months[who] / 6.0) + 0.05 * (borrowers.city_tier[who] - 3)
    income += 0.18 * ((age - 37.0) / 12.0) ** 2 - _WEIGHTS["ability"] * borrowers.ability[who]
    device = 0.28 * np.exp(-borrowers.device_age_months[who] / 5.0) + 0.20 * np.minimum(
        borrowers.devices_12m[who] - 1, 3
    )
    device += 0.18 * np.minimum(borrowers.addresses_12m[who] - 1, 3)
    device += 0.30 * ~borrowers.address_matches[who] + 0.25 * ~borrowers.delivery_matches[who]
    tenors = np.log(np.array(TENORS, dtype=np.float32) / 9.0) ** 2
    scenario = np.array(SCENARIO_SHIFTS, dtype=np.float32)[accounts.scenario] + 0.20 * tenors[accounts.tenor]
    use = 0.55 * np.log1p(6.0 * accounts.use) - 0.25 * accounts.discipline
    repayment = -_WEIGHTS["willingness"] * borrowers.willingness[who]
    none = np.zeros(len(who), dtype=np.float32)
    return [repayment, use, none, income, device, scenario]


def _intercept(
    risk: Risk,
    borrowers: Borrowers,
    accounts: Accounts,
    rows: NDArray[np.integer],
    settings: MarketSettings,
    target: float,
) -> np.float32:
    """Bisect the shift of the log-odds at which the mean PD of fresh accounts is on target."""
    cover = coverage(
        remaining_months=np.array(TENORS)[accounts.tenor[rows]],
        purchase_rate=accounts.purchase_rate[rows],
        mix=np.array([lender.tenors for lender in settings.lenders])[accounts.lender[rows]],
    )
    fresh, calm = np.zeros(len(rows), dtype=np.int8), np.zeros(WINDOW_MONTHS)
    others = others_ahead(borrowers.wanted_lenders[accounts.borrower[rows]], accounts.earlier[rows])
    base, low, high = risk.index, -15.0, 10.0
    for _ in range(_BISECTIONS):
        middle = np.float32((low + high) / 2)
        moved = Risk(**(risk.__dict__ | {"index": base + middle}))
        path = default_path(
            moved,
            bucket=fresh,
            months_on_book=fresh,
            others=others,
            distress=np.zeros_like(cover),
            cover=cover,
            factors=calm,
        )
        low, high = (float(middle), high) if path[-1].mean() < target else (low, float(middle))
    return np.float32((low + high) / 2)


def distress_ahead(elsewhere: NDArray[np.integer]) -> Floats:
    """Return the chance that today's arrears elsewhere are still there in each month of the window.

    A month's hazard looks at the end of the month before, so the first month has today's arrears for sure.

    Args:
        elsewhere: the worst bucket at another lender, C to D as 0 to 4, ``[accounts]``.

    Returns:
        Chances, ``[window, accounts]``.
    """
    rolls = np.vstack([np.eye(5)[CURRENT], ROLLS, np.eye(5)[DEFAULTED]])
    stays = np.empty((WINDOW_MONTHS, 5), dtype=np.float32)
    state = np.eye(5)
    for ahead in range(WINDOW_MONTHS):
        stays[ahead] = 1.0 - state[:, CURRENT]
        state = state @ rolls
    return stays[:, elsewhere]


def others_ahead(wanted: NDArray[np.integer], others: NDArray[np.integer]) -> Floats:
    """Return how many other lenders a borrower is expected to have in each month of the window.

    A borrower who wants more opens the next account after a geometric wait, so the k-th of them is open
    after a negative binomial one.

    Args:
        wanted: lenders wanted in all, ``[accounts]``.
        others: other lenders today, ``[accounts]``.

    Returns:
        Expected numbers, ``[window, accounts]``.
    """
    ahead, ranks = np.arange(1, WINDOW_MONTHS + 1)[:, None], np.arange(1, 8)
    opened = nbinom.cdf(ahead - ranks, ranks, 1.0 / MONTHS_BETWEEN_LENDERS)
    expected = np.hstack([np.zeros((WINDOW_MONTHS, 1)), np.cumsum(opened, axis=1)])
    left = np.clip(wanted.astype(np.int64) - others - 1, 0, 7)
    number: Floats = (others + expected[:, left]).astype(np.float32)
    return number


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
    others: Floats,
    distress: Floats,
    cover: Floats,
    factors: NDArray[np.float64],
) -> Floats:
    """Return the probability of having reached 90 days past due by the end of each month ahead.

    Args:
        risk: the accounts' risk.
        bucket: where they stand today, ``[accounts]``.
        months_on_book: today, ``[accounts]``.
        others: other lenders of the borrower to be expected, ``[months ahead, accounts]``.
        distress: the chance of being overdue elsewhere given that today's arrears there are all there will
            be, ``[months ahead, accounts]``; fresh arrears elsewhere are added here.
        cover: the chance that something is owed, ``[months ahead, accounts]``.
        factors: the macro factor of each month ahead, ``[months ahead]``.

    Returns:
        Cumulative probabilities, ``[months ahead, accounts]``.
    """
    share = [(bucket == state).astype(np.float32) for state in range(4)]
    defaulted = (bucket == DEFAULTED).astype(np.float32)
    rolls = np.where(risk.fraud, _fraud_rolls()[..., None], ROLLS[..., None]).astype(np.float32)
    lift = np.exp(risk.distress)
    path = np.empty((len(factors), len(bucket)), dtype=np.float32)
    for ahead, factor in enumerate(factors):
        calm = risk.hazard(months_on_book=months_on_book + ahead + 1, others=others[ahead], factor=float(factor))
        there = distress[ahead] + (1.0 - distress[ahead]) * np.minimum(risk.contagion * others[ahead] * calm, 1.0)
        lifted = calm * lift / (1.0 + calm * (lift - 1.0))
        missed = (calm + there * (lifted - calm)) * cover[ahead] * share[CURRENT]
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
