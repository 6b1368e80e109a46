"""Trackers: the real libraries read back what the record says, and no number of the run moves."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedcredit.config import compose
from fedcredit.errors import InputError
from fedcredit.experiment import runner, tracking
from fedcredit.experiment.fingerprint import fingerprint
from fedcredit.experiment.record import RunRecord, as_json
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment

pytestmark = pytest.mark.usefixtures("credit_data")

SMALL = (
    "portfolio=german", "partition=iid", "partition.num_institutions=3", "network=tanh16", "training.num_rounds=4",
    "evaluation.every=2", "evaluation.references=[alone]", "evaluation.sections=[]", "privacy.target_delta=1e-4",
)  # fmt: skip
# MLflow takes seconds a run: one test of it is quick enough for the fast suite, the others are long.
KINDS = (pytest.param("mlflow", marks=pytest.mark.long), "tensorboard")


def experiment(folder: Path, *words: str) -> Experiment:
    return compose(None, [*SMALL, f"results_dir={folder}", *words])


def quick(folder: Path, *words: str) -> RunRecord:
    return run(experiment(folder, *words), progress=False, report=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of trackers for all tests, each with a study of its own: MLflow takes seconds to make a database."""
    return tmp_path_factory.mktemp("store")


def mlflow_runs(folder: Path, study: str) -> tuple[Any, list[Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        logging.getLogger("alembic").setLevel(logging.ERROR)
        client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
        known = client.get_experiment_by_name(study)
        return client, [] if known is None else list(client.search_runs([known.experiment_id]))


def mlflow_history(folder: Path, study: str, name: str) -> list[tuple[int, float]]:
    client, (told,) = mlflow_runs(folder, study)
    return sorted((item.step, item.value) for item in client.get_metric_history(told.info.run_id, name))


def tensorboard_history(folder: Path, study: str, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (place,) = {path.parent for path in (folder / study).rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(place), size_guidance={"scalars": 0})
    events.Reload()
    return [(item.step, item.value) for item in events.Scalars(name)] if name in events.Tags()["scalars"] else []


HISTORY = {"mlflow": mlflow_history, "tensorboard": tensorboard_history}


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_reads_back_every_round_and_the_epsilon_of_the_ledger(
    kind: str, tmp_path: Path, store: Path
) -> None:
    record = quick(tmp_path, f"tracking={kind}", f"tracking.folder={store}", "name=all/run")

    def history(name: str) -> list[tuple[int, float]]:
        return HISTORY[kind](store, "all", name)

    assert record.statement is not None
    worst = record.statement["worst"]["value"]  # type: ignore[index, call-overload]
    evaluated = [told for told in as_json(record)["rounds"] if told["evaluation"] is not None]
    assert history("epsilon/one_lender") == [(4, pytest.approx(worst))]
    assert [step for step, _ in history("epsilon/2_lenders")] == [4]
    assert history("test/auc") == [(4, pytest.approx(record.evaluation.overall.auc))]
    assert history("test_alone/within_auc") == [
        (4, pytest.approx(record.references["alone"].evaluation.overall.within_auc))
    ]
    assert history("validation/auc") == [
        (told["server_round"], pytest.approx(told["evaluation"]["overall"]["auc"])) for told in evaluated
    ]
    assert history("epsilon_at_most") == [
        (told["server_round"], pytest.approx(told["epsilon_spent"])) for told in evaluated
    ]
    assert [step for step, _ in history("update_norm")] == [1, 2, 3, 4]
    assert history("num_asked") == [(step, 3.0) for step in (1, 2, 3, 4)]


def test_mlflow_keeps_the_statement_and_what_the_run_is(tmp_path: Path, store: Path) -> None:
    record = quick(tmp_path, "tracking=mlflow", f"tracking.folder={store}", "name=kept/run", "seed=7")
    _, (told,) = mlflow_runs(store, "kept")
    assert told.info.status == "FINISHED"
    assert told.data.params["seed"] == "7"
    assert told.data.params["privacy.target_epsilon"] == "1.0"
    assert told.data.params["network.hidden.0"] == "16"
    (text,) = (store / "artifacts" / "kept").rglob("privacy_statement.txt")
    assert text.read_text().splitlines() == list(record.statement_lines)
    assert str(tmp_path) not in json.dumps(told.data.params)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_changes_no_number_and_no_name(kind: str, tmp_path: Path, store: Path) -> None:
    plain = quick(tmp_path / "a", "name=same/run")
    told = quick(tmp_path / "b", f"tracking={kind}", f"tracking.folder={store}", "name=same/run")
    assert HISTORY[kind](store, "same", "test/auc") == [(4, pytest.approx(plain.evaluation.overall.auc))]
    assert told.fingerprint == plain.fingerprint
    assert (told.evaluation, told.references, told.statement) == (plain.evaluation, plain.references, plain.statement)
    assert told.ledger_heads == plain.ledger_heads
    names = [fingerprint(experiment(tmp_path, f"tracking={name}"), data_checksum="x") for name in ("none", kind)]
    assert names[0] == names[1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_is_told_once_and_a_finished_one_is_caught_up_with(
    kind: str, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"tracking={kind}", f"tracking.folder={store}", "name=cut/run")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def steps(name: str) -> list[int]:
        return [step for step, _ in HISTORY[kind](store, "cut", name)]

    with monkeypatch.context() as patched:
        patched.setattr(runner, "_measured", die)
        with pytest.raises(KeyboardInterrupt):
            quick(tmp_path, *words)
    assert (steps("update_norm"), steps("test/auc")) == ([1, 2, 3, 4], [])
    for _ in range(2):
        quick(tmp_path, *words)
        assert (steps("update_norm"), steps("test/auc")) == ([1, 2, 3, 4], [4])
    quick(tmp_path, "name=late/run")
    quick(tmp_path, *words[:2], "name=late/run")
    assert [step for step, _ in HISTORY[kind](store, "late", "update_norm")] == [1, 2, 3, 4]
    assert [step for step, _ in HISTORY[kind](store, "late", "test/auc")] == [4]


@pytest.mark.parametrize("kind", ["mlflow", "tensorboard"])
def test_a_missing_library_is_one_message_before_anything_is_on_disk(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == kind else find(name))
    with pytest.raises(InputError, match=rf"tracking is {kind}, and {kind} is not installed; pip install"):
        quick(tmp_path / "results", f"tracking={kind}")
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_fails_costs_a_warning_and_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    record = quick(tmp_path / "results", "tracking=mlflow", f"tracking.folder={tmp_path / 'taken'}")
    assert record.evaluation.overall.auc is not None
    warned = [item.getMessage() for item in caplog.records if "is told no more" in item.getMessage()]
    assert len(warned) == 1


def test_no_figure_on_loans_of_a_deployed_run_is_told(tmp_path: Path) -> None:
    """Even where a record had one: what a tracker is told is chosen by the mode, not by what is there."""
    record = quick(tmp_path)
    deployed = replace(record, mode="deployed")
    names = set(tracking.final_scalars(deployed))
    assert names
    assert all(name.startswith("epsilon/") for name in names)
    told = as_json(record)["rounds"][1]
    assert "validation/auc" in tracking.round_scalars(told, is_open=True)
    closed = tracking.round_scalars(told, is_open=False)
    assert set(closed) == {"num_asked", "num_quarantined", "update_norm", "train_seconds", "epsilon_at_most"}


def test_a_deployed_run_tells_its_rounds_and_its_epsilon_alone(tmp_path: Path) -> None:
    words = [word for word in SMALL if not word.startswith(("partition", "evaluation.references"))]
    natural = ("partition=natural", "partition.column=purpose", "partition.min_loans=60", "evaluation.references=[]")
    asked = compose(None, [*words, *natural, f"results_dir={tmp_path}", "tracking=tensorboard", "mode=deployed"])
    record = run(asked, progress=False, report=False)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (place,) = {path.parent for path in (tmp_path / "tracking").rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(place))
    events.Reload()
    allowed = {"num_asked", "num_quarantined", "update_norm", "train_seconds", "epsilon_at_most", "epsilon/one_lender"}
    assert record.mode == "deployed"
    assert "epsilon/one_lender" in events.Tags()["scalars"]
    assert {name for name in events.Tags()["scalars"] if not name.startswith("epsilon/")} <= allowed
