"""A run of mode deployed on a real table of 1,000 loans: what it charges, what it keeps, and what it withholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from safetensors.numpy import load_file

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.data.tables import data_checksum
from fedcredit.errors import InputError
from fedcredit.experiment.deployed import KEY_FILE, dataset_ledger_path, ledger_folder, open_accounts
from fedcredit.experiment.files import experiment_yaml, run_folder
from fedcredit.experiment.prepare import lenders, prepare
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.studies import progress_of
from fedcredit.federation.client import LOGGER, answer_evaluate
from fedcredit.federation.protocol import ModelRequest, ProtocolError, write_model_request
from fedcredit.privacy.accounting.ledger import read_ledger
from fedcredit.training import unseeded
from fedcredit.training.contract import LocalOutcome

SMALL = (
    "mode=deployed", "portfolio=german", "partition=natural", "partition.column=purpose", "trainer=vectorised",
    "privacy.target_delta=1e-4", "privacy.target_epsilon=4", "training.num_rounds=3", "evaluation.references=[]",
)  # fmt: skip
NUM_LENDERS = 5

pytestmark = pytest.mark.usefixtures("credit_data")


def experiment_in(folder: Path, *overrides: str) -> Experiment:
    return compose(None, [*SMALL, f"results_dir={folder}", f"ledger_dir={folder.parent / 'ledgers'}", *overrides])


def intents(experiment: Experiment) -> dict[str, int]:
    counts = {}
    for path in ledger_folder(experiment).glob("*/*.jsonl"):
        content = read_ledger(path)
        assert content.mode == "deployed"
        counts[content.institution] = sum(entry.kind == "intent" for entry in content.entries)
    return counts


def weights(experiment: Experiment, record: RunRecord) -> np.ndarray:
    found = load_file(run_folder(experiment, record.fingerprint).path / "weights.safetensors")
    return np.concatenate([array.ravel() for array in found.values()])


def test_runs_add_up_on_the_same_loans_and_no_two_share_their_noise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = experiment_in(tmp_path / "a")
    one = run(first, progress=False, report=False)
    assert one.mode == "deployed"
    assert any("no other run of mode deployed has used exactly these loans" in line for line in one.statement_lines)
    second = experiment_in(tmp_path / "b", "seed=2")
    other = run(second, progress=False, report=False)
    assert any("all 2 runs of mode deployed on these loans together" in line for line in other.statement_lines)
    assert set(intents(first).values()) == {6}
    assert len(intents(first)) == NUM_LENDERS
    again = experiment_in(tmp_path / "c")
    same = run(again, progress=False, report=False)
    assert same.fingerprint == one.fingerprint
    assert not np.array_equal(weights(first, one), weights(again, same))
    assert set(intents(first).values()) == {9}
    for folder in (run_folder(first, one.fingerprint).path, ledger_folder(first)):
        assert main(["ledger", "verify", str(folder)]) == 0
        assert main(["ledger", "show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("at delta 0.0001; unit: loan") == 2
    assert "mode: deployed" in shown


def test_no_figure_on_private_loans_is_in_the_record_and_it_says_why(tmp_path: Path) -> None:
    experiment = experiment_in(tmp_path / "a", "evaluation.references=[alone]")
    record = run(experiment, progress=False)
    folder = run_folder(experiment, record.fingerprint).path
    assert record.evaluation.overall.auc is None
    assert record.evaluation.overall.num_loans == 0
    assert record.own_intercept is None
    assert not record.references
    assert all(told["evaluation"] is None for told in record.rounds)
    assert any("references (alone)" in remark and "no figure on private loans" in remark for remark in record.remarks)
    assert "mode deployed" in (folder / "privacy.md").read_text()
    assert "deployed" in (folder / "report.html").read_text()
    assert main(["show", str(folder)]) == 0


def test_a_server_that_asks_for_an_evaluation_gets_none(tmp_path: Path) -> None:
    prepared = prepare(experiment_in(tmp_path / "a"))
    accounts = open_accounts(prepared, heads={})
    lender = next(iter(lenders(prepared, ledgers=accounts).values()))
    request = ModelRequest(fingerprint=prepared.fingerprint, server_round=1, parameters=prepared.initial)
    with pytest.raises(ProtocolError, match="simulation only"):
        answer_evaluate(lender, write_model_request(request))
    assert lender.sampling is None
    assert lender.noise is None
    for account in accounts.values():
        account.dataset.close()


def test_a_crash_is_charged_in_full_and_a_restart_pays_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, drawn, plain = experiment_in(tmp_path / "a"), [0], unseeded.run_unseeded

    def dies_in_the_second_round(*arguments: object, **named: object) -> LocalOutcome:
        drawn[0] += 1
        if drawn[0] == NUM_LENDERS + 2:
            raise KeyboardInterrupt
        return plain(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(unseeded, "run_unseeded", dies_in_the_second_round)
    with pytest.raises(KeyboardInterrupt):
        run(experiment, progress=False, report=False)
    assert sum(intents(experiment).values()) == NUM_LENDERS + 2 == drawn[0]
    record = run(experiment, progress=False, report=False, resume=False)
    assert sum(intents(experiment).values()) == drawn[0] == NUM_LENDERS + 2 + 3 * NUM_LENDERS
    assert record.statement is not None
    assert record.statement["worst"]["value"] > 4.0  # type: ignore[index, call-overload, operator]


def test_exception_text_of_a_lender_stays_in_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedcredit.federation import server

    secret, replies = "income 48211", []
    experiment = experiment_in(tmp_path / "a")

    def fails(*_: object, **__: object) -> LocalOutcome:
        raise RuntimeError(secret)

    seen = server.FederatedStrategy.aggregate_train

    def watched(self: object, server_round: int, messages: list[Message]) -> object:
        replies.extend(messages)
        return seen(self, server_round, replies)  # type: ignore[arg-type]

    monkeypatch.setattr(unseeded, "run_unseeded", fails)
    monkeypatch.setattr(server.FederatedStrategy, "aggregate_train", watched)
    with pytest.raises(InputError) as caught:
        run(experiment, progress=False, report=False)
    assert len(replies) == NUM_LENDERS
    assert secret not in str(caught.value)
    assert all(secret not in str(reply.error.reason) and not reply.has_content() for reply in replies)
    assert set(intents(experiment).values()) == {1}
    for handler in list(LOGGER.handlers):
        LOGGER.removeHandler(handler)
        handler.close()


def test_a_lost_ledger_or_key_is_refused_and_a_held_one_too(tmp_path: Path) -> None:
    experiment = experiment_in(tmp_path / "a")
    prepared = prepare(experiment)
    accounts = open_accounts(prepared, heads={})
    with pytest.raises(InputError, match="is held by another process"):
        open_accounts(prepared, heads={})
    for account in accounts.values():
        account.dataset.close()
    path, _ = dataset_ledger_path(prepared, prepared.institutions[2])
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match="was there before and is gone"):
        open_accounts(prepared, heads={})
    path.write_bytes(content)
    for account in open_accounts(prepared, heads={}).values():
        account.dataset.close()
    (ledger_folder(experiment) / KEY_FILE).unlink()
    with pytest.raises(InputError, match=r"holds ledgers and no names\.key"):
        prepare(experiment)


def test_nothing_that_leaves_names_private_loans_by_a_plain_hash(tmp_path: Path) -> None:
    one, other = (prepare(experiment_in(tmp_path / name / "a")) for name in ("x", "y"))
    assert one.fingerprint != other.fingerprint
    assert data_checksum(one.portfolio) not in (one.data_checksum, other.data_checksum)


def test_a_study_knows_which_of_its_deployed_arms_have_run(tmp_path: Path) -> None:
    arms = [experiment_in(tmp_path / "a"), experiment_in(tmp_path / "a", "seed=2")]
    assert [told.state for told in progress_of(arms)] == ["missing", "missing"]
    assert not ledger_folder(arms[0]).exists()
    run(arms[0], progress=False, report=False)
    assert [told.state for told in progress_of(arms)] == ["finished", "missing"]


def test_the_name_of_loans_stands_whatever_columns_are_read(tmp_path: Path) -> None:
    one = prepare(experiment_in(tmp_path / "a"))
    other = prepare(experiment_in(tmp_path / "a", "split_seed=5", "privacy.target_epsilon=2", "network.hidden=[3]"))
    assert one.fingerprint != other.fingerprint
    paths = [[dataset_ledger_path(found, lender) for lender in found.institutions] for found in (one, other)]
    assert paths[0] == paths[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("runtime=ray", "runs inline alone"),
        ("partition=iid", "deals loans out anew"),
        ("privacy.target_epsilon=inf", "releases nothing without noise"),
        ("trainer.device=cuda", "on the CPU alone"),
    ],
)
def test_what_deployed_cannot_do_is_refused_by_name(tmp_path: Path, override: str, message: str) -> None:
    base = [word for word in SMALL if not (override == "partition=iid" and word.startswith("partition"))]
    with pytest.raises(InputError, match=message):
        compose(None, [*base, f"results_dir={tmp_path}", override])


def test_simulated_runs_keep_their_fingerprint_whatever_folder_the_ledgers_have(tmp_path: Path) -> None:
    from fedcredit.experiment.fingerprint import fingerprint

    one, other = (
        compose(None, ["portfolio=german", "partition=iid", f"ledger_dir={folder}"]) for folder in ("null", tmp_path)
    )
    assert fingerprint(one, data_checksum="x") == fingerprint(other, data_checksum="x")
    assert experiment_yaml(one) != experiment_yaml(other)
