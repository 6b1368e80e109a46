"""What a named shock does to a market's defaults: the same market with it and without it."""

from __future__ import annotations

import numpy as np

from fedcredit.data.market.cached import Seen
from fedcredit.data.market.flows import FIRST_AFTER, LAST_AFTER
from fedcredit.data.market.portfolio import seen_market
from fedcredit.experiment.market_records import ShockRecord
from fedcredit.experiment.spec import Experiment, MarketPortfolio


def shock_of(experiment: Experiment) -> ShockRecord | None:
    """Count what a shock does to defaults; everything but the macro factor is drawn the same without it.

    Args:
        experiment: the experiment.

    Returns:
        The counts and, where a month in the shock is looked at, mean true PDs; ``None`` where there is no shock.
    """
    market = experiment.portfolio
    if not isinstance(market, MarketPortfolio) or market.shock == "none":
        return None
    struck, calm = seen_market(market), seen_market(market.model_copy(update={"shock": "none", "forbearance": False}))
    later = [month for month in market.snapshot_months if month >= market.shock_month]
    looked_at = min(later) if later and market.view == "behaviour" else None
    return ShockRecord(
        shock=market.shock,
        shock_month=market.shock_month,
        forbearance=market.forbearance,
        first_after=FIRST_AFTER,
        last_after=LAST_AFTER,
        with_shock=dict(struck.default_flow),
        without=dict(calm.default_flow),
        true_pd_month=looked_at,
        true_pd_with={} if looked_at is None else mean_true_pd(struck, looked_at),
        true_pd_without={} if looked_at is None else mean_true_pd(calm, looked_at),
    )


def mean_true_pd(seen: Seen, month: int) -> dict[str, float]:
    """Average the true PD of the accounts of one month.

    Args:
        seen: a market by behaviour.
        month: one of its snapshot months.

    Returns:
        Means by kind of lender; a kind without accounts is left out.
    """
    rows = seen.table.column("snapshot_month").to_numpy() == month
    kinds = np.asarray(seen.table.column("lender_kind").to_pylist())[rows]
    pd = seen.truth.pd[rows].astype(np.float64)
    return {kind: float(pd[kinds == kind].mean()) for kind in seen.default_flow if np.any(kinds == kind)}
