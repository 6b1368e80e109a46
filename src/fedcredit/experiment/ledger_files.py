"""The ledgers of a place on disk, and whether they verify against themselves and against what is known elsewhere.

A place is a results folder or one ledger file. A results folder knows more: which lenders must have a
ledger, whose run it is, at which delta it promises, and the digest that each ledger must end with, or at least hold.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcredit.data.strict_yaml import read_yaml
from fedcredit.errors import InputError
from fedcredit.experiment.deployed import DEPLOYED, KEY_FILE, ledger_folder
from fedcredit.experiment.ledger_heads import kept_heads
from fedcredit.experiment.record import RECORD_FILE, RunRecord, read_record, remedy
from fedcredit.experiment.validate import experiment_from_data
from fedcredit.experiment.wording import statement_of
from fedcredit.privacy.accounting.accountants import Epsilon
from fedcredit.privacy.accounting.chain import BrokenLedgerError, broken
from fedcredit.privacy.accounting.ledger import LEDGER_FOLDER, LedgerContent, ledger_path, ledgers_in, read_ledger
from fedcredit.privacy.accounting.parts import dearest_epsilon

LOGGER = logging.getLogger("fedcredit.ledger")
EXPERIMENT_FILE = "experiment.yaml"
_SAME_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class LedgerFile:
    """A ledger file and what is known of it from elsewhere; ``None`` where nothing is.

    Attributes:
        path: the file.
        institution: whose it must be.
        fingerprint: of which experiment it must be.
        head: a digest that it must hold.
        is_last: whether that must be the digest of its last line.
        epsilon: what the run's record states for this lender.
        target_delta: at which delta the run promises.
    """

    path: Path
    institution: str | None = None
    fingerprint: str | None = None
    head: str | None = None
    is_last: bool = False
    epsilon: Epsilon | None = None
    target_delta: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What verifying one ledger came to; ``line`` is the first bad one, ``None`` for a sound ledger."""

    line: int | None
    text: str

    @property
    def is_sound(self) -> bool:
        """Whether every line verifies and the ledger ends as it must."""
        return self.line is None


def ledger_files(place: Path) -> list[LedgerFile]:
    """Find the ledgers of a place.

    Args:
        place: a results folder, its ledger folder, or a ledger file.

    Returns:
        The files, also such as a finished run must have and that are not there.

    Raises:
        InputError: if there is no ledger, or the run has none because it is not private.
    """
    if place.is_file():
        run = place.parent.parent if place.parent.name == LEDGER_FOLDER else None
        return [LedgerFile(path=place, target_delta=None if run is None else _told_delta(run))]
    folder = place.parent if place.name == LEDGER_FOLDER else place
    record = _record_of(folder)
    if record is not None:
        return files_of_a_record(folder, record)
    heads = {ledger_path(folder / LEDGER_FOLDER, name): head for name, head in kept_heads(folder).items()}
    paths = sorted({*ledgers_in(folder), *heads})
    if not paths and (place / KEY_FILE).is_file():
        paths = sorted(place.glob("*/*.jsonl"))
    if not paths:
        raise InputError(f"there is no ledger in {place}; name a results folder of a private run, or a ledger file")
    delta = _told_delta(folder)
    return [LedgerFile(path=path, head=heads.get(path), target_delta=delta) for path in paths]


def verify_ledgers(files: Sequence[LedgerFile]) -> list[Verdict]:
    """Verify ledgers against themselves and against what is known of them from elsewhere.

    Args:
        files: from `ledger_files`.

    Returns:
        One verdict for each.
    """
    return [_verdict(file) for file in files]


def read_ledgers(files: Sequence[LedgerFile]) -> list[LedgerContent]:
    """Read ledgers, none of them unverified.

    Args:
        files: from `ledger_files`.

    Returns:
        Their contents.

    Raises:
        InputError: for the first that does not verify, with the line's number.
    """
    return [_read(file) for file in files]


