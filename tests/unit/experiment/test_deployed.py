from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcredit.experiment.deployed import dataset_lines
from fedcredit.experiment.wording import epsilon_text
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.book import Release
from fedcredit.privacy.accounting.dataset_ledger import DatasetLedger
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.ledger import ledger_path
from fedcredit.privacy.accounting.releases import FEDERATION
from fedcredit.privacy.accounting.run_ledger import RunAccount

DELTA = 1e-5
STEP = GaussianSteps(sampling_probability=1.0, noise_multiplier=5.0, num_steps=1)


@contextmanager
def spent(
    folder: Path, dataset: str, *, lender: str = "bank a", num_rounds: int = 1
) -> Iterator[dict[str, RunAccount]]:
    path = ledger_path(folder / dataset, lender)
    with DatasetLedger.open(path, institution=lender, dataset=dataset, begin=True) as ledger:
        account = RunAccount(ledger, fingerprint=f"run on {dataset}", target_delta=DELTA)
        for number in range(1, num_rounds + 1):
            account.intend(Release(name=FEDERATION, server_round=number, event=STEP, digest=str(number)))
        yield {lender: account}


def test_a_lender_whose_table_changed_by_a_loan_is_told_what_the_others_have_spent(tmp_path: Path) -> None:
    with spent(tmp_path, "january", num_rounds=3):
        pass
    with spent(tmp_path, "january of another", lender="bank b", num_rounds=50):
        pass
    with spent(tmp_path, "february") as accounts:
        told = dataset_lines(accounts, delta=DELTA)
    alone, together = (epsilon_text(epsilon([STEP.times(n)], delta=DELTA).value) for n in (1, 4))
    assert len(told) == 2
    assert f"exactly these loans; with every attempt of this one: epsilon {alone} " in told[0]
    assert f"a loan that was in all of them: epsilon {together} " in told[1]


def test_a_lender_with_one_table_is_told_of_no_other(tmp_path: Path) -> None:
    with spent(tmp_path, "january") as accounts:
        assert len(dataset_lines(accounts, delta=DELTA)) == 1


def test_a_ledger_beside_that_cannot_be_read_is_said_and_not_passed_over(tmp_path: Path) -> None:
    with spent(tmp_path, "january"):
        pass
    with ledger_path(tmp_path / "january", "bank a").open("ab") as file:
        file.write(b"torn")
    with spent(tmp_path, "february") as accounts:
        told = dataset_lines(accounts, delta=DELTA)
    assert "cannot be read" in told[1]
    assert "epsilon" not in told[1]
