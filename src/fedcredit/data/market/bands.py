"""The bands a market must hit, so that what is found in it carries over to real portfolios.

Each band is a range that real credit tables, public reports or the literature give; ``figures_*``
measure them on a market, band by band. The twelfth, what DP-SGD costs, needs a training run and is measured by
``fedcredit.experiment.market_check``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from fedcredit.data.market.band_models import (
    TRAIN_SHARE,
    Design,
    auc,
    binned_logistic,
    design,
    place_of,
    raw_logistic,
    small_network,
    trees,
)
from fedcredit.data.market.band_statistics import (
    information_value,
    joint_standard_errors,
    single_auc,
    stability_index,
)
from fedcredit.data.market.lenders import KINDS
from fedcredit.data.market.plans import NEVER
from fedcredit.data.market.risk import CURRENT, DEFAULTED, M1, ROLLS
from fedcredit.data.market.simulate import Market
from fedcredit.data.market.snapshots import Snapshot, application_snapshot, behavioural_snapshot

TITLES = {
    1: "what models reach",
    2: "how models differ",
    3: "information in columns",
    4: "no column says it all",
    5: "lenders differ",
    6: "what pooling is worth",
    7: "what other lenders know",
    8: "rolls between buckets",
    9: "vintages",
    10: "a pandemic",
    11: "the true PD is true",
    12: "what privacy costs",
}
SNAPSHOT_MONTH = 17
SMALL_CLIENT, LARGE_CLIENT = 2500, 50_000
INFINITE = float("inf")
_SPLITS = 4


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure of a band and its range; NaN says that the market is too small for it."""

    band: int
    name: str
    value: float
    low: float
    high: float

    @property
    def passes(self) -> bool:
        """Whether the value is in its range."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True, kw_only=True)
class Views:
    """A market as models see it: at application, and by behaviour at one month."""

    market: Market
    application: Snapshot
    behaviour: Snapshot
    at_application: Design
    by_behaviour: Design
    trees_at_application: NDArray[np.float64]
    trees_by_behaviour: NDArray[np.float64]


def views(market: Market, *, month: int = SNAPSHOT_MONTH) -> Views:
    """Take both snapshots of a market and boost trees on each.

    Args:
        market: the market.
        month: the month of the behavioural snapshot.

    Returns:
        The views, with scores of the trees for the test rows of each.
    """
    application, behaviour = application_snapshot(market), behavioural_snapshot(market, month)
    first, second = design(market, application), design(market, behaviour)
    return Views(
        market=market,
        application=application,
        behaviour=behaviour,
        at_application=first,
        by_behaviour=second,
        trees_at_application=_fitted(trees, first),
        trees_by_behaviour=_fitted(trees, second),
    )


def _fitted(fit: Callable[..., Callable[..., NDArray[np.float64]]], data: Design) -> NDArray[np.float64]:
    return fit(data.rows[data.train], data.default[data.train], data.is_category)(data.rows[data.test])


def models_reach(seen: Views) -> list[Figure]:
    """Measure band 1: the AUC of boosted trees, and what the truth would add.

    Args:
        seen: the views of a market.

    Returns:
        Three figures.
    """
    first, second = seen.at_application, seen.by_behaviour
    application = auc(first.default[first.test], seen.trees_at_application)
    behaviour = auc(second.default[second.test], seen.trees_by_behaviour)
    gaps = [
        auc(first.default[first.test], seen.application.truth.pd[first.test]) - application,
        auc(second.default[second.test], seen.behaviour.truth.pd[second.test]) - behaviour,
    ]
    return [
        Figure(band=1, name="AUC of trees at application", value=application, low=0.68, high=0.74),
        Figure(band=1, name="AUC of trees by behaviour", value=behaviour, low=0.78, high=0.86),
        Figure(band=1, name="smaller gap to the true PD", value=min(gaps), low=0.02, high=INFINITE),
    ]


def models_differ(seen: Views) -> list[Figure]:
    """Measure band 2: how far other models are from trees, by behaviour.

    Args:
        seen: the views of a market.

    Returns:
        Three figures.
    """
    data = seen.by_behaviour
    best = auc(data.default[data.test], seen.trees_by_behaviour)
    gap = {fit: best - auc(data.default[data.test], _fitted(fit, data)) for fit in (raw_logistic, binned_logistic)}
    network = best - auc(data.default[data.test], _fitted(small_network, data))
    return [
        Figure(band=2, name="trees less raw logistic", value=gap[raw_logistic], low=0.0, high=0.06),
        Figure(band=2, name="trees less binned logistic", value=gap[binned_logistic], low=-0.015, high=0.015),
        Figure(band=2, name="trees less network", value=network, low=-0.01, high=0.01),
    ]


def information(seen: Views) -> list[Figure]:
    """Measure bands 3 and 4: how much the columns tell, each by itself.

    Args:
        seen: the views of a market.

    Returns:
        Six figures.
    """
    pairs = ((seen.at_application, seen.application.lender), (seen.by_behaviour, seen.behaviour.lender))
    told = [_values(data, lender, information_value) for data, lender in pairs]
    apart = [_values(data, lender, single_auc) for data, lender in pairs]
    best = float(max(area.max() for area in apart))
    return [
        Figure(band=3, name="columns with IV above .1", value=float((told[1] > 0.1).sum()), low=5, high=11),
        Figure(band=3, name="columns with IV above .3", value=float((told[1] > 0.3).sum()), low=1, high=5),
        Figure(band=3, name="largest IV by behaviour", value=float(told[1].max()), low=0.8, high=1.2),
        Figure(band=3, name="largest IV at application", value=float(told[0].max()), low=0.2, high=0.7),
        Figure(band=3, name="median AUC of a column", value=float(np.median(apart[1])), low=0.51, high=0.61),
        Figure(band=4, name="best AUC of a column", value=best, low=0.58, high=0.80),
    ]


def _values(
    data: Design, lender: NDArray[np.int8], measure: Callable[[NDArray[np.float64], NDArray[np.int8]], float]
) -> NDArray[np.float64]:
    """Measure each column over the lenders that collect it."""
    found = []
    for column in data.rows.T:
        collects = np.bincount(lender, weights=~np.isnan(column)) > 0
        kept = collects[lender]
        found.append(measure(column[kept], data.default[kept]))
    return np.array(found)


def lenders_differ(seen: Views) -> list[Figure]:
    """Measure band 5: bad rates by lender, and the stability index of each column, lender against rest.

    Columns that a lender does not collect are left out for it.

    Args:
        seen: the views of a market.

    Returns:
        Three figures.
    """
    lender, default, rows = seen.behaviour.lender, seen.behaviour.default, seen.by_behaviour.rows
    present = np.unique(lender)
    rates = [default[lender == place].mean() for place in present]
    shifts = []
    for place in present:
        own = lender == place
        for column in rows.T:
            if not np.isnan(column[own]).all():
                rest = column[~own]
                shifts.append(stability_index(rest[~np.isnan(rest)], column[own][~np.isnan(column[own])]))
    return [
        Figure(band=5, name="highest bad rate over lowest", value=max(rates) / min(rates), low=1.5, high=6.0),
        Figure(band=5, name="median PSI of a column", value=float(np.median(shifts)), low=0.005, high=0.1),
        Figure(band=5, name="largest PSI of a column", value=float(max(shifts)), low=0.25, high=INFINITE),
    ]


def pooling(seen: Views) -> list[Figure]:
    """Measure band 6: pooled less local AUC of a scorecard, for small lenders and for one large lender.

    Both are means over several splits by borrower; small lenders weigh as many defaults as they are tested on.

    Args:
        seen: the views of a market.

    Returns:
        Two figures; NaN where no lender has enough loans.
    """
    small, large = [], []
    for salt in range(_SPLITS):
        train, test = _split(seen, salt)
        parts = {place: rows[:SMALL_CLIENT] for place, rows in train.items() if len(rows) >= SMALL_CLIENT}
        if len(parts) > 1:
            small.append(_gain(seen.by_behaviour, parts, np.concatenate(list(parts.values())), test))
        largest = max(train, key=lambda place: len(train[place]))
        if len(train[largest]) >= LARGE_CLIENT:
            everyone = np.concatenate(list(train.values()))
            large.append(_gain(seen.by_behaviour, {largest: train[largest]}, everyone, test))
    few, many = (f"pooled less local, {rows}" for rows in (f"{SMALL_CLIENT:,} rows", f"{LARGE_CLIENT:,} rows or more"))
    return [
        Figure(band=6, name=few, value=float(np.mean(small)) if small else np.nan, low=0.02, high=0.04),
        Figure(band=6, name=many, value=float(np.mean(large)) if large else np.nan, low=-INFINITE, high=0.005),
    ]


Rows = dict[int, NDArray[np.int64]]


def _split(seen: Views, salt: int) -> tuple[Rows, Rows]:
    """Split the loans of each lender by borrower, those to train on in random order."""
    borrower = seen.market.accounts.borrower[seen.behaviour.account]
    order = np.argsort(place_of(borrower, salt=100 + salt), kind="stable")
    cut = int(TRAIN_SHARE * len(order))
    while cut < len(order) and borrower[order[cut]] == borrower[order[cut - 1]]:
        cut += 1
    lender = seen.behaviour.lender
    first, second = order[:cut], order[cut:]
    places = [int(place) for place in np.unique(lender)]
    return (
        {place: first[lender[first] == place] for place in places},
        {place: second[lender[second] == place] for place in places},
    )


def _gain(data: Design, parts: Rows, pool: NDArray[np.int64], test: Rows) -> float:
    """Return the AUC of the pooled scorecard less that of each lender's own, on the lender's test rows."""

    def fit(rows: NDArray[np.int64]) -> Callable[..., NDArray[np.float64]]:
        return binned_logistic(data.rows[rows], data.default[rows], data.is_category)

    together, gains, weights = fit(pool), [], []
    for place, rows in parts.items():
        default = data.default[test[place]]
        own = auc(default, fit(rows)(data.rows[test[place]]))
        gains.append(auc(default, together(data.rows[test[place]])) - own)
        weights.append(float(default.sum()))
    return float(np.average(gains, weights=weights))


def vertical(seen: Views) -> list[Figure]:
    """Measure band 7: what the other lenders' balances would add, on shared borrowers.

    Args:
        seen: the views of a market.

    Returns:
        One figure.
    """
    truth = seen.behaviour.truth
    income = np.maximum(seen.market.borrowers.income[seen.market.accounts.borrower[seen.behaviour.account]], 1.0)
    extra = {
        "elsewhere_to_income": truth.other_balance_amount / income,
        "elsewhere_lenders": truth.other_lenders,
        "elsewhere_overdue": truth.other_overdue,
    }
    wide = design(seen.market, seen.behaviour, extra=extra)
    shared = truth.other_lenders[wide.test] > 0
    default = wide.default[wide.test][shared]
    gain = auc(default, _fitted(trees, wide)[shared]) - auc(default, seen.trees_by_behaviour[shared])
    return [Figure(band=7, name="AUC that other lenders' balances add", value=gain, low=0.01, high=0.03)]


def rolls(market: Market) -> list[Figure]:
    """Measure band 8: the roll rates against the matrix they were drawn from, and the standing arrears.

    Args:
        market: the market.

    Returns:
        Four figures.
    """
    before, after = market.history.panel.bucket[:-1], market.history.panel.bucket[1:]
    honest = market.risk.fraud[None, :] == 0
    counts = np.zeros((3, 5))
    for state in range(M1, DEFAULTED):
        chosen = (before == state) & honest
        counts[state - 1] = np.bincount(after[chosen], minlength=5)
    away = joint_standard_errors(counts, ROLLS * counts.sum(axis=1, keepdims=True))
    figures = [Figure(band=8, name="rolls from the matrix, standard errors", value=away, low=-INFINITE, high=3.0)]
    ranges = {"bank": (0.005, 0.013), "bnpl": (0.013, 0.031), "consumer_finance": (0.022, 0.052)}
    kind = np.array([KINDS.index(lender.kind) for lender in market.settings.lenders])[market.accounts.lender]
    for place, name in enumerate(KINDS):
        own = market.history.panel.bucket[6:, kind == place]
        alive = ((own >= CURRENT) & (own < DEFAULTED)).sum()
        share = float((own == M1).sum() / alive) if alive else float("nan")
        figures.append(
            Figure(band=8, name=f"share in M1, {name}", value=share, low=ranges[name][0], high=ranges[name][1])
        )
    return figures


def vintages(market: Market) -> list[Figure]:
    """Measure band 9: the default hazard by month on book peaks early and then falls.

    Args:
        market: the market.

    Returns:
        Two figures: the month of the peak, and the largest later rise from quarter to quarter in standard
        errors.
    """
    span = 18
    opened = market.accounts.opened.astype(np.int64)
    followed = opened < market.settings.num_months - span
    when = market.history.default_month.astype(np.int64)
    age = np.where(when == NEVER, 999, when - opened)[followed]
    hits = np.bincount(age[age <= span], minlength=span + 1)[1:].astype(np.float64)
    at_risk = followed.sum() - np.concatenate([[0.0], np.cumsum(hits)[:-1]])
    hazard = hits / at_risk
    quarters = hits[3:].reshape(-1, 3).sum(axis=1)
    rises = np.diff(quarters) / np.sqrt(np.maximum(quarters[1:] + quarters[:-1], 1.0))
    return [
        Figure(band=9, name="month on book of the peak hazard", value=float(np.argmax(hazard) + 1), low=3, high=6),
        Figure(band=9, name="largest later rise, standard errors", value=float(rises.max()), low=-INFINITE, high=3.0),
    ]


def shocked(calm: Market, struck: Market) -> list[Figure]:
    """Measure band 10: what a pandemic does to defaults, to scores, and to a model from before it.

    Defaults are entries into 90 days past due four to six months after the shock's first month, the time it
    takes to get there, against the same months of the same market without it. Trees are trained in the
    market without a shock. The AUC they lose is that on loans scored in the shock's first two months; the PSI
    is that of their scores in its third, both against the same months of the market without it.

    Args:
        calm: a market without a shock.
        struck: the same market with a pandemic.

    Returns:
        Four figures.
    """
    month = struck.settings.shock_month
    figures = []
    for name, low, high in (("bnpl", 2.5, 3.5), ("bank", 0.0, 1.5)):
        ratio = default_flow(struck, name, month) / max(default_flow(calm, name, month), 1.0)
        figures.append(Figure(band=10, name=f"defaults times, {name}", value=ratio, low=low, high=high))
    before = design(calm, behavioural_snapshot(calm, month - 1))
    score = trees(before.rows[before.train], before.default[before.train], before.is_category)
    areas = np.zeros((2, 3))
    for ahead in range(3):
        found = []
        for place, market in enumerate((calm, struck)):
            later = design(market, behavioural_snapshot(market, month + ahead))
            found.append(score(later.rows[later.test]))
            areas[place, ahead] = auc(later.default[later.test], found[-1])
    lost = float((areas[0] - areas[1])[:2].mean())
    return [
        *figures,
        Figure(band=10, name="PSI of the score", value=stability_index(*found), low=0.1, high=INFINITE),
        Figure(band=10, name="AUC lost", value=lost, low=0.01, high=0.03),
    ]


def default_flow(market: Market, kind: str, month: int) -> float:
    """Count the entries into 90 days past due four to six months after a month, at one kind of lender.

    Args:
        market: the market.
        kind: the lenders' kind.
        month: the month.

    Returns:
        The number.
    """
    of_kind = np.array([lender.kind == kind for lender in market.settings.lenders])[market.accounts.lender]
    when = market.history.default_month
    return float((of_kind & (when >= month + 4) & (when <= month + 6)).sum())


def calibration(seen: Views) -> list[Figure]:
    """Measure band 11: the slope of the outcome on the true log-odds.

    Args:
        seen: the views of a market.

    Returns:
        Two figures: the slope, and mean true PD over bad rate.
    """
    pd = np.clip(seen.behaviour.truth.pd.astype(np.float64), 1e-7, 1.0 - 1e-7)
    odds = np.log(pd / (1.0 - pd))[:, None]
    slope = LogisticRegression(C=1e9).fit(odds, seen.behaviour.default).coef_[0, 0]
    ratio = pd.mean() / seen.behaviour.default.mean()
    return [
        Figure(band=11, name="slope on the true log-odds", value=float(slope), low=0.95, high=1.05),
        Figure(band=11, name="mean true PD over bad rate", value=float(ratio), low=0.9, high=1.1),
    ]
