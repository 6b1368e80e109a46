"""A record that cannot be read blocks nothing but itself, and nothing is lost over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.errors import InputError
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment

SMALL = (
    "portfolio=german", "partition=iid", "partition.num_institutions=2", "trainer=vectorised",
    "privacy.target_delta=1e-4", "privacy.noise_multiplier=3", "privacy.target_epsilon=null",
    "training.num_rounds=2", "evaluation.every=2", "evaluation.references=[]",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("credit_data")


def experiment_in(folder: Path, *overrides: str) -> Experiment:
    return compose(None, [*SMALL, f"results_dir={folder}", *overrides])


def test_show_skips_it_and_ledgers_and_runs_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiments = [experiment_in(tmp_path, f"seed={seed}") for seed in (1, 2)]
    folders = [run_folder(e, run(e, progress=False, report=False).fingerprint).path for e in experiments]
    torn = (folders[0] / "record.json").read_text()[:500]
    (folders[0] / "record.json").write_text(torn)
    before = {path: path.read_bytes() for path in folders[0].rglob("*") if path.is_file()}
    assert main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    warnings = [line for line in shown.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert str(folders[0] / "record.json") in warnings[0]
    assert "restore it from a copy, or rename it" in warnings[0]
    for verb in ("show", "verify", "export"):
        assert main(["ledger", verb, str(folders[0])]) == 0
    assert main(["show", str(folders[0])]) == 2
    with pytest.raises(InputError, match="nothing was changed: restore it from a copy, or rename it"):
        run(experiments[0], progress=False, report=False)
    assert {path: path.read_bytes() for path in before} == before
    (folders[0] / "record.json").rename(folders[0] / "record.json.broken")
    run(experiments[0], progress=False, report=False)
    assert main(["show", str(folders[0])]) == 0


def test_runs_of_one_fingerprint_are_told_apart_by_trainer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for trainer in ("vectorised", "reference"):
        run(experiment_in(tmp_path, f"trainer={trainer}"), progress=False, report=False)
    assert main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "vectorised" in shown
    assert "reference" in shown
