"""What mode deployed keeps outside of a run: each lender's ledger of its loans, and the names of these loans.

A ledger is found by the loans it is about, so runs, restarts and other experiments on them meet in one file. Loans
are named by a keyed hash of borrower keys and outcomes, in any order: other columns, encodings and settings do
not begin another ledger. The key is drawn once and stays beside the ledgers, because a plain hash of private loans
lets anybody who knows all but one of them test guesses of the last; digests of a ledger leave a lender.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedcredit.data.institution import Institution
from fedcredit.data.portfolio import Portfolio
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.wording import epsilon_text
from fedcredit.privacy.accounting.dataset_ledger import DatasetLedger
from fedcredit.privacy.accounting.ledger import ledger_path, read_ledger
from fedcredit.privacy.accounting.run_ledger import RunAccount
from fedcredit.privacy.accounting.statement import worst_epsilon

if TYPE_CHECKING:
    from fedcredit.experiment.prepare import Prepared

DEPLOYED = "deployed"
KEY_FILE = "names.key"
SEEDS = "seed and split_seed name public draws alone (initial weights, cohorts, split); sampling and noise have no seed"
_KEY_BYTES = 32
_DIGITS = 16


def ledger_folder(experiment: Experiment) -> Path:
    """Return where the ledgers of mode deployed are: ``ledger_dir``, or ``ledgers`` in the results folder.

    Args:
        experiment: the experiment.

    Returns:
        The folder; nothing is made on disk.
    """
    given = experiment.ledger_dir
    return Path(experiment.results_dir) / "ledgers" if given is None else Path(given)


def keyed_name(folder: Path, content: bytes) -> str:
    """Name private content so that nobody without the lenders' folder can test a guess of it.

    Args:
        folder: the folder of the ledgers; its key is drawn when it is first needed.
        content: what is named.

    Returns:
        HMAC-SHA256 as 64 hexadecimal digits.

    Raises:
        InputError: if the folder holds ledgers and its key is gone, or it cannot be written.
    """
    return hmac.new(_key(folder), content, hashlib.sha256).hexdigest()


def checksum_name(experiment: Experiment, checksum: str, *, begin: bool = True) -> str:
    """Name a table for the fingerprint, which the server knows; a deployed one so that no guess of it can be tested.

    Args:
        experiment: the experiment.
        checksum: of its loans.
        begin: whether the key of mode deployed is drawn where there is none; otherwise no run has a name yet.

    Returns:
        The checksum itself in other modes, and where no run has a name.

    Raises:
        InputError: as `keyed_name`.
    """
    folder = ledger_folder(experiment)
    if experiment.mode != DEPLOYED or not (begin or (folder / KEY_FILE).exists()):
        return checksum
    return keyed_name(folder, checksum.encode())


def dataset_of(folder: Path, institution: Institution, portfolio: Portfolio) -> str:
    """Name the loans of a lender, all parts of them.

    Args:
        folder: the folder of the ledgers.
        institution: the lender.
        portfolio: where its loans are.

    Returns:
        The name, from borrower keys and outcomes.

    Raises:
        InputError: as `keyed_name`.
    """
    rows = np.concatenate([part.rows for part in (institution.train, institution.validation, institution.test)])
    keys, outcomes = portfolio.borrower[rows].tolist(), portfolio.default[rows].tolist()
    loans = sorted(f"{key}={int(outcome)}" for key, outcome in zip(keys, outcomes, strict=True))
    return keyed_name(folder, "\n".join(loans).encode())


def open_accounts(prepared: Prepared, *, heads: Mapping[str, str]) -> dict[str, RunAccount]:
    """Open the ledger of each lender and its loans, for this process alone; a first use begins it.

    Args:
        prepared: the prepared experiment.
        heads: by lender, a digest that its ledger must hold.

    Returns:
        This run's accounts by lender; the caller closes them.

    Raises:
        InputError: if another process holds a ledger, one was there before and is gone, or one does not verify.
    """
    opened: dict[str, RunAccount] = {}
    try:
        for institution in prepared.institutions:
            path, dataset = dataset_ledger_path(prepared, institution)
            ledger = _opened(path, prepared, institution.name, dataset, heads.get(institution.name))
            opened[institution.name] = RunAccount(
                ledger, fingerprint=prepared.fingerprint, target_delta=prepared.plan.target_delta
            )
    except BaseException:
        for account in opened.values():
            account.dataset.close()
        raise
    return opened


def dataset_ledger_path(prepared: Prepared, institution: Institution) -> tuple[Path, str]:
    """Return the ledger file of a lender's loans, and their name.

    Args:
        prepared: the prepared experiment.
        institution: the lender.

    Returns:
        The file, which need not be there, and the name.
    """
    folder = ledger_folder(prepared.experiment)
    dataset = dataset_of(folder, institution, prepared.portfolio)
    return ledger_path(folder / dataset[:_DIGITS], institution.name), dataset


def dataset_lines(accounts: Mapping[str, RunAccount], *, delta: float) -> list[str]:
    """Say what all runs together have spent of the loans that this run used.

    Args:
        accounts: this run's accounts by lender.
        delta: the run's.

    Returns:
        Lines of a statement.
    """
    spent = {name: account.dataset.events() for name, account in accounts.items()}
    runs = {run for account in accounts.values() for run in account.dataset.runs}
    total = worst_epsilon(spent, delta=delta).value
    return [
        f"all {len(runs)} runs of mode deployed on these loans together, crashed ones too: epsilon "
        f"{epsilon_text(total)} for a borrower with one loan at one lender, at delta {delta:g}"
        if len(runs) > 1
        else f"no other run of mode deployed has used exactly these loans; with every attempt of this one: epsilon "
        f"{epsilon_text(total)} at delta {delta:g}",
        *_other_tables(accounts, delta),
    ]


def _other_tables(accounts: Mapping[str, RunAccount], delta: float) -> list[str]:
    """Tell of the same lenders' ledgers of other loans: a table with one loan more or less has its own."""
    paths = {name: account.dataset.path for name, account in accounts.items()}
    others = {name: sorted({*path.parent.parent.glob(f"*/{path.name}")} - {path}) for name, path in paths.items()}
    count = sum(map(len, others.values()))
    if not count:
        return []
    beside = f"{count} more ledger{'s' * (count > 1)} of the same lenders, of other versions of their tables"
    try:
        spent = {
            name: (*accounts[name].dataset.events(), *(event for path in own for event in read_ledger(path).events()))
            for name, own in others.items()
        }
    except InputError:
        return [f"{beside}, and one of them cannot be read: a loan that was in those too has spent more than is said"]
    total = epsilon_text(worst_epsilon(spent, delta=delta).value)
    return [f"{beside}; for a loan that was in all of them: epsilon {total} at one lender, at delta {delta:g}"]


