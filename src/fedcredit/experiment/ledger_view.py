"""Ledgers on disk as a reader wants them: verified, priced in a table, or exported line by line.

A place is a results folder or one ledger file. A results folder knows more: which lenders must have a
ledger, whose run it is, and the digest that each ledger must end with, or at least hold.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import InputError
from fedcredit.experiment.deployed import DEPLOYED, KEY_FILE, ledger_folder
from fedcredit.experiment.ledger_heads import kept_heads
from fedcredit.experiment.record import RECORD_FILE, RunRecord, read_record, remedy
from fedcredit.experiment.validate import experiment_from_data
from fedcredit.experiment.wording import Table, epsilon_text, readable, statement_of
from fedcredit.privacy.accounting.accountants import Epsilon, epsilon
from fedcredit.privacy.accounting.chain import BrokenLedgerError, broken
from fedcredit.privacy.accounting.events import Event, Events, rows_of
from fedcredit.privacy.accounting.ledger import LEDGER_FOLDER, LedgerContent, ledger_path, ledgers_in, read_ledger
from fedcredit.privacy.accounting.parts import dearest_epsilon
from fedcredit.privacy.accounting.releases import RELEASES

LOGGER = logging.getLogger("fedcredit.ledger")
EXPORT_FORMAT = "fedcredit/ledger-export/1"
_SAME_EPSILON = 1e-6
_DEFAULT_DELTA = 1e-6


@dataclass(frozen=True, kw_only=True)
class LedgerFile:
    """A ledger file and what is known of it from elsewhere; ``None`` where nothing is.

    Attributes:
        path: the file.
        institution: whose it must be.
        fingerprint: of which experiment it must be.
        head: a digest that it must hold.
        is_last: whether that must be the digest of its last line.
        epsilon: what the run's record states for this lender, and at which delta.
    """

    path: Path
    institution: str | None = None
    fingerprint: str | None = None
    head: str | None = None
    is_last: bool = False
    epsilon: Epsilon | None = None


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
        return [LedgerFile(path=place)]
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
    return [LedgerFile(path=path, head=heads.get(path)) for path in paths]


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


def show_table(place: Path, *, delta: float | None = None) -> Table:
    """Price the ledgers of a place.

    Args:
        place: as for `ledger_files`.
        delta: above 0 and below 1; by default that of the run, or 1e-6 for a ledger file.

    Returns:
        The table of `spending_table`.

    Raises:
        InputError: if a ledger does not verify, or ``delta`` is outside its range.
    """
    files = ledger_files(place)
    stated = next((file.epsilon.target_delta for file in files if file.epsilon is not None), _DEFAULT_DELTA)
    wanted = stated if delta is None else delta
    if not 0.0 < wanted < 1.0:
        raise InputError(f"delta is {wanted:g}; allowed is above 0 and below 1")
    return spending_table(read_ledgers(files), delta=wanted)


def spending_table(ledgers: Sequence[LedgerContent], *, delta: float) -> Table:
    """Price ledgers: one row for each release of each lender, and one for all of them together.

    Args:
        ledgers: verified contents, at least one.
        delta: above 0 and below 1.

    Returns:
        The table.
    """
    rows = []
    for ledger in ledgers:
        present = [name for name in RELEASES if any(entry.release.name == name for entry in ledger.entries)]
        for name in [*present, *([None] if len(present) != 1 else [])]:
            rows.append(_spending_row(ledger, name, delta))
    return Table(
        title="What the ledgers say",
        headings=("lender", "release", "intents", "uncommitted", "faults", "steps: rate x noise", "epsilon", "by"),
        num_labels=2,
        rows=tuple(rows),
        notes=_notes(ledgers, delta),
    )


def export_csv(ledgers: Sequence[LedgerContent]) -> str:
    """Write ledgers as comma-separated values, one line of a ledger a row.

    Args:
        ledgers: verified contents.

    Returns:
        The text, with a header.
    """
    rows = [{"institution": ledger.institution, **row} for ledger in ledgers for row in _rows(ledger)]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["institution"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def export_json(ledgers: Sequence[LedgerContent]) -> str:
    """Write ledgers as JSON.

    Args:
        ledgers: verified contents.

    Returns:
        The text: a format, and each ledger with its header, entries, merged events and head.
    """
    content = {
        "format": EXPORT_FORMAT,
        "ledgers": [
            {
                "institution": ledger.institution,
                "unit": ledger.unit,
                "relation": ledger.relation,
                "mode": ledger.mode,
                "fingerprint": ledger.fingerprint,
                "dataset": ledger.dataset,
                "head": ledger.head,
                "spent": [_event(event) for event in ledger.events()],
                "entries": list(_rows(ledger)),
            }
            for ledger in ledgers
        ],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _record_of(folder: Path) -> RunRecord | None:
    """Return the record beside ledgers; one that cannot be read is said so, and the ledgers stand for themselves."""
    if not (folder / RECORD_FILE).is_file():
        return None
    try:
        return read_record(folder)
    except InputError as error:
        LOGGER.warning("%s; the ledgers are read without it; %s", error, remedy(folder))
        return None


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
        return _files_of_datasets(record)
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
        )
        for name, stated in statement.per_lender.items()
    ]
    known = {file.path for file in expected}
    strangers = [path for path in ledgers_in(folder) if path not in known]
    return [*expected, *(LedgerFile(path=path, institution="no lender of this run") for path in strangers)]


def _files_of_datasets(record: RunRecord) -> list[LedgerFile]:
    """Find, by the digest that each must hold, the ledgers that a deployed run shares with other runs."""
    folder = ledger_folder(experiment_from_data(record.experiment))
    files = []
    for name, head in sorted(record.ledger_heads.items()):
        file_name = ledger_path(folder, name).name
        candidates = sorted(folder.glob(f"*/{file_name}")) or [folder / "missing" / file_name]
        holders = [path for path in candidates if path.is_file() and head.encode() in path.read_bytes()]
        files.append(LedgerFile(path=(holders or candidates)[0], institution=name, head=head))
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


def _spending_row(ledger: LedgerContent, name: str | None, delta: float) -> tuple[str, ...]:
    lines = {n: e for n, e in enumerate(ledger.entries, start=2) if name is None or e.release.name == name}
    kinds = [entry.kind for entry in lines.values()]
    price = epsilon(ledger.events(name), delta=delta)
    return (
        readable(ledger.institution),
        "all of them" if name is None else name,
        f"{kinds.count('intent'):,}",
        f"{sum(entry.kind == 'intent' and line not in ledger.settled for line, entry in lines.items()):,}",
        f"{kinds.count('fault'):,}",
        _events_text(ledger.events(name)),
        epsilon_text(price.value),
        price.accountant,
    )


def _events_text(events: Events) -> str:
    return (
        "; ".join(
            f"{e.num_steps}: {e.sampling_probability:.4g} x {e.noise_multiplier:.4g}"
            + (f", {rows_of(e)} rows of one borrower" if rows_of(e) > 1 else "")
            for e in events
        )
        or "none"
    )


def _notes(ledgers: Sequence[LedgerContent], delta: float) -> tuple[str, ...]:
    def said(what: str) -> str:
        return " and ".join(sorted({str(getattr(ledger, what)) for ledger in ledgers}))

    runs = {(entry.fingerprint or ledger.fingerprint)[:16] for ledger in ledgers for entry in ledger.entries}
    return (
        f"Upper bounds at delta {delta:g}; unit: {said('unit')}; relation: {said('relation')}; mode: {said('mode')}.",
        f"Runs: {', '.join(sorted(runs))}.",
        "Every intent is charged in full, committed or not; steps add up over intents and over draws beyond them.",
    )


def _rows(ledger: LedgerContent) -> Iterator[dict[str, object]]:
    for line, entry in enumerate(ledger.entries, start=2):
        yield {
            "fingerprint": entry.fingerprint or ledger.fingerprint,
            "line": line,
            "kind": entry.kind,
            "release": entry.release.name,
            "server_round": entry.release.server_round,
            **_event(entry.release.event),
            "release_digest": entry.release.digest,
            "num_noise_draws": entry.num_noise_draws,
        }


def _event(event: Event) -> dict[str, float | int]:
    return {
        "sampling_probability": event.sampling_probability,
        "noise_multiplier": event.noise_multiplier,
        "num_steps": event.num_steps,
        "max_rows": rows_of(event),
    }
