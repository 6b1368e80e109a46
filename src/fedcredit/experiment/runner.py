"""The whole story of a run: prepare, train, account, evaluate, remember.

One experiment in, one results folder out. A finished folder is never written again: asked twice, the
second answer is read back. An unfinished folder goes on from the last round it kept; because every draw
is named by the experiment, releases after that come again as they were, and the ledger knows them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import JsonValue

from fedcredit.errors import InputError
from fedcredit.experiment.charged_ranges import charging
from fedcredit.experiment.deployed import DEPLOYED, open_accounts, withheld
from fedcredit.experiment.display import RunDisplay
from fedcredit.experiment.environment import environment
from fedcredit.experiment.files import EXPERIMENT_FILE, RunFolder, experiment_yaml, run_folder
from fedcredit.experiment.ledger_heads import current_heads, kept_heads, with_heads
from fedcredit.experiment.measure import Measured, measure, nothing_measured
from fedcredit.experiment.prepare import Prepared, lenders, open_ledgers, prepare, server_noise
from fedcredit.experiment.promise import beyond_the_run, check_that_updates_were_charged, promised
from fedcredit.experiment.rare import few_defaults, training_defaults
from fedcredit.experiment.record import RunRecord, read_record, remedy, to_jsonable, write_record
from fedcredit.experiment.remarks import remarks
from fedcredit.experiment.resume import forget, last_snapshot, owner_of
from fedcredit.experiment.rivals import check_rivals
from fedcredit.experiment.spec import Experiment, RayRuntime
from fedcredit.experiment.tracking import Tracking, check_tracking, tracked
from fedcredit.experiment.wording import epsilon_text
from fedcredit.federation.server import FederationResult, RoundRecord, federate
from fedcredit.federation.snapshot import Snapshot
from fedcredit.model.network import to_arrays
from fedcredit.privacy.accounting.accountants import quick_epsilon
from fedcredit.privacy.accounting.events import merge
from fedcredit.privacy.accounting.ledger import PrivacyLedger
from fedcredit.privacy.accounting.releases import AS_ROUNDS_GO_BY
from fedcredit.privacy.accounting.run_ledger import RunLedger
from fedcredit.privacy.accounting.statement_wording import statement_lines
from fedcredit.training.trainers import computed_by, trainer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Ledgers = Mapping[str, RunLedger]
OnRound = Callable[[RoundRecord], None]
_SYNCS_A_RUN = 4
_FIT = ("num_loans", "auc", "log_loss", "mean_pd", "bad_rate")


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """What training left: the result, the rounds as they were told, and the lenders' open ledgers."""

    result: FederationResult
    rounds: tuple[RoundRecord, ...]


def run(experiment: Experiment, *, progress: bool = True, report: bool = True, resume: bool = True) -> RunRecord:
    """Run an experiment, or read back the record of an equal one that has finished.

    Args:
        experiment: the experiment.
        progress: whether to draw a progress display on standard error.
        report: whether to draw the run's pictures and its page, which costs about a CPU-second. An arm
            of a sweep can go without: ``report.report_of`` makes them from the record at any later time.
        resume: whether an interrupted run goes on from the last round it kept; otherwise it begins again at
            round 1. Either way it ends in the same bits.

    Returns:
        The record; its folder is ``files.run_folder(experiment, record.fingerprint)``.

    Raises:
        InputError: for a mistake in the experiment, its schema, its table or its results folder.
    """
    started = time.perf_counter()
    check_tracking(experiment)
    if experiment.trainer.device != "cpu":
        trainer(experiment.trainer.kind, device=experiment.trainer.device)
    with RunDisplay(enabled=progress) as display:
        prepared = prepare(experiment, progress=display.stage, charge=charging)
        seconds = {"prepare": time.perf_counter() - started}
        folder = run_folder(experiment, prepared.fingerprint)
        with folder.locked(), ExitStack() as stack:
            tracking = stack.enter_context(tracked(experiment, prepared.fingerprint))
            if folder.is_finished:
                record = _read_back(folder, report=report)
                tracking.catch_up(record)
                return record
            check_rivals(experiment)
            ledgers = _open(prepared, folder)
            for ledger in ledgers.values():
                stack.enter_context(ledger)
            if not resume:
                forget(folder.path)
            start = last_snapshot(prepared, folder.path, ledgers)
            _begin(folder, prepared)
            tracking.begin()
            trained = _train(prepared, folder, ledgers, display, start, tracking)
            seconds["train"] = time.perf_counter() - started - seconds["prepare"]
            measured = _measured(prepared, trained, ledgers, display)
            seconds["total"] = time.perf_counter() - started
            record = _record(prepared, trained, measured, ledgers, seconds)
            _finish(folder, prepared, trained, record, report=report)
            tracking.end(record)
    return record