def withheld(experiment: Experiment) -> tuple[str, ...]:
    """Say which figures a run of mode deployed does not have, and why.

    Args:
        experiment: the experiment.

    Returns:
        Full sentences; none in other modes.
    """
    if experiment.mode != DEPLOYED:
        return ()
    asked = [f"references ({', '.join(experiment.evaluation.references)})"] if experiment.evaluation.references else []
    asked += ["own intercepts"] if experiment.evaluation.own_intercept else []
    also = f" For the same reason there are no {' and no '.join(asked)}, which evaluation asks for." if asked else ""
    return (
        "No AUC, loss, calibration or bad rate: in mode deployed no figure on private loans leaves a lender, because "
        f"no release is charged for one. Score a public hold-out with weights.safetensors.{also}",
        f"Mode deployed, in one process on one machine: {SEEDS}. A round that is asked for again is charged again.",
    )


def _opened(path: Path, prepared: Prepared, institution: str, dataset: str, head: str | None) -> DatasetLedger:
    known = path.with_name(f"{path.name}.known")
    if not path.exists() and (known.exists() or head is not None):
        raise InputError(
            f"ledger {path}: it was there before and is gone, so what was spent on the loans of {institution} is not "
            "known; restore it from a copy"
        )
    privacy = prepared.experiment.privacy
    ledger = DatasetLedger.open(
        path, institution=institution, dataset=dataset, unit=privacy.privacy_unit,
        relation=privacy.neighboring_relation, begin=not path.exists(), head=head,
    )  # fmt: skip
    known.touch()
    return ledger


def _key(folder: Path) -> bytes:
    path = folder / KEY_FILE
    if not path.exists():
        if any(folder.glob("*/*.jsonl")):
            raise InputError(
                f"ledger_dir: {folder} holds ledgers and no {KEY_FILE}, so they cannot be matched with loans; restore "
                "that file from a copy"
            )
        _draw_key(path)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise InputError(f"{path} has {len(key)} bytes instead of {_KEY_BYTES}; restore that file from a copy")
    return key


def _draw_key(path: Path) -> None:
    """Write a new key whole and durable; a process that was quicker is not overwritten."""
    unfinished = path.with_name(f".{KEY_FILE}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise InputError(
            f"ledger_dir: {path.parent} cannot be written ({error.strerror}); name another folder"
        ) from error
    try:
        os.write(handle, os.urandom(_KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    with suppress(FileExistsError):
        os.link(unfinished, path)
    unfinished.unlink()
