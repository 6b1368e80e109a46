"""The market as a portfolio of an experiment."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

from fedcredit.data.kept import MOST_LOANS
from fedcredit.data.market import cached
from fedcredit.data.market.cached import Seen
from fedcredit.data.market.flows import default_flow
from fedcredit.data.market.labels import HORIZONS, labelled
from fedcredit.data.market.lenders import default_lenders
from fedcredit.data.market.panel import Progress
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.simulate import simulate
from fedcredit.data.market.snapshots import (
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
    return portfolio_from_table(
        seen_market(portfolio, progress=progress).table, market_schema(portfolio.view, portfolio.label)
    )


def market_truth(portfolio: spec.MarketPortfolio) -> Truth:
    """Return what is true of each row of ``market_portfolio``, for evaluation only.

    Args:
        portfolio: the experiment's portfolio.

    Returns:
        The truth, in the order of the portfolio's rows.
    """
    return seen_market(portfolio).truth


def market_schema(view: spec.MarketView, label: spec.MarketLabel = "default_12m") -> Schema:
    """Return the public schema of a view of the market.

    Args:
        view: ``"application"`` or ``"behaviour"``.
        label: what the column ``default`` says.

    Returns:
        Its schema, which is part of the package.
    """
    with resources.as_file(resources.files("fedcredit.data.market") / "schemas" / f"{view}.yaml") as path:
        schema = read_schema(path)
    if label not in HORIZONS:
        return schema
    return replace(schema, default=replace(schema.default, horizon=HORIZONS[label]))


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
        num_months=portfolio.num_months,
        shock=portfolio.shock,
        shock_month=portfolio.shock_month,
        forbearance=portfolio.forbearance,
        lenders=default_lenders(
            num_banks=portfolio.num_banks,
            num_bnpl=portfolio.num_bnpl,
            num_consumer_finance=portfolio.num_consumer_finance,
        ),
    )


def seen_market(portfolio: spec.MarketPortfolio, *, progress: Progress | None = None) -> Seen:
    """Return a market as an experiment sees it: from the user's cache, or simulated and kept there.

    Args:
        portfolio: the experiment's portfolio.
        progress: told the stage, the months done and the months there are, while it is simulated.

    Returns:
        The view's table, its truth, and what flowed into default.

    Raises:
        InputError: if the settings do not fit together.
    """
    found = cached.load(portfolio)
    if found is not None:
        return found
    with cached.alone(portfolio):
        found = cached.load(portfolio)
        if found is None:
            found = _simulated(portfolio, progress)
            if found.table.num_rows <= MOST_LOANS:
                cached.store(portfolio, found)
    return found


def _simulated(portfolio: spec.MarketPortfolio, progress: Progress | None) -> Seen:
    settings = market_settings(portfolio)
    market = simulate(settings, progress=progress)
    if portfolio.view == "application":
        snapshot = application_snapshot(market)
    else:
        snapshot = joined([behavioural_snapshot(market, month) for month in portfolio.snapshot_months])
    snapshot = labelled(market, snapshot, portfolio.label)
    kinds = dict.fromkeys(lender.kind for lender in settings.lenders)
    return Seen(
        table=snapshot_table(market, snapshot),
        truth=snapshot.truth,
        default_flow={kind: default_flow(market, kind, settings.shock_month) for kind in kinds},
    )
