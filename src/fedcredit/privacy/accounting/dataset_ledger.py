"""One ledger for a lender and a dataset, where all runs, restarts and experiments add up.

It is what a deployment needs and a simulation does not: one process at a time holds the file for as long as it
is open; nothing is ever free, because fresh noise makes a repeated release a new one; every intent is on the
disk before its call returns; and a ledger that is not there is refused, because a lost file would forget what
was spent. A missing commit is charged in full like any other intent. A run charges it through `run_ledger`.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self, final

from fedcredit.errors import InputError
from fedcredit.privacy.accounting import storage
from fedcredit.privacy.accounting.book import FORMAT, Book, Release, charges, intent_body, is_faulty
from fedcredit.privacy.accounting.chain import GENESIS, seal
from fedcredit.privacy.accounting.events import Events, merge
from fedcredit.privacy.accounting.ledger import wrong_draws
from fedcredit.privacy.accounting.opening import check_end, check_owner, settled_book


@final
class DatasetLedger:
    """All that was ever released about one dataset of one lender."""

    def __init__(self, book: Book, lock: int) -> None:
        """Wrap a verified book and the handle that holds its lock; use `DatasetLedger.open`."""
        self._book = book
        self._lock: int | None = lock

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        institution: str,
        dataset: str,
        unit: str = "loan",
        relation: str = "zero_out",
        begin: bool = False,
        head: str | None = None,
    ) -> Self:
        """Open the ledger of a dataset for this process alone.

        Args:
            path: the file; a lock file stands beside it.
            institution: the lender's name.
            dataset: what names the loans for good, such as their checksum.
            unit: the privacy unit.
            relation: the neighbouring relation.
            begin: for the first use of a dataset alone: the file must not be there yet.
            head: a digest this ledger must hold, kept elsewhere.

        Returns:
            The ledger, with everything in the file verified and on the disk.

        Raises:
            InputError: if another process holds it, the file is missing (or there, with ``begin``), does not
                verify, is of another lender or dataset, or does not hold ``head``.
        """
        header = {
            "kind": "header",
            "format": FORMAT,
            "institution": institution,
            "unit": unit,
            "relation": relation,
            "mode": "deployed",
            "dataset": dataset,
        }
        _check_presence(path, begin=begin)
        lock = _locked(path)
        try:
            _check_presence(path, begin=begin)
            if begin:
                storage.begin(path, seal(header, previous=GENESIS)[0])
            book = settled_book(path)
            check_owner(book, header)
            check_end(book, head, is_last=False)
        except BaseException:
            os.close(lock)
            raise
        return cls(book, lock)

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the ledger."""
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._book.path

    @property
    def head(self) -> str:
        """The digest of the last line: it stands for the whole ledger."""
        return self._book.head

    def intend(self, release: Release, *, fingerprint: str, target_delta: float | None = None) -> int:
        """Charge a release before its first private gradient; the line is on the disk on return.

        Args:
            release: what is about to happen. It is charged whatever was charged before.
            fingerprint: the run's.
            target_delta: at which delta that run promises, to be told to readers; it changes no charge.

        Returns:
            The line of the intent, for `commit`.
        """
        self._ready()
        promised = {} if target_delta is None else {"target_delta": target_delta}
        self._book.append({**intent_body(release), "fingerprint": fingerprint, **promised}, durable=True)
        return len(self._book.digests)

    def commit(self, intent: int, num_noise_draws: int) -> None:
        """Note that an intended release has happened.

        Args:
            intent: its line.
            num_noise_draws: how often noise was drawn.

        Raises:
            ValueError: if that line is no intent, or was committed before.
            NoiseDrawsError: if noise was drawn another number of times than the event has steps; draws
                beyond the event are charged.
        """
        self._ready()
        entries = self._book.entries
        if not 2 <= intent < len(entries) + 2 or entries[intent - 2].kind != "intent" or intent in self._book.committed:
            raise ValueError(f"line {intent} of ledger {self._book.path} is not an intent that waits for its commit")
        release = entries[intent - 2].release
        faulty = is_faulty(release, num_noise_draws)
        body = {"kind": "fault" if faulty else "commit", "intent": intent, "num_noise_draws": int(num_noise_draws)}
        self._book.append(body, durable=True)
        if faulty:
            raise wrong_draws(release, num_noise_draws)

    @property
    def runs(self) -> frozenset[str]:
        """The fingerprints of all runs that were charged."""
        return frozenset(entry.fingerprint for entry in self._book.entries if entry.fingerprint is not None)

    def check_holds(self, head: str) -> None:
        """Refuse a ledger that lost lines which something kept elsewhere knows of.

        Args:
            head: a digest that was the ledger's head when that was kept.

        Raises:
            BrokenLedgerError: if no line has it.
        """
        check_end(self._book, head, is_last=False)

    def events(
        self, *, fingerprint: str | None = None, name: str | None = None, through_round: int | None = None
    ) -> Events:
        """Return what was spent on this dataset, for an accountant to price.

        Args:
            fingerprint: one run alone; ``None`` for all runs together, which is what the loans have paid.
            name: one kind of release; ``None`` for all of them.
            through_round: leave out later rounds; ``None`` leaves out none.

        Returns:
            Merged events.
        """
        entries = (
            entry
            for entry in self._book.entries
            if fingerprint in (None, entry.fingerprint)
            and (through_round is None or entry.release.server_round <= through_round)
        )
        return merge(charges(entries, name))

    def close(self) -> None:
        """Allow no more releases, and let another process have the ledger."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def _ready(self) -> None:
        if self._lock is None:
            raise ValueError(f"ledger {self._book.path} is closed")
        self._book.catch_up()


def _locked(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise InputError(
            f"ledger {path} is held by another process; one run at a time may charge a dataset: wait for it to end"
        ) from error
    return lock


def _check_presence(path: Path, *, begin: bool) -> None:
    if begin and path.exists():
        raise InputError(f"ledger {path} is there already; begin=True is for the first use of a dataset: leave it out")
    if not begin and not path.exists():
        raise InputError(
            f"ledger {path}: there is no such file, so what was spent on this dataset is not known; restore it from a "
            "copy. begin=True begins one, for a dataset that was never used"
        )
