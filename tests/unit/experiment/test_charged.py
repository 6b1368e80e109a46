from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedcredit.config import compose
from fedcredit.credit.evaluation import FederationEvaluation
from fedcredit.data.quantiles import count_values, ranged_features, sensitivity
from fedcredit.errors import InputError
from fedcredit.experiment import charged_ranges
from fedcredit.experiment.audit_claims import charged_claims
from fedcredit.experiment.charged_plan import charged_noise, training_releases
from fedcredit.experiment.charged_wording import charged_tables
from fedcredit.experiment.epsilon_by_round import spending_of
from fedcredit.experiment.epsilon_over_runs import runs_beside, table_of
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.fingerprint import meaning
from fedcredit.experiment.ledger_files import ledger_files, verify_ledgers
from fedcredit.experiment.prepare import prepare
from fedcredit.experiment.record import RunRecord, read_record
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.wording import epsilon_of, statement_of
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.ledger import LedgerContent, read_ledger
from fedcredit.privacy.accounting.releases import (
    ENCODING_RANGES,
    OWN_INTERCEPT,
    RECALIBRATION,
    TEST_HISTOGRAM,
    VALIDATION_HISTOGRAM,
)

SMALL = (
    "portfolio=german",
    "partition=iid",
    "partition.num_institutions=3",
    "privacy.target_delta=1e-4",
    "privacy.target_epsilon=4",
    "training.num_rounds=6",
    "training.local.sampling_probability=1.0",
    "trainer=vectorised",
    "evaluation.every=3",
    "evaluation.references=[]",
)
ALL = (
    "evaluation.own_intercept=charged",
    "evaluation.charged.score_histogram.loans=test",
    "evaluation.charged.recalibration.num_bins=8",
)

pytestmark = pytest.mark.usefixtures("credit_data")


def _experiment(*overrides: str, folder: Path = Path("results")) -> Experiment:
    return compose(None, [*SMALL, f"results_dir={folder}", *overrides])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, RunRecord, Path]:
    experiment = _experiment(*ALL, folder=tmp_path_factory.mktemp("charged"))
    record = run(experiment, progress=False, report=False)
    return experiment, record, run_folder(experiment, record.fingerprint).path


def test_held_out_releases_share_the_target_and_what_reads_training_loans_is_composed_with_them() -> None:
    noise = charged_noise(_experiment(*ALL, "evaluation.charged.score_histogram.loans=validation"))
    assert set(noise) == {OWN_INTERCEPT, RECALIBRATION, VALIDATION_HISTOGRAM}
    events = [GaussianSteps(sampling_probability=1.0, noise_multiplier=m, num_steps=1) for m in noise.values()]
    assert 3.99 < epsilon(events, delta=1e-4).value <= 4.0


def test_asking_for_nothing_leaves_the_name_of_a_run_alone() -> None:
    plain = _experiment()
    assert "charged" not in str(meaning(plain)["evaluation"])
    assert "encoding" not in meaning(plain)
    assert "encoding" in meaning(_experiment("encoding.ranges=charged_quantiles"))
    assert _experiment("evaluation.own_intercept=inside") == plain
    assert charged_noise(plain) == {}
    assert training_releases(plain) == ()


def test_noise_that_is_neither_given_nor_promised_is_refused() -> None:
    given = ("privacy.target_epsilon=null", "privacy.noise_multiplier=2")
    with pytest.raises(InputError, match="noise_multiplier"):
        charged_noise(_experiment(*ALL, *given))
    noise = charged_noise(_experiment(*given, "evaluation.charged.score_histogram.noise_multiplier=3"))
    assert noise == {TEST_HISTOGRAM: 3.0}


def test_releases_that_leave_nothing_for_the_training_are_refused() -> None:
    cheap = _experiment("evaluation.own_intercept=charged", "evaluation.charged.own_intercept.noise_multiplier=.1")
    with pytest.raises(InputError, match="nothing is left"):
        run(cheap, progress=False, report=False)


@pytest.mark.parametrize("release", [*ALL, "encoding.ranges=charged_quantiles"])
@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("privacy=borrower_level", "privacy.privacy_unit is borrower"),
        ("privacy=institution_level", "privacy.privacy_unit is institution"),
        ("privacy=secure_sum strategy.quorum=1", "privacy.trust is secure_sum"),
        ("mode=deployed", "mode is deployed"),
    ],
)
def test_a_charged_release_without_a_sound_price_is_refused_by_name(typed: str, named: str, release: str) -> None:
    with pytest.raises(InputError, match=named):
        _experiment(*typed.split(), release)


@pytest.mark.parametrize("release", ALL)
def test_releases_of_loans_after_training_need_other_borrowers(release: str) -> None:
    late = ("split=out_of_time", "split.train=[6,8]", "split.test={later:[20,23]}")
    with pytest.raises(InputError, match=r"split\.borrowers is shared"):
        _experiment(*late, release)
    _experiment(*late, release, "split.borrowers=apart")
    _experiment(*late, "encoding.ranges=charged_quantiles")


