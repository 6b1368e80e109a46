"""One small federation, from an experiment to its results folder, on a real table of 1,000 loans."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedcredit.config import compose
from fedcredit.errors import InputError
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.prepare import prepare
from fedcredit.experiment.record import RunRecord, read_record
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.ledger import PrivacyLedger, read_ledger

SMALL = (
    "portfolio=german",
    "partition=iid",
    "network=tanh16",
    "partition.num_institutions=3",
    "privacy.target_delta=1e-4",
    "privacy.target_epsilon=4",
    "training.num_rounds=6",
    "evaluation.every=3",
)
QUICK = (*SMALL, "evaluation.references=[]")

pytestmark = pytest.mark.usefixtures("credit_data")


def _experiment(folder: Path, *overrides: str, base: tuple[str, ...] = QUICK) -> Experiment:
    return compose(None, [*base, f"results_dir={folder}", *overrides])


def _folder(experiment: Experiment, record: RunRecord) -> Path:
    return run_folder(experiment, record.fingerprint).path


def _bits(folder: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in load_file(folder / "weights.safetensors").items()}


def test_a_run_leaves_the_folder_that_the_design_names(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path, base=SMALL)
    record = run(experiment, progress=False)
    folder = _folder(experiment, record)
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "experiment.yaml", "record.json", "rounds.jsonl", "rounds.parquet", "institutions.parquet", "ledger",
        "weights.safetensors", "environment.json", "report.html",
    }  # fmt: skip
    assert read_record(folder) == record
    assert set(record.references) == set(experiment.evaluation.references)
    assert [json.loads(line)["server_round"] for line in (folder / "rounds.jsonl").read_text().splitlines()] == [
        1, 2, 3, 4, 5, 6,
    ]  # fmt: skip


def test_two_runs_of_one_experiment_have_the_same_bits(tmp_path: Path) -> None:
    first, second = (_experiment(tmp_path / name) for name in ("a", "b"))
    one, other = run(first, progress=False), run(second, progress=False)
    assert _bits(_folder(first, one)) == _bits(_folder(second, other))
    assert one.evaluation == other.evaluation


def test_the_trainers_agree_over_a_run(tmp_path: Path) -> None:
    first, second = _experiment(tmp_path), _experiment(tmp_path, "trainer=reference")
    one, other = run(first, progress=False), run(second, progress=False)
    assert one.fingerprint == other.fingerprint
    weights = [load_file(_folder(e, r) / "weights.safetensors") for e, r in ((first, one), (second, other))]
    assert max(float(np.abs(weights[0][name] - weights[1][name]).max()) for name in weights[0]) < 1e-4


def test_a_finished_folder_is_read_back_and_never_written_again(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path)
    record = run(experiment, progress=False)
    folder = _folder(experiment, record)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert run(experiment, progress=False) == record
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_run_without_a_page_remembers_everything_else_and_gets_the_page_later(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path)
    record = run(experiment, progress=False, report=False)
    folder = _folder(experiment, record)
    bare = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert "report.html" not in bare
    assert not (folder / "plots").exists()
    assert run(experiment, progress=False) == record
    assert {path.name for path in folder.iterdir()} - set(bare) == {"report.html", "plots", "ledger"}
    assert {name: (folder / name).read_bytes() for name in bare} == bare


def test_an_interrupted_run_starts_again_to_the_same_bits_and_pays_once(tmp_path: Path) -> None:
    whole = _experiment(tmp_path / "whole")
    record = run(whole, progress=False)
    broken = _experiment(tmp_path / "broken")
    again = run(broken, progress=False)
    folder = _folder(broken, again)
    (folder / "record.json").unlink()
    for ledger in (folder / "ledger").iterdir():
        lines = ledger.read_bytes().splitlines(keepends=True)
        ledger.write_bytes(b"".join(lines[:6]))
    rounds = (folder / "rounds.jsonl").read_text().splitlines(keepends=True)
    (folder / "rounds.jsonl").write_text("".join(rounds[:2]))
    rerun = run(broken, progress=False)
    assert _bits(folder) == _bits(_folder(whole, record))
    assert rerun.statement == record.statement


def test_a_rerun_over_a_ledger_that_lost_lines_is_refused_and_loses_nothing_more(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path)
    folder = _folder(experiment, run(experiment, progress=False))
    (folder / "record.json").unlink()
    ledger = sorted((folder / "ledger").iterdir())[1]
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-2]))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="line 11 is not the end of the ledger that the run had written"):
        run(experiment, progress=False)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_update_that_no_ledger_knows_is_never_priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intend, commit = PrivacyLedger.intend, PrivacyLedger.commit
    monkeypatch.setattr(
        PrivacyLedger,
        "intend",
        lambda self, entry, within: entry.server_round == 4 or intend(self, entry, within=within),
    )
    monkeypatch.setattr(
        PrivacyLedger, "commit", lambda self, entry, num_noise_draws: entry.server_round == 4 or commit(
            self, entry, num_noise_draws
        ),
    )  # fmt: skip
    experiment = _experiment(tmp_path)
    with pytest.raises(RuntimeError, match="has 5 steps; its accepted updates took 6"):
        run(experiment, progress=False)
    assert not list(tmp_path.rglob("record.json"))


def test_the_epsilon_is_the_composed_one_and_within_the_target(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path)
    record = run(experiment, progress=False)
    for path in (_folder(experiment, record) / "ledger").iterdir():
        content = read_ledger(path)
        sigma = record.noise_multiplier[content.institution]
        events = [GaussianSteps(sampling_probability=0.25, noise_multiplier=sigma, num_steps=6)]
        assert content.events("federation") == tuple(events)
        assert epsilon(events, delta=1e-4).value <= 4.0
    assert any(line.startswith("not covered: figures on validation and test loans") for line in record.statement_lines)
    assert record.statement is not None
    assert record.statement["worst"]["value"] == epsilon(events, delta=1e-4).value  # type: ignore[index,call-overload]


def test_private_references_are_charged_under_their_own_names(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path, base=SMALL)
    record = run(experiment, progress=False)
    for path in (_folder(experiment, record) / "ledger").iterdir():
        content = read_ledger(path)
        for reference in ("alone", "pooled", "federated_logistic"):
            assert sum(event.num_steps for event in content.events(f"reference.{reference}")) == 6
        assert sum(event.num_steps for event in content.events("reference.one_shot")) == 1
        assert sum(event.num_steps for event in content.events()) == 4 * 6 + 1
    assert any("references of this run released too" in line for line in record.statement_lines)


def test_without_privacy_there_is_no_ledger_and_no_epsilon(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path, "privacy.target_epsilon=inf")
    record = run(experiment, progress=False)
    assert record.statement is None
    assert not (_folder(experiment, record) / "ledger").exists()
    assert any("No privacy" in remark for remark in record.remarks)


def test_a_run_consumes_no_global_generator(tmp_path: Path) -> None:
    import random

    import torch

    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.random.get_rng_state().numpy().tobytes()
    run(_experiment(tmp_path, base=SMALL), progress=False)
    after = random.getstate(), np.random.get_state()[1].tobytes(), torch.random.get_rng_state().numpy().tobytes()
    assert after == before


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path)
    with (
        run_folder(experiment, prepare(experiment).fingerprint).locked(),
        pytest.raises(InputError, match="another process"),
    ):
        run(experiment, progress=False)


def test_a_results_folder_that_cannot_be_made_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="results_dir"):
        run(_experiment(tmp_path / "file"), progress=False)


def test_the_same_from_python(tmp_path: Path) -> None:
    import fedcredit

    record = fedcredit.run("taiwan/loan_level", overrides=[*QUICK, f"results_dir={tmp_path}"], progress=False)
    assert record.name == "taiwan/loan_level"
    assert record.evaluation.overall.auc is not None


@pytest.mark.ray
def test_ray_gives_the_bits_of_inline_on_a_real_table(tmp_path: Path) -> None:
    inline, ray = _experiment(tmp_path), _experiment(tmp_path, "runtime=ray")
    one, other = run(inline, progress=False), run(ray, progress=False)
    assert one.fingerprint == other.fingerprint
    assert _bits(_folder(inline, one)) == _bits(_folder(ray, other))
    assert one.evaluation == other.evaluation
    assert one.statement == other.statement
