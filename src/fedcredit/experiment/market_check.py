"""The twelve bands of a market, the last of which needs a private training run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from fedcredit.credit.discrimination import auc
from fedcredit.data.contract import draw_up
from fedcredit.data.institution import Institution, build_institutions
from fedcredit.data.market import bands, history_bands
from fedcredit.data.market.figures import TITLES, Figure
from fedcredit.data.market.panel import Progress
from fedcredit.data.market.portfolio import market_schema
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.simulate import Market, simulate
from fedcredit.data.market.snapshots import behavioural_snapshot, snapshot_table
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.tables import data_checksum
from fedcredit.experiment.fingerprint import fingerprint
from fedcredit.experiment.prepare import Prepared, initial_network, open_ledgers
from fedcredit.experiment.references import run_reference
from fedcredit.experiment.spec import (
    Experiment,
    LocalEpochs,
    MarketPortfolio,
    NaturalPartition,
    Network,
    Privacy,
    Sgd,
    Strategy,
    Training,
)
from fedcredit.model.network import network_from_spec
from fedcredit.privacy.plan import plan_privacy

EPSILON, ROWS_PER_CLIENT = 1.0, 5000
_PRIOR_BAD_RATE = 0.022
_REPETITIONS = 4
_TEXTBOOK = Training(
    num_rounds=15,
    local=LocalEpochs(num_epochs=1, expected_batch=512),
    optimiser=Sgd(learning_rate=0.35, momentum=0.9),
)


def measure(settings: MarketSettings, *, progress: Progress | None = None) -> list[Figure]:
    """Measure all twelve bands of a market.

    Bands 1 to 9, 11 and 12 are of the market as set, band 10 compares the market without a shock and with a
    pandemic.

    Args:
        settings: the market's settings.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        The figures, by band.
    """
    stages = list(_stages(settings))
    figures: list[Figure] = []
    for done, stage in enumerate(stages, start=1):
        figures += stage()
        if progress is not None:
            progress("bands", done, len(stages))
    return sorted(figures, key=lambda figure: figure.band)


def _stages(settings: MarketSettings) -> Iterator[Callable[[], list[Figure]]]:
    market = simulate(settings)
    seen = bands.views(market)
    by_view = (
        bands.models_reach, bands.models_differ, bands.information, bands.lenders_differ, bands.pooling,
        bands.vertical, bands.calibration,
    )  # fmt: skip
    for of_view in by_view:
        yield lambda of_view=of_view: of_view(seen)  # type: ignore[misc]
    yield lambda: history_bands.rolls(market) + history_bands.vintages(market)
    yield lambda: [privacy_cost(market)]
    yield lambda: history_bands.shocked(
        market if settings.shock == "none" else simulate(replace(settings, shock="none", forbearance=False)),
        simulate(replace(settings, shock="pandemic")),
    )


def print_bands(figures: Sequence[Figure], console: Console) -> None:
    """Print bands with value, range and verdict.

    Args:
        figures: the figures.
        console: where to print.
    """
    table = Table(title="Bands of the simulated market", title_justify="left")
    for name in ("band", "", "value", "range", ""):
        table.add_column(name, justify="right" if name in ("band", "value") else "left")
    for figure in figures:
        verdict = "pass" if figure.passes else "too small a market" if np.isnan(figure.value) else "FAIL"
        table.add_row(str(figure.band), f"{TITLES[figure.band]}: {figure.name}", *_numbers(figure), verdict)
    console.print(table)
    passed = [band for band in TITLES if all(figure.passes for figure in figures if figure.band == band)]
    console.print(f"{len(passed)} of {len(TITLES)} bands pass")


def _numbers(figure: Figure) -> tuple[str, str]:
    low, high = (f"{limit:.4g}" for limit in (figure.low, figure.high))
    if np.isinf(figure.low):
        limits = f"at most {high}"
    elif np.isinf(figure.high):
        limits = f"at least {low}"
    else:
        limits = f"{low} to {high}"
    return ("-" if np.isnan(figure.value) else f"{figure.value:.4g}"), limits


def privacy_cost(market: Market) -> Figure:
    """Measure band 12: the AUC that central DP-SGD loses at epsilon 1 and at most 5,000 rows per client.

    The recipe is the textbook one that the band was measured with on real tables: 15 epochs in batches of
    512 rows, clipping norm 1; the figure is a mean over seeds. Every private step goes through ledgers, which are
    thrown away with the figure.

    Args:
        market: the market.

    Returns:
        The figure.
    """
    snapshot = behavioural_snapshot(market, bands.SNAPSHOT_MONTH)
    loans = portfolio_from_table(snapshot_table(market, snapshot), market_schema("behaviour"))
    open_run, private = (_prepared(market, loans, target_epsilon=target) for target in (float("inf"), EPSILON))
    lost = [
        _central_auc(_reseeded(open_run, number)) - _central_auc(_reseeded(private, number))
        for number in range(_REPETITIONS)
    ]
    return Figure(band=12, name="AUC that epsilon 1 costs centrally", value=float(np.mean(lost)), low=0.01, high=0.03)


def _reseeded(prepared: Prepared, number: int) -> Prepared:
    """Start from other weights, with other batches and other noise."""
    experiment = prepared.experiment.model_copy(update={"seed": prepared.experiment.seed + 1000 * number})
    return replace(prepared, experiment=experiment, initial=initial_network(experiment, prepared.network))


def _central_auc(prepared: Prepared) -> float:
    with tempfile.TemporaryDirectory(prefix="fedcredit-check-") as folder:
        ledgers = open_ledgers(prepared, folder=Path(folder))
        try:
            found = run_reference("pooled", prepared, ledgers=ledgers)
        finally:
            for ledger in ledgers.values():
                ledger.close()
    default = np.concatenate([institution.test.default for institution in prepared.institutions])
    area = auc(np.concatenate([found.pd[institution.name] for institution in prepared.institutions]), default)
    return float("nan") if area is None else area


def _prepared(market: Market, loans: Portfolio, *, target_epsilon: float) -> Prepared:
    experiment = Experiment(
        name="market/check",
        seed=market.settings.seed % 2**31,
        portfolio=MarketPortfolio(),
        partition=NaturalPartition(column="lender", min_loans=1),
        network=Network(prior_bad_rate=_PRIOR_BAD_RATE),
        training=_TEXTBOOK,
        strategy=Strategy(server_optimiser=Sgd(), averaging_decay=0.0),
        privacy=Privacy(target_epsilon=target_epsilon, clipping_norm=1.0),
    )
    institutions = tuple(_trimmed(institution) for institution in build_institutions(experiment, loans))
    contracts = draw_up(
        {institution.name: institution.train.num_loans for institution in institutions},
        local=experiment.training.local,
        weights="by_size",
    )
    network = network_from_spec(experiment.network, institutions[0].train.features.shape[1])
    return Prepared(
        experiment=experiment,
        fingerprint=fingerprint(experiment, data_checksum=data_checksum(loans)),
        data_checksum=data_checksum(loans),
        portfolio=loans,
        institutions=institutions,
        contracts=contracts,
        plan=plan_privacy(experiment.privacy, contracts, num_rounds=experiment.training.num_rounds, progress=None),
        network=network,
        initial=initial_network(experiment, network),
    )


def _trimmed(institution: Institution) -> Institution:
    """Keep evenly spaced training loans, so that old and young accounts stay in proportion."""
    train = institution.train
    kept = np.linspace(0, train.num_loans - 1, min(train.num_loans, ROWS_PER_CLIENT)).astype(np.int64)
    return replace(
        institution,
        train=replace(train, features=train.features[kept], default=train.default[kept], rows=train.rows[kept]),
    )