def test_the_smallest_budget_sets_the_noise_of_all_lenders() -> None:
    budgets = "privacy.budgets={lender_01: 1}"
    asked = [*ALL, "evaluation.charged.score_histogram.loans=validation"]
    strict, free = charged_noise(_experiment(*asked, budgets)), charged_noise(_experiment(*asked))
    assert all(strict[name] > free[name] for name in free)
    assert strict == charged_noise(_experiment(*asked, "privacy.target_epsilon=1"))
    prepared = prepare(_experiment(*asked, budgets))
    for name, target in (("lender_01", 1.0), ("lender_02", 4.0)):
        events = [prepared.plan.events[name], *training_releases(prepared.experiment)]
        assert 0.999 * target < epsilon(events, delta=1e-4).value <= target


def test_an_interrupted_run_with_charged_releases_ends_in_the_same_bits(tmp_path: Path) -> None:
    experiment = _experiment(*ALL, "encoding.ranges=charged_quantiles", folder=tmp_path)
    record = run(experiment, progress=False, report=False)
    folder = run_folder(experiment, record.fingerprint).path
    ledgers = {path.name: path.read_bytes() for path in (folder / "ledger").iterdir()}
    (folder / "record.json").unlink()
    again = run(experiment, progress=False, report=False)
    assert again.charged == record.charged
    assert again.statement == record.statement
    assert {path.name: path.read_bytes() for path in (folder / "ledger").iterdir()} == ledgers


def test_every_charged_release_is_in_the_ledger_and_the_promise_holds(
    ran: tuple[Experiment, RunRecord, Path],
) -> None:
    experiment, record, folder = ran
    noise = charged_noise(experiment)
    for path in (folder / "ledger").iterdir():
        content = read_ledger(path)
        for name, multiplier in noise.items():
            assert content.events(name) == (
                GaussianSteps(sampling_probability=1.0, noise_multiplier=multiplier, num_steps=1),
            )
    assert 3.98 < epsilon_of(record) <= 4.0
    statement = statement_of(record)
    assert statement is not None
    assert "noisy score histogram of each lender's test loans" in statement.covers
    assert any("pays for the dearest" in line or "no borrower key" in line for line in record.statement_lines)
    assert all(file.institution for file in ledger_files(folder))
    assert all(verdict.line is None for verdict in verify_ledgers(ledger_files(folder)))


def test_the_record_comes_back_and_its_tables_are_drawn(ran: tuple[Experiment, RunRecord, Path]) -> None:
    _, record, folder = ran
    assert read_record(folder) == record
    assert record.charged is not None
    assert record.charged.shifts is not None
    assert set(record.charged.shifts) == {contract.institution for contract in record.contracts}
    titles = [table.title for table in charged_tables(record)]
    assert len(titles) == 2
    page = (folder / "privacy.md").read_text()
    assert "noisy level" in page
    assert "own intercept and the counts" not in page
    json.dumps(record.statement)


def _ratios(found: FederationEvaluation | None) -> np.ndarray:
    assert found is not None
    return np.array([part.mean_pd_over_bad_rate for part in found.institutions.values()], dtype=float)


def test_without_privacy_the_charged_path_is_the_exact_one(tmp_path: Path) -> None:
    bins = "evaluation.charged.score_histogram.num_bins=500"
    exact = _experiment(*ALL, bins, "privacy.target_epsilon=inf", folder=tmp_path)
    inside = _experiment("privacy.target_epsilon=inf", folder=tmp_path)
    charged, kept = (run(arm, progress=False, report=False) for arm in (exact, inside))
    assert _ratios(charged.own_intercept) == pytest.approx(_ratios(kept.own_intercept), rel=0.02)
    assert charged.charged is not None
    assert charged.charged.figures is not None
    area = charged.charged.figures.overall.auc
    assert area is not None
    assert area.value == pytest.approx(charged.evaluation.overall.auc, abs=0.02)


def test_charged_ranges_are_in_every_ledger_before_the_first_round_and_in_the_encoding(tmp_path: Path) -> None:
    experiment = _experiment("encoding.ranges=charged_quantiles", folder=tmp_path)
    own, ranged = prepare(_experiment()), prepare(experiment)
    assert prepare(experiment).portfolio.schema == ranged.portfolio.schema
    assert ranged.portfolio.schema.features != own.portfolio.schema.features
    assert ranged.data_checksum == own.data_checksum
    record = run(experiment, progress=False, report=False)
    for path in (run_folder(experiment, record.fingerprint).path / "ledger").iterdir():
        entries = read_ledger(path).entries
        assert [entry.kind for entry in entries[:2]] == ["intent", "commit"]
        assert {entry.release.name for entry in entries[:2]} == {ENCODING_RANGES}
    assert 3.98 < epsilon_of(record) <= 4.0
    statement = statement_of(record)
    assert statement is not None
    assert "the ranges from them" in statement.covers
    assert not any(line.startswith("by the part of") for line in record.statement_lines)


