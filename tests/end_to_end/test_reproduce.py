"""A results folder carried elsewhere is run again, and told apart from one that was changed."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.errors import InputError
from fedcredit.experiment.differences import DIFFERENT, IDENTICAL, WITHIN, compare_records, difference, worst_verdict
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.record import read_record
from fedcredit.experiment.reproduce import reproduce, saved_experiment, saved_runs
from fedcredit.experiment.runner import run

pytestmark = pytest.mark.usefixtures("credit_data")

SMALL = (
    "portfolio=german",
    "partition=iid",
    "network=tanh16",
    "partition.num_institutions=3",
    "privacy.target_delta=1e-4",
    "privacy.target_epsilon=4",
    "network.hidden=[4]",
    "training.num_rounds=4",
    "evaluation.every=4",
    "evaluation.references=[alone]",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = compose(None, [*SMALL, f"results_dir={tmp_path_factory.mktemp('finished')}"])
    record = run(experiment, progress=False, report=False)
    return run_folder(experiment, record.fingerprint).path


def test_a_folder_carried_elsewhere_gives_identical_bits(finished: Path, tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    shutil.copytree(finished, carried)
    done = reproduce(carried, results_dir=tmp_path / "again", progress=False)
    assert done.verdict == IDENTICAL
    assert {found.name for found in done.compared} >= {"weights", "evaluation", "privacy statement", "reference alone"}
    assert sum(found.num_figures for found in done.compared) > 500
    assert done.surroundings == {}


@pytest.mark.parametrize("switch", ["trainer=vectorised", "trainer=reference"])
def test_another_trainer_is_within_the_tolerance_and_named(finished: Path, tmp_path: Path, switch: str) -> None:
    done = reproduce(finished, results_dir=tmp_path, switches=[switch], progress=False)
    assert done.verdict == WITHIN
    assert done.surroundings["trainer"][0] == "compiled"


def _change_the_record(folder: Path) -> None:
    text = (folder / "record.json").read_text()
    content = json.loads(text)
    content["evaluation"]["overall"]["auc"] += 0.01
    (folder / "record.json").write_text(json.dumps(content))


def _change_the_experiment(folder: Path) -> None:
    text = (folder / "experiment.yaml").read_text()
    (folder / "experiment.yaml").write_text(text.replace("\nseed: 1\n", "\nseed: 2\n"))


@pytest.mark.parametrize("change", [_change_the_record, _change_the_experiment])
def test_what_was_changed_is_different(finished: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(finished, changed)
    change(changed)
    done = reproduce(changed, results_dir=tmp_path / "again", progress=False)
    assert done.verdict == DIFFERENT


def test_the_command_reads_a_zip_file_and_ends_in_an_exit_code(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "run.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(finished.rglob("*")):
            file.write(path, path.relative_to(finished.parent))
    assert main(["reproduce", str(archive), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["verdict"] == IDENTICAL
    changed = tmp_path / "changed"
    shutil.copytree(finished, changed)
    _change_the_record(changed)
    assert main(["reproduce", str(changed)]) == 1
    assert "verdict: different" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        ("seed=2", "only runtime and trainer may differ"),
        ("runtime", "only runtime and trainer may differ"),
        ("trainer=abacus", "trainer.kind is 'abacus'"),
        ("runtime.num_workers=0", "runtime.inline"),
    ],
)
def test_a_switch_that_is_none_is_refused(finished: Path, tmp_path: Path, switch: str, said: str) -> None:
    with pytest.raises(InputError, match=said.replace(".", r"\.") if "inline" not in said else "num_workers"):
        saved_experiment(finished, switches=[switch], results_dir=tmp_path)


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"a: [", b"\xff\xfe", b"!!python/object/apply:os.getcwd []\n"])
def test_a_file_that_is_no_experiment_is_refused_and_runs_nothing(
    finished: Path, tmp_path: Path, content: bytes
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(finished, broken)
    (broken / "experiment.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"experiment\.yaml"):
        reproduce(broken, results_dir=tmp_path / "again", progress=False)


def test_a_place_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no zip")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError), saved_runs(place):
            pass


@pytest.mark.parametrize(
    ("one", "other", "gap"),
    [
        (0.5, 0.5, 0.0),
        (0.5, 0.25, 0.25),
        (200.0, 100.0, 0.5),
        (float("nan"), float("nan"), 0.0),
        (float("inf"), float("inf"), 0.0),
        (float("inf"), 1.0, float("inf")),
        (None, 0.0, float("inf")),
        (1, True, float("inf")),
        ("a", "b", float("inf")),
    ],
)
def test_differences_are_absolute_up_to_one_and_relative_above(one: object, other: object, gap: float) -> None:
    assert difference(one, other) == difference(other, one) == gap


def test_a_record_is_identical_to_itself(finished: Path) -> None:
    record = read_record(finished)
    assert worst_verdict(compare_records(record, record, tolerance=0.0)) == IDENTICAL
