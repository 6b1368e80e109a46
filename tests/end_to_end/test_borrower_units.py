"""Borrowers as the unit, from an experiment to its record, on a real table whose borrowers have several loans."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from fedcredit.config import compose
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.outlook import look_ahead
from fedcredit.experiment.record import RunRecord, read_record
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.events import MixtureGaussianSteps
from fedcredit.privacy.accounting.ledger import read_ledger
from fedcredit.privacy.accounting.statement import EpsilonStatement

SMALL = (
    "portfolio=sba", "partition=natural", "partition.column=Bank", "privacy.target_delta=1e-4",
    "privacy.target_epsilon=4", "training.num_rounds=4", "evaluation.every=4", "evaluation.references=[]",
)  # fmt: skip
MECHANISMS = ("borrower_sampling", "loan_sampling_capped")

pytestmark = pytest.mark.usefixtures("credit_data")


def _experiment(folder: Path, *overrides: str, level: str = "borrower_level") -> Experiment:
    return compose(None, [*SMALL, f"privacy={level}", f"results_dir={folder}", *SMALL, *overrides])


def _run(experiment: Experiment) -> tuple[RunRecord, Path]:
    record = run(experiment, progress=False, report=False)
    return record, run_folder(experiment, record.fingerprint).path


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_trainers_agree_and_ledgers_are_charged_for_borrowers(tmp_path: Path, mechanism: str) -> None:
    weights = {}
    for kind in ("compiled", "vectorised"):
        chosen = f"privacy.borrower_mechanism={mechanism}", f"trainer={kind}"
        record, folder = _run(_experiment(tmp_path / kind, *chosen))
        weights[kind] = load_file(folder / "weights.safetensors")
        statement = EpsilonStatement.from_json(record.statement or {})
        assert (statement.unit, statement.max_loans) == ("borrower", 2)
        assert record.statement_lines[0] == f"epsilon {4.0:.3f} for a borrower at one lender"
        for path in (folder / "ledger").glob("*.jsonl"):
            content = read_ledger(path)
            assert content.unit == "borrower"
            [event] = content.events()
            assert isinstance(event, MixtureGaussianSteps) == (mechanism == "loan_sampling_capped")
            assert event.num_steps == 4
            stated = statement.per_lender[content.institution]
            assert epsilon([event], delta=1e-4).value == stated.value <= 4.0
        page = (folder / "privacy.md").read_text(encoding="utf-8")
        assert "One borrower at one lender, with all its training loans there, of which at most 2 are kept" in page
        assert read_record(folder).statement == record.statement
    for name, compiled in weights["compiled"].items():
        assert compiled == pytest.approx(weights["vectorised"][name], abs=1e-5)


def test_loan_level_run_tells_what_the_borrower_with_most_loans_loses(tmp_path: Path) -> None:
    record, _ = _run(_experiment(tmp_path, level="loan_level"))
    statement = EpsilonStatement.from_json(record.statement or {})
    assert statement.worst_off[1].num_loans == (3,)
    assert statement.worst_off[1].epsilon.value > 2.0 * statement.worst.value
    [told] = [line for line in record.statement_lines if "worst-off" in line]
    assert told.endswith("for the worst-off borrower of this table at one lender (3 loans)")
    assert max(statement.worst_off) == 2


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_plan_promises_what_the_run_then_spends(tmp_path: Path, mechanism: str) -> None:
    experiment = _experiment(tmp_path, f"privacy.borrower_mechanism={mechanism}")
    outlook, (record, _) = look_ahead(experiment), _run(experiment)
    assert outlook.contracts == record.contracts
    assert outlook.statement is not None
    assert outlook.statement.unit == "borrower"
    spent = EpsilonStatement.from_json(record.statement or {})
    assert {name: bound.value for name, bound in outlook.statement.per_lender.items()} == {
        name: bound.value for name, bound in spent.per_lender.items()
    }