def _crash_at(call: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """End the process, as far as a test can, where training loans are read for the n-th time to find ranges."""
    read: list[int] = []

    def dies(*arguments: object, **named: object) -> np.ndarray:
        read.append(len(read) + 1)
        if read[-1] == call:
            raise KeyboardInterrupt
        return count_values(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(charged_ranges, "count_values", dies)
    return read


def _ledgers(results: Path) -> dict[str, LedgerContent]:
    return {path.name: read_ledger(path) for path in results.rglob("ledger/*.jsonl")}


@pytest.mark.parametrize("call", [1, 3])
def test_a_crash_while_loans_are_read_for_ranges_is_charged_to_every_lender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    experiment = _experiment("encoding.ranges=charged_quantiles", folder=tmp_path)
    price = GaussianSteps(
        sampling_probability=1.0, noise_multiplier=charged_noise(experiment)[ENCODING_RANGES], num_steps=1
    )
    with monkeypatch.context() as patch:
        read = _crash_at(call, patch)
        with pytest.raises(KeyboardInterrupt):
            run(experiment, progress=False, report=False)
        assert len(read) == call
    crashed = _ledgers(tmp_path)
    assert len(crashed) == 3
    for content in crashed.values():
        assert [entry.kind for entry in content.entries] == ["intent"]
        assert content.events(ENCODING_RANGES) == (price,)
    record = run(experiment, progress=False, report=False)
    for content in _ledgers(tmp_path).values():
        assert content.events(ENCODING_RANGES) == (price,)
        assert [entry.kind for entry in content.entries[:2]] == ["intent", "commit"]
    elsewhere = tmp_path / "elsewhere"
    whole = run(_experiment("encoding.ranges=charged_quantiles", folder=elsewhere), progress=False, report=False)
    assert whole.statement == record.statement
    assert whole.ledger_heads == record.ledger_heads


def test_an_epsilon_that_is_told_as_rounds_go_by_has_the_ranges_in_it(tmp_path: Path) -> None:
    experiment = _experiment("encoding.ranges=charged_quantiles", "encoding.noise_multiplier=1.2", folder=tmp_path)
    record = run(experiment, progress=False, report=False)
    stated = epsilon_of(record)
    ranges = GaussianSteps(sampling_probability=1.0, noise_multiplier=1.2, num_steps=1)
    told = [float(str(item["epsilon_spent"])) for item in record.rounds if item["epsilon_spent"] is not None]
    assert len(told) == 2
    assert epsilon([ranges], delta=1e-4).value < told[0] < told[1]
    assert told[1] >= stated
    drawn = spending_of(record, run_folder(experiment, record.fingerprint).path)
    assert drawn is not None
    assert drawn.rounds == tuple(range(1, 7))
    assert drawn.by_lenders[1][-1] == told[1]
    assert drawn.by_lenders[1][2] == told[0]


def test_ranges_of_a_run_that_died_before_its_first_round_count_beside_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = _experiment("encoding.ranges=charged_quantiles", folder=tmp_path)
    with monkeypatch.context() as patch:
        _crash_at(3, patch)
        with pytest.raises(KeyboardInterrupt):
            run(experiment, progress=False, report=False)
    table = table_of(experiment.model_dump(mode="json"))
    (spent,) = runs_beside(table, [], [tmp_path / "adhoc"])
    price = GaussianSteps(
        sampling_probability=1.0, noise_multiplier=charged_noise(experiment)[ENCODING_RANGES], num_steps=1
    )
    assert [*spent.lenders.values()] == [(price,)] * 3
    (folder,) = (path.parent for path in tmp_path.rglob("ledger"))
    assert {file.target_delta for file in ledger_files(folder)} == {1e-4}


def test_a_run_that_is_refused_reads_no_loan_for_its_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = _crash_at(1, monkeypatch)
    with pytest.raises(InputError, match="target_delta"):
        run(_experiment("encoding.ranges=charged_quantiles", "privacy.target_delta=0.1", folder=tmp_path))
    assert not read
    assert not list(tmp_path.iterdir())


def test_one_loan_moves_the_counts_of_values_by_the_sensitivity() -> None:
    portfolio = prepare(_experiment()).portfolio
    features = ranged_features(portfolio.schema)
    rows = np.arange(40)
    for left_out in (0, 17, 39):
        moved = count_values(portfolio, rows, features, num_bins=32) - count_values(
            portfolio, np.delete(rows, left_out), features, num_bins=32
        )
        assert np.linalg.norm(moved) == pytest.approx(sensitivity(len(features)))


def test_a_feature_without_a_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"encoding\.features: nothing"):
        prepare(_experiment("encoding.features=[nothing]"))


def test_an_audit_of_a_charged_run_uses_the_noise_that_the_run_had(ran: tuple[Experiment, RunRecord, Path]) -> None:
    _, record, folder = ran
    (claim,) = charged_claims(record, folder)
    assert {claim.settings.noise_multiplier} == set(record.noise_multiplier.values())
