"""The credit review of a small federation, on a real table of 1,000 loans, and what is drawn of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fedcredit.config import compose
from fedcredit.credit.stability import population_stability
from fedcredit.errors import InputError
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.fingerprint import fingerprint
from fedcredit.experiment.looking import Cost
from fedcredit.experiment.prepare import prepare
from fedcredit.experiment.record import RunRecord, read_record
from fedcredit.experiment.report import study_report
from fedcredit.experiment.review import attributions, columns_drift, unit_of_each_feature
from fedcredit.experiment.review_figures import review_figures
from fedcredit.experiment.review_tables import review_tables
from fedcredit.experiment.runner import run
from fedcredit.experiment.show import run_view
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.study_review import study_review_table

SMALL = (
    "portfolio=german", "partition=iid", "partition.num_institutions=3", "privacy.target_delta=1e-4",
    "privacy.target_epsilon=4", "training.num_rounds=6", "evaluation.every=3", "evaluation.references=[]",
)  # fmt: skip
ALL = "evaluation.sections=[profit,segments,fairness,drift,reasons]"

pytestmark = pytest.mark.usefixtures("credit_data")


def _experiment(folder: Path, *overrides: str) -> Experiment:
    return compose(None, [*SMALL, f"results_dir={folder}", *overrides])


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, RunRecord]:
    experiment = _experiment(tmp_path_factory.mktemp("results"), ALL)
    return experiment, run(experiment, progress=False, report=False)


def test_a_review_is_in_the_record_and_comes_back_from_it(reviewed: tuple[Experiment, RunRecord]) -> None:
    experiment, record = reviewed
    found = record.review
    assert found is not None
    assert read_record(run_folder(experiment, record.fingerprint).path).review == found
    assert found.profit is not None
    assert found.segments is not None
    assert found.fairness is not None
    assert found.drift is not None
    assert found.reasons is not None
    overall = record.evaluation.overall
    assert sum(item.num_defaults for item in found.profit.deciles) == overall.num_defaults
    assert set(found.segments) == {"lender", "age_in_years"}
    for segments in found.segments.values():
        assert sum(item.num_loans for item in segments) == overall.num_loans
    for item in found.segments["lender"]:
        assert item.auc == record.evaluation.institutions[item.name].auc
    assert found.fairness["age_in_years"].approval_rate == pytest.approx(0.8, abs=0.01)
    assert found.drift.num_reference + found.drift.num_new == 1000
    assert found.reasons.largest_gap <= 1e-6


def test_a_review_says_the_same_twice(reviewed: tuple[Experiment, RunRecord], tmp_path: Path) -> None:
    again = run(_experiment(tmp_path, ALL), progress=False, report=False)
    assert again.review == reviewed[1].review


def test_a_run_without_references_has_no_review_unless_it_asks(tmp_path: Path) -> None:
    assert run(_experiment(tmp_path), progress=False, report=False).review is None
    assert _experiment(tmp_path, "evaluation.references=[one_shot]").evaluation.sections_to_review != ()
    assert compose(None, ["evaluation=quick"]).evaluation.sections_to_review == ()


def test_what_is_left_at_its_default_keeps_the_name_of_an_experiment(tmp_path: Path) -> None:
    names = [
        fingerprint(_experiment(tmp_path, *extra), data_checksum="a table")
        for extra in ((), ("evaluation.sections=null",), (ALL,), ("evaluation.profit.return_rate=0.3",))
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_losses_that_are_more_than_certain_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 1 together"):
        _experiment(tmp_path, "evaluation.profit.no_loss_probability=0.7")


def test_attributions_of_a_released_network_add_up_column_by_column(reviewed: tuple[Experiment, RunRecord]) -> None:
    prepared = prepare(reviewed[0])
    features = prepared.institutions[0].test.features
    found = attributions(prepared, prepared.initial, features)
    assert found.columns == tuple(dict.fromkeys(unit_of_each_feature(prepared.portfolio.schema)))
    assert len(unit_of_each_feature(prepared.portfolio.schema)) == features.shape[1]
    assert found.largest_gap <= 1e-6


def test_drift_is_between_any_two_sets_of_loans(reviewed: tuple[Experiment, RunRecord]) -> None:
    portfolio = prepare(reviewed[0]).portfolio
    age = portfolio.column("age_in_years")
    young, old = (np.flatnonzero(mask).astype(np.int64) for mask in (age < 35, age >= 35))
    found = columns_drift(portfolio, young, old)
    assert found["age_in_years"] == population_stability(age[young], age[old])
    assert found["age_in_years"].has_moved
    assert set(found) == {column.name for column in portfolio.schema.columns if column.name in portfolio.columns}


def test_every_part_has_a_table_and_a_picture_and_a_terminal_shows_the_gist(
    reviewed: tuple[Experiment, RunRecord],
) -> None:
    review = reviewed[1].review
    assert [table.title for table in review_tables(review)] == [
        "What the score is worth", "Deciles of risk", "Segments", "Fairness: largest gap between two groups",
        "Fairness: groups", "Drift from training to held-out loans", "Reasons for declining",
    ]  # fmt: skip
    for table in review_tables(review):
        assert all(len(row) == len(table.headings) for row in table.rows)
    assert [figure.name for figure in review_figures(review)] == ["deciles", "segments", "groups", "drift"]
    assert (review_tables(None), review_figures(None)) == ((), ())
    console = Console(width=120, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(run_view(reviewed[1]))
    assert "expected maximum profit" in captured.get()
    assert "PSI of the score" in captured.get()


def test_a_study_shows_the_reviews_of_its_arms_side_by_side(reviewed: tuple[Experiment, RunRecord]) -> None:
    record = reviewed[1]
    table = study_review_table([record, replace(record, fingerprint="1" * 64), replace(record, review=None)])
    assert table is not None
    assert len(table.rows) == 2
    assert all(len(row) == len(table.headings) for row in table.rows)
    assert "equal opportunity gap, age_in_years" in table.headings
    assert study_review_table([replace(record, review=None)]) is None
    assert "Credit review of the arms" in study_report([record], cost=Cost())
