"""The bands that a market's books must hit: rolls between buckets, vintages, and what a pandemic does."""

from __future__ import annotations

import numpy as np

from fedcredit.data.market.band_models import auc, design, trees
from fedcredit.data.market.band_statistics import joint_standard_errors, stability_index
from fedcredit.data.market.figures import INFINITE, Figure
from fedcredit.data.market.flows import default_flow
from fedcredit.data.market.lenders import KINDS
from fedcredit.data.market.plans import NEVER
from fedcredit.data.market.risk import CURRENT, DEFAULTED, M1, ROLLS
from fedcredit.data.market.simulate import Market
from fedcredit.data.market.snapshots import behavioural_snapshot


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
