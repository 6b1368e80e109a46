"""The bands a market must hit, so that what is found in it carries over to real portfolios.

Each band is a range that real credit tables, public reports or the literature give. Here are those that models
measure; ``history_bands`` has those of the books, and ``fedcredit.experiment.market_check`` the twelfth, what
DP-SGD costs, which needs a private training run.
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
    single_auc,
    stability_index,
)
from fedcredit.data.market.figures import INFINITE, Figure
from fedcredit.data.market.simulate import Market
from fedcredit.data.market.snapshots import Snapshot, application_snapshot, behavioural_snapshot

SNAPSHOT_MONTH = 17
SMALL_CLIENT, LARGE_CLIENT = 2500, 50_000
_SPLITS = 4


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
    spread = float(max(rates) / min(rates)) if min(rates) > 0 else INFINITE
    return [
        Figure(band=5, name="highest bad rate over lowest", value=spread, low=1.5, high=6.0),
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
