"""The market as a portfolio of an experiment."""

from __future__ import annotations

from importlib import resources

from fedcredit.data.market.lenders import default_lenders
from fedcredit.data.market.panel import Progress
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.simulate import Market, simulate
from fedcredit.data.market.snapshots import (
    Snapshot,
    Truth,
    application_snapshot,
    behavioural_snapshot,
    joined,
    snapshot_table,
)
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import Schema, read_schema
from fedcredit.experiment import spec


def market_portfolio(portfolio: spec.MarketPortfolio, *, progress: Progress | None = None) -> Portfolio:
    """Simulate the market of an experiment and look at it.

    Args:
        portfolio: the experiment's portfolio.
        progress: told the stage, the months done and the months there are.

    Returns:
        The portfolio, one row per account and snapshot month.

    Raises:
        InputError: if the settings do not fit together.
    """
    market, snapshot = _seen(portfolio, progress)
    return portfolio_from_table(snapshot_table(market, snapshot), market_schema(portfolio.view))


def market_truth(portfolio: spec.MarketPortfolio) -> Truth:
    """Return what is true of each row of ``market_portfolio``, for evaluation only.

    Args:
        portfolio: the experiment's portfolio.

    Returns:
        The truth, in the order of the portfolio's rows.
    """
    return _seen(portfolio, None)[1].truth


def market_schema(view: spec.MarketView) -> Schema:
    """Return the public schema of a view of the market.

    Args:
        view: ``"application"`` or ``"behaviour"``.

    Returns:
        Its schema, which is part of the package.
    """
    with resources.as_file(resources.files("fedcredit.data.market") / "schemas" / f"{view}.yaml") as path:
        return read_schema(path)


def market_settings(portfolio: spec.MarketPortfolio) -> MarketSettings:
    """Return the inputs of the simulation behind an experiment.

    Args:
        portfolio: the experiment's portfolio.

    Returns:
        The settings.
    """
    return MarketSettings(
        num_borrowers=portfolio.num_borrowers,
        seed=portfolio.market_seed,
        shock=portfolio.shock,
        shock_month=portfolio.shock_month,
        forbearance=portfolio.forbearance,
        lenders=default_lenders(
            num_banks=portfolio.num_banks,
            num_bnpl=portfolio.num_bnpl,
            num_consumer_finance=portfolio.num_consumer_finance,
        ),
    )


def _seen(portfolio: spec.MarketPortfolio, progress: Progress | None) -> tuple[Market, Snapshot]:
    market = simulate(market_settings(portfolio), progress=progress)
    if portfolio.view == "application":
        return market, application_snapshot(market)
    return market, joined([behavioural_snapshot(market, month) for month in portfolio.snapshot_months])
