"""A study from its folder to its table, its expectations and their verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedcredit.cli import main
from fedcredit.config.files import experiment_names, experiment_roots
from fedcredit.errors import InputError
from fedcredit.experiment.expectations import judge
from fedcredit.experiment.record import read_record, record_folders
from fedcredit.experiment.studies import Expected, ExpectedFile, figure_at, open_study, study_lines

pytestmark = pytest.mark.usefixtures("credit_data")

ARM = """# @package _global_
defaults:
  - override /portfolio: german
  - override /partition: iid
  - override /network: tanh16
  - _self_
partition: {{num_institutions: 3}}
privacy: {{target_epsilon: {epsilon}, target_delta: 1.0e-4}}
training: {{num_rounds: 3}}
evaluation: {{references: []}}
"""
STUDY = "question: Is the larger budget better?\nseeds: [1, 2]\nreference: large\nby: privacy.target_epsilon\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "experiments" / "tiny"
    folder.mkdir(parents=True)
    (folder / "large.yaml").write_text(ARM.format(epsilon=8))
    (folder / "small.yaml").write_text(ARM.format(epsilon=1))
    (folder / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return folder


def _words(*words: str) -> list[str]:
    return ["study", *words, "hydra.launcher.n_jobs=1"]


def test_a_study_runs_what_is_missing_and_judges_itself(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_words("status", "tiny")) == 1
    assert "0 of 4 runs finished" in capsys.readouterr().out
    assert main(_words("run", "tiny", "--seeds", "1")) == 0
    first = {place: (place / "record.json").stat().st_mtime_ns for place in record_folders([Path("results")])}
    assert len(first) == 2
    assert main(_words("run", "tiny")) == 0
    assert {place: (place / "record.json").stat().st_mtime_ns for place in first} == first
    assert main(_words("status", "tiny")) == 0
    capsys.readouterr()
    assert main(_words("report", "tiny")) == 0
    assert "minus large" in " ".join(capsys.readouterr().out.split())
    assert Path("results/tiny/report.html").is_file()
    assert main(_words("expect", "tiny")) == 0
    capsys.readouterr()
    assert main(["reproduce", "tiny", "--into", "again", "--json"]) == 0
    assert {item["verdict"] for item in json.loads(capsys.readouterr().out)} == {"identical bits"}
    assert len(record_folders([Path("again")])) == 4
    text = (study / "expected.yaml").read_text()
    (study / "expected.yaml").write_text(text.replace("value: 0.", "value: 0.0"))
    assert main(["reproduce", "tiny", "--into", "again"]) == 1


def test_a_missing_run_is_different_from_what_is_expected() -> None:
    expected = ExpectedFile(
        seeds=(1,), figures=(Expected(arm="a", metric="evaluation.overall.auc", value=0.5, tolerance=0.1),)
    )
    (judged,) = judge(expected, [])
    assert (judged.measured, judged.verdict) == (None, "different")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("question: 1\n", "question"),
        ("question: why\nseeds: []\n", "seeds"),
        ("question: why\nseeds: [-1]\n", "seeds"),
        ("question: why\nother: 1\n", "other"),
        ("question: !!python/object/apply:os.getcwd []\n", "study.yaml"),
        ("- 1\n", "study.yaml"),
    ],
)
def test_a_study_file_with_a_mistake_is_refused_by_name(study: Path, content: str, said: str) -> None:
    (study / "study.yaml").write_text(content)
    with pytest.raises(InputError, match=said):
        open_study("tiny", names=experiment_names(), folders=experiment_roots())


def test_what_there_is_not_is_refused_with_what_there_is(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_words("run", "tony")) == 2
    assert "there is no study 'tony'" in capsys.readouterr().err
    assert main(_words("report", "tiny")) == 2
    assert "has no finished run" in capsys.readouterr().err
    assert main(_words("run", "tiny", "--seeds", "one")) == 2
    assert "--seeds is 'one'" in capsys.readouterr().err
    assert main(["reproduce", "tiny"]) == 2
    assert "has no expected.yaml" in capsys.readouterr().err
    opened = open_study("tiny", names=experiment_names(), folders=experiment_roots())
    with pytest.raises(InputError, match="tiny/none is no arm"):
        study_lines(opened, seeds=[1], arms=["none"])
    assert main(["reproduce", "tiny", "seed=3"]) == 2


def test_a_metric_is_a_path_of_a_record(study: Path) -> None:
    assert main(_words("run", "tiny", "--seeds", "1")) == 0
    record = json.loads((record_folders([Path("results")])[0] / "record.json").read_text())
    auc = read_record(record_folders([Path("results")])[0]).evaluation.overall.auc
    assert figure_at(record, "evaluation.overall.auc") == auc
    with pytest.raises(InputError, match="has no 'auk'"):
        figure_at(record, "evaluation.overall.auk")
