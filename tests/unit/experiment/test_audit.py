from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.experiment import audit as audit_module
from fedcredit.experiment import audit_claims
from fedcredit.experiment.audit import Audit, audit
from fedcredit.experiment.audit_claims import (
    CHARGED,
    PLANNED,
    accepted_rounds,
    charged_claims,
    disagreements,
    planned_claims,
)
from fedcredit.experiment.audit_view import audit_json, claim_lines, write_audit
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.record import read_record, write_record
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment
from fedcredit.privacy.auditing.verdict import CONTRADICTED, POWERLESS
from fedcredit.training.trainers import trainer

SMALL = (
    "portfolio=german",
    "partition=iid",
    "network=tanh16",
    "partition.num_institutions=3",
    "privacy.target_delta=1e-5",
    "privacy.target_epsilon=2",
    "training.num_rounds=12",
    "evaluation.every=12",
    "evaluation.references=[]",
)


def experiment(*overrides: str) -> Experiment:
    return compose(None, [*SMALL, *overrides])


def quick_audit(chosen: Experiment) -> Audit:
    return audit(planned_claims(chosen), experiment=chosen, num_canaries=100, confidence=0.95, seed=3)


@pytest.mark.usefixtures("credit_data")
def test_lenders_with_one_plan_are_audited_once_and_others_apart() -> None:
    common = planned_claims(experiment())
    assert [len(claim.lenders) for claim in common] == [3]
    assert (common[0].basis, common[0].num_steps) == (PLANNED, 12)
    apart = planned_claims(experiment("training/local=epochs"))
    assert sorted(name for claim in apart for name in claim.lenders) == sorted(common[0].lenders)
    assert len({claim.events for claim in apart}) == len(apart)


@pytest.mark.usefixtures("credit_data")
def test_finished_run_is_audited_against_what_its_ledger_was_charged(tmp_path: Path) -> None:
    record = run(experiment(f"results_dir={tmp_path}"), progress=False)
    folder = next(tmp_path.rglob("record.json")).parent
    claims = charged_claims(read_record(folder), folder)
    planned = planned_claims(experiment())
    assert [claim.basis for claim in claims] == [CHARGED]
    assert [(c.lenders, c.events, c.settings) for c in claims] == [(c.lenders, c.events, c.settings) for c in planned]
    assert run_folder(experiment(f"results_dir={tmp_path}"), record.fingerprint).path == folder
    assert main(["audit", str(folder), "seed=2"]) == 2
    assert disagreements(read_record(folder), folder) == ()
    halved = replace(record, noise_multiplier={name: m / 2 for name, m in record.noise_multiplier.items()})
    assert [c.settings.noise_multiplier for c in charged_claims(halved, folder)] == list(
        {multiplier / 2 for multiplier in record.noise_multiplier.values()}
    )
    write_record(halved, folder)
    told = disagreements(read_record(folder), folder)
    assert len(told) == len(record.contracts)
    assert "its ledger was charged for" in told[0]
    assert main(["audit", str(folder), "--canaries", "20", "--folder", f"{tmp_path}-halved"]) == 1
    write_record(record, folder)
    assert main(["audit", str(folder), "--canaries", "40"]) == 0
    assert sorted(path.name for path in (tmp_path / "audits").rglob("audit.*")) == ["audit.json", "audit.png"]


@pytest.mark.usefixtures("credit_data")
def test_borrowers_who_share_a_norm_are_audited_with_the_noise_of_the_whole_norm() -> None:
    words = ("portfolio=sba", "partition=natural", "partition.column=Bank", "privacy=borrower_level")
    chosen = compose(None, [*words, "privacy.target_delta=1e-4", "training.num_rounds=4", "evaluation.references=[]"])
    claims = planned_claims(chosen)
    for claim in claims:
        [event] = claim.events
        assert claim.loans_in_sample == 2
        assert claim.settings.clipping_norm == chosen.privacy.clipping_norm / 2
        assert claim.settings.noise_multiplier == 2 * event.noise_multiplier


