"""A small sweep over real worker processes, from the command line to its results folders."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import cloudpickle
import pytest
from rich.console import Console

import fedcredit
from fedcredit.cli import main
from fedcredit.config import compose, hydra_main
from fedcredit.config.sweeps import Launcher
from fedcredit.errors import InputError
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.record import RunRecord, read_record, record_folders
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.sweep import Finished, SweepResult, run_sweep
from fedcredit.experiment.workers import call_all, one_thread_each

SMALL = [
    "portfolio=german", "partition=quantity", "network=tanh16", "partition.num_institutions=3",
    "privacy.target_delta=1e-4",
    "privacy.target_epsilon=.5", "training.num_rounds=3", "evaluation.every=3", "evaluation.references=[one_shot]",
]  # fmt: skip
# Lenders of unlike rates, whose accounting needs the table.
EPOCHS = [*SMALL, "training/local=epochs"]
TWO = "hydra.launcher.n_jobs=2"

# Workers import what they are handed by name; a test module has none they could know.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def told(record: RunRecord) -> dict[str, object]:
    """What a record says but for times, hosts and the results folder."""
    experiment = {key: value for key, value in record.experiment.items() if key != "results_dir"}
    rounds = [{key: value for key, value in one.items() if key != "train_seconds"} for one in record.rounds]
    unlike = {"experiment", "rounds", "seconds", "environment"}
    same = {name: value for name, value in vars(record).items() if name not in unlike}
    return {**same, "experiment": experiment, "rounds": rounds}


def swept(arguments: Sequence[str], folder: Path) -> dict[int, tuple[dict[str, object], bytes]]:
    assert main(["run", "-m", *arguments, f"results_dir={folder}"]) == 0
    found = {}
    for place in record_folders([folder]):
        record = read_record(place)
        found[int(str(record.experiment["seed"]))] = (told(record), (place / "weights.safetensors").read_bytes())
    return found


@pytest.mark.usefixtures("credit_data")
def test_a_sweep_gives_the_bits_of_single_runs_on_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    two = swept([*EPOCHS, "seed=1,2", TWO], Path("two"))
    shown = capsys.readouterr()
    one = swept([*EPOCHS, "seed=1,2", "hydra.launcher.n_jobs=1"], Path("one"))
    assert sorted(two) == [1, 2]
    assert two == one
    experiment = compose(None, [*EPOCHS, "seed=2", "results_dir=alone"])
    record = run(experiment, progress=False)
    weights = run_folder(experiment, record.fingerprint).path / "weights.safetensors"
    assert two[2] == (told(record), weights.read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "one", "two"]
    assert sorted(path.name for path in Path("two").iterdir()) == ["adhoc"]
    assert "2 arms in 2 processes" in shown.out
    assert sorted(line.split("/")[0] for line in shown.err.splitlines()) == ["1", "2"]


@pytest.mark.usefixtures("credit_data")
def test_a_refused_arm_is_named_and_the_others_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL, "privacy.target_delta=1e-4,1e-2", TWO, f"results_dir={tmp_path}"]
    assert main(["run", "-m", *arguments]) == 2
    shown = capsys.readouterr()
    assert "error: adhoc/run privacy.target_delta=0.01: privacy.target_delta is 0.01" in shown.err
    assert len(list(tmp_path.rglob("record.json"))) == 1
    assert "2 arms" in shown.out


@pytest.mark.usefixtures("credit_data")
def test_the_same_from_python(tmp_path: Path) -> None:
    arguments = [*SMALL, "evaluation.references=[]", "seed=1,2", f"results_dir={tmp_path}"]
    result = fedcredit.sweep(overrides=arguments, num_workers=1, progress=False)
    assert [record.experiment["seed"] for record in result.records()] == [1, 2]
    assert result.failures() == []


def _mixed(experiment: Experiment) -> Finished:
    if experiment.seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if experiment.seed == 3:
        raise InputError("no such column")
    return Finished(folder=Path(f"/results/{os.getpid()}"), text=os.environ["OMP_NUM_THREADS"])


def test_a_killed_worker_takes_no_other_arm_with_it(tmp_path: Path) -> None:
    def sweep(experiments: Sequence[Experiment], launcher: Launcher) -> SweepResult:
        return run_sweep(experiments, launcher, console=Console(stderr=True), job=_mixed, progress=False)

    def alone(experiment: Experiment) -> SweepResult:
        raise AssertionError

    arguments = ["-m", "privacy=none", "seed=range(1,8)", TWO, f"results_dir={tmp_path}"]
    result = hydra_main(arguments, job=alone, sweep=sweep)
    assert result is not None
    assert [outcome.kind for outcome in result.outcomes] == ["done", "failed", "refused", *["done"] * 4]
    assert "killed twice" in result.outcomes[1].text
    assert "SIGKILL" in result.outcomes[1].text
    assert {outcome.text for outcome in result.outcomes if outcome.kind == "done"} == {"1"}
    assert str(os.getpid()) not in {str(outcome.folder).rpartition("/")[2] for outcome in result.outcomes}
    assert list(tmp_path.iterdir()) == []


def _process(folder: Path, number: int) -> int:
    (folder / f"{os.getpid()}").touch()
    time.sleep(0.1)
    return os.getpid()


def test_accounting_and_arms_share_their_worker_processes(tmp_path: Path) -> None:
    def sweep(experiments: Sequence[Experiment], launcher: Launcher) -> set[int]:
        with one_thread_each():
            ahead = set(call_all(partial(_process, tmp_path), range(6), num_workers=2))
            for place in tmp_path.iterdir():
                place.unlink()
            launcher.launch(cast("Callable[[int], None]", partial(_process, tmp_path)), range(6), folder=tmp_path)
        return ahead

    def alone(experiment: Experiment) -> set[int]:
        raise AssertionError

    ahead = hydra_main(["-m", "seed=range(6)", TWO, f"results_dir={tmp_path}"], job=alone, sweep=sweep)
    assert {int(place.name) for place in tmp_path.iterdir()} == ahead
    assert os.getpid() not in (ahead or ())
