"""A run on a small simulated market: against its truth, out of time, and through a shock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedcredit.config import compose
from fedcredit.data import kept
from fedcredit.data.market import portfolio
from fedcredit.data.market.cached import Seen
from fedcredit.errors import InputError
from fedcredit.experiment import truth
from fedcredit.experiment.by_group import group_table
from fedcredit.experiment.market_records import ALL, ORACLE, OWN_ORACLE, RUN
from fedcredit.experiment.market_tables import beyond_tables
from fedcredit.experiment.record import RunRecord, record_from_json, record_to_json
from fedcredit.experiment.report import run_report
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment, MarketPortfolio

SMALL = (
    "portfolio.num_borrowers=2500", "partition.min_loans=1", "training.num_rounds=4", "evaluation.every=4",
    "evaluation.references=[alone,pooled_trees,joined_trees,pooled_network,joined_network,oracle]",
    "privacy.target_delta=1e-4",
)  # fmt: skip
LATER = (
    "split=out_of_time", "portfolio.num_months=57", "portfolio.snapshot_months=[17,30,44]", "split.train=[17,17]",
    "split.test={before:[30,30],after:[44,44]}", "portfolio.shock=pandemic", "portfolio.shock_month=43",
)  # fmt: skip


def experiment(folder: Path, *overrides: str) -> Experiment:
    return compose(None, [*SMALL, f"results_dir={folder}", *overrides])


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return run(experiment(tmp_path_factory.mktemp("run")), progress=False, report=False)


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return run(experiment(tmp_path_factory.mktemp("later"), *LATER), progress=False, report=False)


def test_the_oracle_finds_all_there_is_and_nobody_finds_more(record: RunRecord) -> None:
    assert record.truth is not None
    oracle = record.truth.models[ORACLE][ALL]
    assert (oracle.auc_share, oracle.log_loss_share, oracle.regret) == (1.0, 1.0, 0.0)
    assert oracle.mean_pd_over_true == 1.0
    assert oracle.slope == pytest.approx(1.0)
    for model, groups in record.truth.models.items():
        found = groups[ALL]
        assert found.regret is not None
        assert found.auc is not None
        assert oracle.auc is not None
        assert found.regret >= 0.0, model
        assert found.auc <= oracle.auc, model
    assert set(record.truth.kinds.values()) == {"bank", "bnpl", "consumer_finance"}
    assert record.references["oracle"].evaluation.overall.num_loans == record.evaluation.overall.num_loans


def test_the_true_pd_with_own_intercepts_ranks_as_the_truth_and_misses_its_level_by_the_luck_of_the_seen_loans(
    record: RunRecord,
) -> None:
    assert record.truth is not None
    moved, oracle = record.truth.models[OWN_ORACLE], record.truth.models[ORACLE]
    for lender in record.truth.kinds:
        assert moved[lender].auc == pytest.approx(oracle[lender].auc)
        assert moved[lender].slope == pytest.approx(1.0)
        assert (moved[lender].mean_pd_over_true != 1.0) >= (record.training_defaults[lender] > 0)


def test_a_record_with_its_truth_reads_back(record: RunRecord, later: RunRecord) -> None:
    for written in (record, later):
        assert record_from_json(record_to_json(written)) == written


def test_the_report_says_what_is_true_and_what_other_lenders_know(record: RunRecord) -> None:
    page = run_report(record)
    assert "Against the true PD" in page
    assert "balances at other lenders would add" in page
    titles = [table.title for table in beyond_tables(record)]
    assert titles == ["Against the true PD", "Lenders against the true PD"]


def test_windows_part_the_test_loans_and_the_shock_is_shown(later: RunRecord) -> None:
    assert list(later.windows) == ["before", "after"]
    loans = [window.evaluation.overall.num_loans for window in later.windows.values()]
    assert sum(loans) == later.evaluation.overall.num_loans
    assert all(0.3 < window.known_share < 1.0 for window in later.windows.values())
    shock = later.shock
    assert shock is not None
    assert shock.with_shock["bnpl"] > 1.5 * shock.without["bnpl"]
    assert shock.true_pd_month == 44
    for kind, low, high in (("bank", 1.0, 1.4), ("bnpl", 1.8, 3.0), ("consumer_finance", 1.8, 3.0)):
        assert low < shock.true_pd_with[kind] / shock.true_pd_without[kind] < high, kind
    assert "true PD, times" in beyond_tables(later)[-1].headings
    titles = [table.title for table in beyond_tables(later)]
    assert titles[2:] == ["Out of time", "The shock: pandemic, from month 43"]


def test_runs_stand_side_by_side_by_kind_and_by_lender(record: RunRecord) -> None:
    again = replace(record, experiment={**record.experiment, "seed": 2})
    table = group_table([record, again], "kind")
    assert [row[0] for row in table.rows] == ["bank", "bnpl", "consumer_finance", ALL]
    assert all("±" in row[3] for row in table.rows)
    assert len(group_table([record], "lender").rows) == 10
    with pytest.raises(InputError, match="needs runs on the simulated market"):
        group_table([replace(record, truth=None)], "kind")


@pytest.fixture
def lied_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn the truth around where it is read, and forget what earlier runs computed."""
    kept._tables.clear()
    seen_market = portfolio.seen_market

    def false(market: MarketPortfolio, **kept: object) -> Seen:
        seen = seen_market(market)
        turned = replace(seen.truth, pd=seen.truth.pd[::-1].copy(), hazard=seen.truth.hazard[:, ::-1].copy())
        return replace(seen, truth=turned)

    monkeypatch.setattr(portfolio, "seen_market", false)
    return


@pytest.mark.usefixtures("lied_to")
def test_the_truth_never_enters_training(tmp_path: Path, record: RunRecord) -> None:
    """Another truth moves the figures against it, and not one prediction of a trained model."""
    told = run(experiment(tmp_path), progress=False, report=False)
    assert told.fingerprint == record.fingerprint
    assert told.evaluation == record.evaluation
    assert told.references["alone"] == record.references["alone"]
    assert told.references["oracle"] != record.references["oracle"]
    assert told.truth is not None
    assert record.truth is not None
    assert told.truth.models[RUN][ALL] != record.truth.models[RUN][ALL]


@pytest.mark.parametrize("reference", ["oracle", "joined_network", "joined_trees"])
def test_the_truth_of_a_real_table_is_refused_by_name(reference: str) -> None:
    with pytest.raises(InputError, match=f"asks for {reference}, and only the simulated market"):
        compose("taiwan/loan_level", [f"evaluation.references=[{reference}]"])


def test_the_true_pd_lies_in_the_order_of_the_test_loans(tmp_path: Path) -> None:
    from fedcredit.experiment.prepare import prepare

    prepared = prepare(experiment(tmp_path))
    for lender in prepared.institutions:
        own = truth.true_pd(prepared)[lender.name]
        bad = lender.test.default == 1
        assert own.shape == bad.shape
        if bad.sum() >= 5:
            assert np.mean(own[bad]) > np.mean(own[~bad])