def files_of_a_record(folder: Path, record: RunRecord) -> list[LedgerFile]:
    """Name the ledgers of a run, and what they must hold.

    Args:
        folder: its results folder.
        record: what it remembers.

    Returns:
        The files, also such as must be there and are not.

    Raises:
        InputError: if the run promises no privacy.
    """
    statement = statement_of(record)
    if record.mode == DEPLOYED:
        return _files_of_datasets(record, target_delta=None if statement is None else statement.target_delta)
    if statement is None:
        raise InputError(f"{folder}: this run promises no privacy, so it has no ledger; name that of a private run")
    expected = [
        LedgerFile(
            path=ledger_path(folder / LEDGER_FOLDER, name),
            institution=name,
            fingerprint=record.fingerprint,
            head=record.ledger_heads.get(name),
            is_last=True,
            epsilon=stated,
            target_delta=statement.target_delta,
        )
        for name, stated in statement.per_lender.items()
    ]
    known = {file.path for file in expected}
    strangers = [path for path in ledgers_in(folder) if path not in known]
    return [*expected, *(LedgerFile(path=path, institution="no lender of this run") for path in strangers)]


def _record_of(folder: Path) -> RunRecord | None:
    """Return the record beside ledgers; one that cannot be read is said so, and the ledgers stand for themselves."""
    if not (folder / RECORD_FILE).is_file():
        return None
    try:
        return read_record(folder)
    except InputError as error:
        LOGGER.warning("%s; the ledgers are read without it; %s", error, remedy(folder))
        return None


def _told_delta(folder: Path) -> float | None:
    """Return the delta at which the run of a folder promises, from its own description; None where it tells none."""
    if not (folder / EXPERIMENT_FILE).is_file():
        return None
    try:
        return float(read_yaml(folder / EXPERIMENT_FILE, what="description of a run")["privacy"]["target_delta"])
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _files_of_datasets(record: RunRecord, *, target_delta: float | None) -> list[LedgerFile]:
    """Find, by the digest that each must hold, the ledgers that a deployed run shares with other runs."""
    folder = ledger_folder(experiment_from_data(record.experiment))
    files = []
    for name, head in sorted(record.ledger_heads.items()):
        file_name = ledger_path(folder, name).name
        candidates = sorted(folder.glob(f"*/{file_name}")) or [folder / "missing" / file_name]
        holders = [path for path in candidates if path.is_file() and head.encode() in path.read_bytes()]
        files.append(
            LedgerFile(path=(holders or candidates)[0], institution=name, head=head, target_delta=target_delta)
        )
    return files


def _verdict(file: LedgerFile) -> Verdict:
    try:
        content = _read(file)
    except BrokenLedgerError as error:
        return Verdict(line=error.line, text=f"bad: {error}")
    end = "" if file.head else "; lines cut off at its end would show only beside the run's own record"
    return Verdict(line=None, text=f"sound: ledger {file.path}: {len(content.entries) + 1} lines{end}")


def _read(file: LedgerFile) -> LedgerContent:
    if not file.path.is_file():
        raise broken(file.path, 1, "is missing: there is no such file")
    content = read_ledger(file.path, head=file.head, is_last=file.is_last)
    for what, expected in (("institution", file.institution), ("fingerprint", file.fingerprint)):
        found = getattr(content, what)
        if expected is not None and found != expected:
            raise broken(file.path, 1, f"is of {what} {found!r} and not of {expected!r}")
    if file.epsilon is not None:
        _check_epsilon(file.path, content, file.epsilon)
    return content


def _check_epsilon(path: Path, content: LedgerContent, stated: Epsilon) -> None:
    spent = dearest_epsilon(content.events, delta=stated.target_delta).value
    if not math.isclose(spent, stated.value, rel_tol=_SAME_EPSILON, abs_tol=_SAME_EPSILON) and spent != stated.value:
        line = len(content.entries) + 1
        raise broken(path, line, f"ends a ledger of epsilon {spent:g}; the run's record states {stated.value:g}")