@pytest.mark.usefixtures("credit_data")
@pytest.mark.parametrize(
    "fewer",
    [
        ("strategy/cohort=fraction", "strategy.cohort.fraction=.5", "partition.num_institutions=6"),
        ("privacy.target_epsilon=null", "privacy.noise_multiplier=3", "privacy.epsilon_cap=1"),
    ],
)
def test_a_finished_run_is_audited_for_the_rounds_it_did_by_its_record_and_none_is_planned_again(
    tmp_path: Path, fewer: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = experiment(f"results_dir={tmp_path}", "trainer=vectorised", *fewer)
    record = run(chosen, progress=False, report=False)
    folder = run_folder(chosen, record.fingerprint).path

    def planned_again(*_: object, **__: object) -> NoReturn:
        raise AssertionError("noise was planned again")

    monkeypatch.setattr(audit_claims, "agree", planned_again)
    monkeypatch.setattr(audit_claims, "training_releases", planned_again)
    claims = charged_claims(record, folder)
    rounds = accepted_rounds(record)
    assert 0 < min(rounds.values()) < 12
    for claim in claims:
        assert {rounds[name] for name in claim.lenders} == {claim.num_steps}
        assert sum(event.num_steps for event in claim.events) == claim.num_steps
    halved = replace(record, noise_multiplier={name: m / 2 for name, m in record.noise_multiplier.items()})
    assert {claim.settings.noise_multiplier for claim in charged_claims(halved, folder)} == set(
        halved.noise_multiplier.values()
    )


@pytest.mark.usefixtures("credit_data")
def test_noise_is_drawn_as_often_as_steps_are_claimed_and_the_same_seed_repeats_the_audit() -> None:
    chosen = experiment()
    first, again = quick_audit(chosen), quick_audit(chosen)
    assert audit_json(first) == audit_json(again)
    assert first.audited[0].num_noise_draws == 12


@pytest.mark.usefixtures("credit_data")
def test_contradiction_ends_the_command_with_exit_code_1_and_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_noise(kind: str, *, device: str) -> object:
        honest = trainer("vectorised")

        @functools.wraps(honest)
        def local_round(*arguments: object, settings: object, streams: object) -> object:
            silent = replace(settings, noise_multiplier=0.0)  # type: ignore[type-var]
            return honest(*arguments, settings=silent, streams=streams)  # type: ignore[arg-type]

        return local_round

    monkeypatch.setattr(audit_module, "trainer", without_noise)
    words = ["audit", *SMALL, f"--folder={tmp_path}", "--canaries=400"]
    assert main(words) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{CONTRADICTED} the claim is refuted" in shown
    assert "noise drawn 0 times" in shown
    assert main([*words, "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads((tmp_path / "audit.json").read_text())
    assert content["is_contradicted"] is True
    claim = content["claims"][0]
    assert claim["verdict"] == CONTRADICTED
    assert claim["epsilon_audited"] > claim["claimed_epsilon"]
    assert {bound["method"] for bound in claim["bounds"]} == {
        "f-DP in one run", "Clopper-Pearson", "Steinke et al. 2023"
    }  # fmt: skip


@pytest.mark.usefixtures("credit_data")
def test_ceiling_below_the_claim_is_said(tmp_path: Path) -> None:
    chosen = experiment("privacy.target_epsilon=8")
    found = audit(planned_claims(chosen), experiment=chosen, num_canaries=20, confidence=0.95, seed=3)
    assert found.audited[0].findings.verdict == POWERLESS
    assert not found.is_contradicted
    text = "\n".join(claim_lines(found.audited[0]))
    assert "claim: epsilon 8.000 at delta 1e-05, planned for the whole run" in text
    assert "could not have refuted above" in text
    assert write_audit(found, tmp_path / "new").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--canaries=19"], "canaries is 19; allowed is 20 to 20,000"),
        (["--confidence=1"], "confidence is 1; allowed is above 0 and below 1"),
        (["--seed=-1"], "seed is -1"),
        (["privacy.target_epsilon=inf"], "claims no finite epsilon, so there is nothing to audit"),
    ],
)
@pytest.mark.usefixtures("credit_data")
def test_what_cannot_be_audited_is_one_message(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *SMALL, *words]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_folder_without_a_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(tmp_path)]) == 2
    assert "is no folder of one finished run" in capsys.readouterr().err
