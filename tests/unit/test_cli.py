from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fedcredit
from fedcredit.cli import guarded, main
from fedcredit.errors import InputError


def raising(error: BaseException) -> object:
    raise error


def test_help_names_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("run", "plan", "show", "ledger", "data", "config"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "--help"], "a finished run's folder"),
        (["show", "--help"], "or a run's own folder"),
        (["ledger", "verify", "--help"], "or a ledger file"),
        (["plan", "--help"], "an experiment and overrides"),
    ],
)
def test_help_of_a_verb_says_what_its_arguments_are(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    assert said in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize("arguments", [[], ["study"]])
def test_a_group_without_a_verb_shows_its_help_and_no_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert "Usage: fedcredit" in shown.out + shown.err
    assert "error" not in shown.err


def test_a_mistyped_verb_is_met_with_one_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rnu"]) == 2
    assert capsys.readouterr().err.count("Did you mean 'run'") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "nope"),
        (["show"], "FOLDER"),
        (["data", "nope"], "nope"),
        (["show", "--nope", "x"], "--nope"),
        (["run", "--nope"], "--nope"),
        (["run", "seed=["], "seed=["),
        (["run", "seed=1,2"], "seed=1,2"),
        (["run", "strategy=nope"], "fedprox"),
        (["run", "strateg=fedavg"], "nearest valid key: strategy"),
        (["run", "experiments=taiwan/nope"], "taiwan/loan_level"),
        (["run", "experiments=taiwan/loan_lvl"], "nearest: taiwan/loan_level;"),
        (["plan", "privacy_budget/epsilon_1"], "nearest: privacy_budgets/epsilon_1;"),
        (["run", "-m", "experiments=nope/*"], "taiwan/loan_level"),
        (["run", "-m", "seed=1,-2"], "seed is -2"),
        (["run", "--config-dir", "/does/not/exist"], "/does/not/exist"),
        (["run", "--cfg", "job", "training.num_rounds=0"], "training.num_rounds is 0"),
        (["run", "--cfg", "nope"], "--cfg"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("error: ") == 1
    assert shown.err.startswith("error: ")
    assert said in shown.err
    assert "Traceback" not in shown.err


def test_an_error_of_our_own_is_one_line_that_shows_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: raising(KeyError("cell 4711"))) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "KeyError" in shown
    assert "4711" not in shown
    kept = Path(shown.split()[-1])
    assert "cell 4711" in kept.read_text(encoding="utf-8")
    assert kept.stat().st_mode & 0o077 == 0
    kept.unlink()


def test_exit_codes() -> None:
    assert guarded(lambda: None) == 0
    assert guarded(lambda: 2) == 2
    assert guarded(lambda: raising(InputError("x"))) == 2
    assert guarded(lambda: raising(KeyboardInterrupt())) == 130


def test_cfg_job_prints_the_experiment_and_runs_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = tmp_path / "results"
    arguments = ["run", "experiment=taiwan/loan_level", "seed=7", f"results_dir={results}", "--cfg", "job"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "name: taiwan/loan_level" in shown
    assert "seed: 7" in shown
    assert not results.exists()


def test_run_help_names_groups_and_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "partition: bands, dirichlet, iid, lender, natural, quantity" in shown
    assert "experiments/privacy_budgets: epsilon_05" in shown


def test_a_csv_has_the_checksum_of_a_parquet_file_of_the_same_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"rate": [0.5, None], "name": ["one", "2"], "count": [1, 2], "flag": [True, False]}
    pq.write_table(pa.table(content), tmp_path / "a.parquet")
    texts = {
        "a": "rate,name,count,flag\n0.5,one,1,true\n,2,2,false\n",
        "b": "flag,rate,name,count\ntrue,.5,one,1\nfalse,,2,2\n",
        "c": "rate,name,count,flag\n0.5,one,1,true\n,3,2,false\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    shown = []
    for name in ("a.parquet", "a.csv", "b.csv", "c.csv"):
        assert main(["data", "checksum", str(tmp_path / name)]) == 0
        shown.append(capsys.readouterr().out.strip())
    assert len(shown[0]) == 64
    assert shown[0] == shown[1] == shown[2] != shown[3]


def test_a_csv_that_is_not_utf_8_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(b"x,y\n1,\xff\xfe\xfa\n")
    assert main(["data", "checksum", str(tmp_path / "a.csv")]) == 2
    assert "column y" in capsys.readouterr().err


def test_config_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Experiment"


def test_the_package_names_what_a_notebook_needs() -> None:
    assert fedcredit.InputError is InputError
    with pytest.raises(InputError, match="taiwan/loan_level"):
        fedcredit.run("taiwan/nope")


@pytest.mark.parametrize("verb", [["show"], ["decide"], ["price"], ["compare"], ["passport"]])
def test_a_file_in_place_of_a_results_folder_is_called_one(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "loans.csv"
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    assert main([*verb, str(table)]) == 2
    shown = capsys.readouterr().err
    assert f"error: {table} is a file; name the results folder of a finished run" in shown
    assert "record.json" not in shown


@pytest.mark.parametrize("verb", ["show", "decide", "price", "compare", "passport"])
def test_a_folder_of_a_run_that_has_not_finished_is_called_one(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = tmp_path / "study" / "arm" / "abc" / "inline-compiled"
    begun.mkdir(parents=True)
    (begun / "experiment.yaml").write_text("name: study/arm\n", encoding="utf-8")
    assert main([verb, str(tmp_path)]) == 2
    assert f"{tmp_path} holds no run that has finished; run its experiment again" in capsys.readouterr().err
