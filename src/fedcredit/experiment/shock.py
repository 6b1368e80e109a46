"""What a named shock does to a market's defaults: the same market with it and without it."""

from __future__ import annotations

from fedcredit.data.market.flows import FIRST_AFTER, LAST_AFTER
from fedcredit.data.market.portfolio import seen_market
from fedcredit.experiment.market_records import ShockRecord
from fedcredit.experiment.spec import Experiment, MarketPortfolio


def shock_of(experiment: Experiment) -> ShockRecord | None:
    """Count what a shock does to defaults; everything but the macro factor is drawn the same without it.

    Args:
        experiment: the experiment.

    Returns:
        The counts, ``None`` where there is no shock.
    """
    market = experiment.portfolio
    if not isinstance(market, MarketPortfolio) or market.shock == "none":
        return None
    calm = market.model_copy(update={"shock": "none", "forbearance": False})
    return ShockRecord(
        shock=market.shock,
        shock_month=market.shock_month,
        forbearance=market.forbearance,
        first_after=FIRST_AFTER,
        last_after=LAST_AFTER,
        with_shock=dict(seen_market(market).default_flow),
        without=dict(seen_market(calm).default_flow),
    )