def _open(prepared: Prepared, folder: RunFolder) -> Ledgers:
    heads = kept_heads(folder.path)
    if prepared.experiment.mode == DEPLOYED:
        return open_accounts(prepared, heads=heads)
    return open_ledgers(prepared, folder=folder.path, heads=heads)


def _measured(prepared: Prepared, trained: _Trained, ledgers: Ledgers, display: RunDisplay) -> Measured:
    seeded = {name: ledger for name, ledger in ledgers.items() if isinstance(ledger, PrivacyLedger)}
    if prepared.experiment.mode == DEPLOYED:
        return nothing_measured(prepared)
    done = replace(prepared, plan=prepared.plan.through(prepared.num_rounds))
    return measure(done, trained.result.parameters, ledgers=seeded, progress=display.stage)


def _read_back(folder: RunFolder, *, report: bool) -> RunRecord:
    try:
        record = read_record(folder.path)
    except InputError as error:
        raise InputError(f"{error}; nothing was changed: {remedy(folder.path)}") from error
    if report:
        from fedcredit.experiment.report import report_of

        report_of(record, folder.path)
    return record


def _begin(folder: RunFolder, prepared: Prepared) -> None:
    folder.write_text(EXPERIMENT_FILE, experiment_yaml(prepared.experiment))
    folder.start_rounds()


