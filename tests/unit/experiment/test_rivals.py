from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from fedcredit.config import compose
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.ledger import read_ledger

HAS_EXTRA = importlib.util.find_spec("interpret") is not None
GERMAN = (
    "portfolio=german", "partition=quantity", "partition.num_institutions=3", "privacy.target_delta=1e-4",
    "training.num_rounds=2", "trainer=vectorised", "evaluation.sections=[]",
)  # fmt: skip


def _experiment(folder: Path, *overrides: str) -> Experiment:
    return compose(None, [*GERMAN, f"results_dir={folder}", *overrides])


@pytest.mark.parametrize(
    "reference",
    [
        "output_perturbation",
        pytest.param(
            "dp_ebm",
            marks=pytest.mark.skipif(not HAS_EXTRA, reason="the optional extra `rivals` is not installed"),
        ),
    ],
)
def test_a_rival_charges_every_lender_the_target_and_no_more(tmp_path: Path, reference: str) -> None:
    experiment = _experiment(
        tmp_path, "privacy.target_epsilon=4", "privacy.budgets={lender_01: 2}", f"evaluation.references=[{reference}]"
    )
    record = run(experiment, progress=False, report=False)
    assert record.references[reference].epsilon == pytest.approx(2.0, rel=1e-3)
    for path in (run_folder(experiment, record.fingerprint).path / "ledger").iterdir():
        spent = epsilon(read_ledger(path).events(f"reference.{reference}"), delta=1e-4).value
        assert 1.99 < spent <= 2.0


def test_without_privacy_output_perturbation_is_a_logistic_regression_and_charges_nothing(tmp_path: Path) -> None:
    references = "evaluation.references=[output_perturbation,pooled_logistic]"
    record = run(_experiment(tmp_path, "privacy.target_epsilon=inf", references), progress=False, report=False)
    reached = {name: reference.evaluation.overall.auc for name, reference in record.references.items()}
    assert reached["output_perturbation"] == pytest.approx(reached["pooled_logistic"], abs=0.01)
    assert record.references["output_perturbation"].epsilon == float("inf")
