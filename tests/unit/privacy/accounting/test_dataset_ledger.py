from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedcredit.cli import main
from fedcredit.errors import InputError
from fedcredit.privacy.accounting.dataset_ledger import DatasetLedger
from fedcredit.privacy.accounting.events import Events, GaussianSteps
from fedcredit.privacy.accounting.ledger import NoiseDrawsError, PrivacyLedger, Release, read_ledger
from fedcredit.privacy.accounting.run_ledger import RunAccount

STEPS = GaussianSteps(sampling_probability=0.25, noise_multiplier=5.0, num_steps=4)
RUNS = ("a" * 64, "b" * 64, "c" * 64)


def opened(path: Path, **changes: object) -> DatasetLedger:
    arguments = {"institution": "First Bank", "dataset": "d" * 64, **changes}
    return DatasetLedger.open(path, **arguments)  # type: ignore[arg-type]


def release(server_round: int = 1, *, num_steps: int = 4) -> Release:
    event = GaussianSteps(sampling_probability=0.25, noise_multiplier=5.0, num_steps=num_steps)
    return Release(name="federation", server_round=server_round, event=event, digest="e" * 64)


def num_steps(events: Events) -> int:
    return sum(event.num_steps for event in events)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books" / "first-bank.jsonl"


def test_runs_and_restarts_add_up_in_one_file(path: Path) -> None:
    for number, run in enumerate((RUNS[0], RUNS[1], RUNS[0])):
        with opened(path, begin=number == 0) as ledger:
            ledger.commit(ledger.intend(release(), fingerprint=run), 4)
    content = read_ledger(path)
    assert content.events() == (STEPS.times(3),)
    assert (content.mode, content.dataset, content.fingerprint) == ("deployed", "d" * 64, "")
    with opened(path) as ledger:
        assert ledger.events() == (STEPS.times(3),)
        assert [num_steps(ledger.events(fingerprint=run)) for run in RUNS] == [8, 4, 0]


def test_nothing_is_free_not_even_the_identical_release_after_a_crash(path: Path) -> None:
    with opened(path, begin=True) as ledger:
        ledger.intend(release(), fingerprint=RUNS[0])
    with opened(path) as ledger:
        assert ledger.events() == (STEPS,)
        ledger.commit(ledger.intend(release(), fingerprint=RUNS[0]), 4)
        assert ledger.events() == (STEPS.times(2),)


def test_a_restarted_run_pays_again_for_the_release_it_died_in(path: Path) -> None:
    for number in range(2):
        with opened(path, begin=number == 0) as ledger:
            account = RunAccount(ledger, fingerprint=RUNS[0], target_delta=1e-5)
            account.intend(release())
            assert num_steps(account.events()) == 4 * (number + 1)
            assert num_steps(account.events("federation", through_round=0)) == 0
    with pytest.raises(ValueError, match="was never intended"), opened(path) as ledger:
        RunAccount(ledger, fingerprint=RUNS[0], target_delta=1e-5).commit(release(), 4)
    assert {entry.target_delta for entry in read_ledger(path).entries} == {1e-5}


def test_one_process_at_a_time_holds_it(path: Path) -> None:
    code = f"""
from pathlib import Path
from fedcredit.errors import InputError
from fedcredit.privacy.accounting.dataset_ledger import DatasetLedger
try:
    DatasetLedger.open(Path({str(path)!r}), institution="First Bank", dataset={"d" * 64!r})
except InputError as error:
    print(error)
else:
    print("opened")
"""
    asked = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4] / "src")}
    with opened(path, begin=True):
        with pytest.raises(InputError, match="is held by another process"):
            opened(path)
        shown = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout
        assert "is held by another process; one run at a time" in shown
    shown = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "opened"
    with opened(path), pytest.raises(InputError):
        opened(path)


def test_missing_ledger_of_a_known_dataset_is_refused_and_a_known_one_is_never_begun_again(path: Path) -> None:
    with pytest.raises(InputError, match="what was spent on this dataset is not known"):
        opened(path)
    assert not path.parent.exists()
    opened(path, begin=True).close()
    with pytest.raises(InputError, match="is there already"):
        opened(path, begin=True)


@pytest.mark.parametrize("other", [{"institution": "Second Bank"}, {"dataset": "0" * 64}, {"unit": "borrower"}])
def test_ledger_of_another_lender_or_dataset_is_refused_and_let_go(path: Path, other: dict[str, str]) -> None:
    opened(path, begin=True).close()
    with pytest.raises(InputError, match=next(iter(other))):
        opened(path, **other)
    opened(path).close()


def test_neither_kind_of_ledger_opens_the_other(path: Path, tmp_path: Path) -> None:
    opened(path, begin=True).close()
    with pytest.raises(InputError, match="mode is 'deployed'"):
        PrivacyLedger.open(path, institution="First Bank", fingerprint=RUNS[0], mode="simulated")
    simulated = tmp_path / "run.jsonl"
    PrivacyLedger.open(simulated, institution="First Bank", fingerprint=RUNS[0], mode="simulated")
    with pytest.raises(InputError, match="mode is 'simulated'"):
        opened(simulated)


def test_faults_are_charged_and_every_intent_is_committed_once(path: Path) -> None:
    with opened(path, begin=True) as ledger:
        with pytest.raises(NoiseDrawsError, match="drew noise 6 times"):
            ledger.commit(ledger.intend(release(), fingerprint=RUNS[0]), 6)
        assert num_steps(ledger.events()) == 6
        for line in (0, 1, 2, 3, 9, -1):
            with pytest.raises(ValueError, match="is not an intent that waits for its commit"):
                ledger.commit(line, 4)
    with pytest.raises(ValueError, match="is closed"):
        ledger.intend(release(), fingerprint=RUNS[0])


def test_verbs_show_verify_and_export_it(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(path, begin=True) as ledger:
        for run in RUNS[:2]:
            ledger.commit(ledger.intend(release(), fingerprint=run), 4)
    assert main(["ledger", "verify", str(path)]) == 0
    assert main(["ledger", "show", "--delta", "1e-6", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "mode: deployed" in shown
    assert f"Runs: {RUNS[0][:16]}, {RUNS[1][:16]}" in shown
    assert main(["ledger", "export", "--json", str(path)]) == 0
    [exported] = json.loads(capsys.readouterr().out)["ledgers"]
    assert [entry["fingerprint"] for entry in exported["entries"]] == [RUNS[0]] * 2 + [RUNS[1]] * 2
    assert exported["dataset"] == "d" * 64