def _train(
    prepared: Prepared,
    folder: RunFolder,
    ledgers: Ledgers,
    display: RunDisplay,
    start: Snapshot | None,
    tracking: Tracking,
) -> _Trained:
    rounds: list[RoundRecord] = []
    num_rounds = prepared.num_rounds

    def on_round(told: RoundRecord) -> None:
        spent = _spent(prepared, ledgers, told.server_round) if told.evaluation is not None else None
        done = replace(told, epsilon_spent=spent)
        rounds.append(done)
        is_kept = done.server_round % max(1, num_rounds // _SYNCS_A_RUN) == 0
        folder.append_round(with_heads(_plain(done), ledgers) if is_kept else _plain(done))
        tracking.round(_plain(done))
        display.stage("rounds", done.server_round, num_rounds)
        if done.evaluation is not None:
            display.note("rounds", _note(done, prepared))

    display.stage("rounds", 0, num_rounds)
    for told in () if start is None else start.rounds:
        on_round(told)
    result = _federation(prepared, folder, ledgers, on_round, start)
    return _Trained(result=result, rounds=tuple(rounds))


def _federation(
    prepared: Prepared, folder: RunFolder, ledgers: Ledgers, on_round: OnRound, start: Snapshot | None
) -> FederationResult:
    owner = owner_of(prepared)
    if isinstance(prepared.experiment.runtime, RayRuntime):
        from fedcredit.federation.runtimes.ray import run_ray

        return run_ray(prepared.experiment, folder=folder.path, on_round=on_round, owner=owner, start=start)
    from fedcredit.federation.checkpoint import Checkpoints
    from fedcredit.federation.client import keep_lender_log
    from fedcredit.federation.runtimes.inline import run_inline

    keep_lender_log(folder.path / "lenders.log")
    return run_inline(
        lenders(prepared, ledgers=ledgers),
        lambda grid: federate(
            grid,
            experiment=prepared.experiment,
            fingerprint=prepared.fingerprint,
            contracts=prepared.contracts,
            network=prepared.network,
            initial=prepared.initial,
            noise_multiplier=prepared.plan.noise_multiplier,
            on_round=on_round,
            start=start,
            keep=Checkpoints(folder.path, owner),
            num_rounds=prepared.num_rounds,
            server_noise=server_noise(prepared, ledgers=ledgers),
        ),
    )


def _spent(prepared: Prepared, ledgers: Ledgers, server_round: int) -> float | None:
    """Price what the ledgers say of the rounds so far, and of the ranges before them, by the quick upper bound.

    It is that of the worst-off lender.
    """
    delta = prepared.experiment.privacy.target_delta
    spent = [
        merge(event for name in AS_ROUNDS_GO_BY for event in ledger.events(name, through_round=server_round))
        for ledger in ledgers.values()
    ]
    bounds = [quick_epsilon(events, delta=delta).value for events in spent]
    return max(bounds) if bounds else None


def _note(done: RoundRecord, prepared: Prepared) -> str:
    fit = done.evaluation.overall if done.evaluation is not None else None
    parts = []
    if fit is not None and fit.log_loss is not None:
        parts.append(f"loss {fit.log_loss:.4f}")
    if fit is not None and fit.auc is not None:
        parts.append(f"validation AUC {fit.auc:.4f}")
    parts.append("no privacy" if done.epsilon_spent is None else f"epsilon at most {epsilon_text(done.epsilon_spent)}")
    if prepared.stop is not None and done.server_round == prepared.stop.after_round:
        parts.append(f"stopped by the cap, {prepared.experiment.training.num_rounds} rounds were planned")
    return "  ".join(parts)


def _record(
    prepared: Prepared, trained: _Trained, measured: Measured, ledgers: Ledgers, seconds: dict[str, float]
) -> RunRecord:
    experiment = prepared.experiment
    check_that_updates_were_charged(prepared, trained.rounds, ledgers)
    statement = promised(prepared, ledgers) if ledgers else None
    lines = [] if statement is None else [*statement_lines(statement), *beyond_the_run(prepared, ledgers, statement)]
    stopped = None if prepared.stop is None else prepared.stop.reason
    if stopped is not None:
        lines.insert(0, stopped)
    counts = training_defaults(prepared)
    return RunRecord(
        name=experiment.name,
        fingerprint=prepared.fingerprint,
        mode=experiment.mode,
        experiment=experiment.model_dump(mode="json"),
        contracts=prepared.contracts.contracts,
        noise_multiplier=dict(prepared.plan.noise_multiplier),
        statement=None if statement is None else statement.to_json(),
        statement_lines=tuple(lines),
        ledger_heads=current_heads(ledgers),
        stopped=stopped,
        charged=measured.charged,
        rounds=tuple(_plain(done) for done in trained.rounds),
        evaluation=measured.evaluation,
        own_intercept=measured.own_intercept,
        references=measured.references,
        truth=measured.truth,
        windows=measured.windows,
        shock=measured.shock,
        review=measured.review,
        training_defaults=counts,
        rings=measured.rings,
        remarks=(
            *withheld(experiment),
            *few_defaults(counts),
            *remarks(experiment, row_norm_cap=prepared.portfolio.schema.row_norm_cap),
        ),
        seconds=seconds,
        environment={
            **environment(),
            "trainer": computed_by(experiment.trainer.kind, prepared.network),
            "data_checksum": prepared.data_checksum,
        },
    )


def _finish(folder: RunFolder, prepared: Prepared, trained: _Trained, record: RunRecord, *, report: bool) -> None:
    """Write what is remembered; the record comes last and closes the folder."""
    from fedcredit.experiment.kept_model import write_model
    from fedcredit.experiment.privacy_page import PRIVACY_FILE, privacy_page

    folder.write_weights(to_arrays(prepared.network, trained.result.parameters))
    write_model(folder, prepared)
    folder.write_table("rounds.parquet", _round_rows(trained.rounds))
    folder.write_table("institutions.parquet", _institution_rows(record))
    folder.write_json("environment.json", dict(record.environment))
    folder.write_text(PRIVACY_FILE, privacy_page(record))
    if report:
        from fedcredit.experiment.report import write_report

        write_report(record, folder.path)
    write_record(record, folder.path)
    forget(folder.path)


def _round_rows(rounds: Sequence[RoundRecord]) -> list[dict[str, object]]:
    rows = []
    for told in rounds:
        fit = _flat(told.evaluation.overall) if told.evaluation is not None else dict.fromkeys(_FIT)
        rows.append(
            {
                "server_round": told.server_round,
                "num_asked": len(told.cohort),
                "num_quarantined": len(told.quarantined),
                "update_norm": told.update_norm,
                "train_seconds": told.train_seconds,
                "epsilon_spent": told.epsilon_spent,
                **{f"validation_{key}": fit[key] for key in _FIT},
            }
        )
    return rows


def _institution_rows(record: RunRecord) -> list[dict[str, object]]:
    return [
        {
            **_flat(contract),
            "noise_multiplier": record.noise_multiplier.get(contract.institution, 0.0),
            **{f"test_{key}": value for key, value in _flat(figures).items()},
        }
        for contract in record.contracts
        for figures in [record.evaluation.institutions[contract.institution]]
    ]


def _flat(value: DataclassInstance) -> dict[str, object]:
    """Keep the plain fields of a dataclass."""
    return {key: item for key, item in _plain(value).items() if not isinstance(item, list | dict)}


def _plain(value: DataclassInstance) -> dict[str, JsonValue]:
    plain = to_jsonable(value)
    assert isinstance(plain, dict)
    return plain
