"""What was spent: one append-only file per lender, and the only source of an epsilon.

A release is written down before the first private gradient (``intent``) and once more when its noise
has been drawn (``commit``). An intent is charged in full whether or not its commit follows. A release
that is intended again, unchanged down to the digest of its inputs, is the same release in simulated
mode (same streams, same bytes) and is free; anything else is charged again.

A commit whose noise draws are not those of its event is a ``fault``: draws beyond the event are
charged on top, and that release is never free again. `book` has the meaning of each line.

Where every line is synced, an intent and a fault are on the disk (fsync) before the call returns; a commit
charges nothing and reaches the disk with the next of these, so losing it is a missing commit. Where lines are
synced in groups, the operating system has each line before the call returns, which survives any crash of the
program, and `settled_head` puts all of them on the disk; nothing made from a release may outlive it, so
whoever keeps a result calls that first. A simulated run does: what a loss of power takes is the tail of a run
that nobody has seen, and the same run repeats the very same releases.

A last line without its line feed is one whose writing never returned, so its release never began: opening
the ledger moves it into a file beside it (`storage`) and says so in the log; reading refuses it.

A run outside simulation is refused here: its charges belong into the one file of its lender and dataset, which
`dataset_ledger` keeps.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

from fedcredit.errors import InputError
from fedcredit.privacy.accounting import storage
from fedcredit.privacy.accounting.book import FORMAT, Book, Entry, Release, charges, intent_body, is_faulty
from fedcredit.privacy.accounting.chain import GENESIS, seal
from fedcredit.privacy.accounting.events import Events, merge
from fedcredit.privacy.accounting.opening import check_end, check_owner, read_book, settled_book
from fedcredit.privacy.cap import SpendingCap

__all__ = [
    "LEDGER_FOLDER",
    "Entry",
    "LedgerContent",
    "NoiseDrawsError",
    "PrivacyLedger",
    "Release",
    "ledger_path",
    "ledgers_in",
    "read_ledger",
]


LEDGER_FOLDER = "ledger"


class NoiseDrawsError(RuntimeError):
    """A release drew noise another number of times than its event says: a defect of the program."""


@dataclass(frozen=True, kw_only=True)
class LedgerContent:
    """Everything a ledger says, as read and verified.

    ``settled`` holds the lines of intents that a commit or fault follows; the first entry is line 2.
    ``fingerprint`` is empty where several runs share the ledger; its entries then name their run, and
    ``dataset`` the loans.
    """

    institution: str
    unit: str
    relation: str
    mode: str
    fingerprint: str
    dataset: str
    entries: tuple[Entry, ...]
    settled: frozenset[int]
    head: str

    def events(self, name: str | None = None) -> Events:
        """Return what was spent; see `PrivacyLedger.events`."""
        return merge(charges(self.entries, name))


@final
class PrivacyLedger:
    """The ledger of one lender in one run folder."""

    def __init__(self, book: Book, *, sync_every_line: bool) -> None:
        """Wrap a verified book; use `PrivacyLedger.open`."""
        self._book = book
        self._sync_every_line = sync_every_line
        self._is_open = True

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        institution: str,
        fingerprint: str,
        mode: str,
        unit: str = "loan",
        relation: str = "zero_out",
        head: str | None = None,
        sync_every_line: bool = True,
    ) -> Self:
        """Open a ledger, or begin one where there is no file.

        Args:
            path: the file.
            institution: the lender's name.
            fingerprint: the experiment's fingerprint.
            mode: ``"simulated"``.
            unit: the privacy unit.
            relation: the neighbouring relation.
            head: a digest this ledger must contain, from a checkpoint or a reply; it shows lines
                that were cut off at the end.
            sync_every_line: whether intents and faults are on the disk when their call returns;
                otherwise `settled_head` puts them there.

        Returns:
            The ledger, with everything in the file verified and on the disk. A torn last line has been
            moved into a file beside it.

        Raises:
            InputError: if the mode is not built, the file does not verify, is another lender's or
                another experiment's, or does not contain ``head``.
        """
        if mode != "simulated":
            raise InputError(
                f"mode is {mode!r}; the ledger of a run folder is for 'simulated' alone: set mode=simulated"
            )
        header = {
            "kind": "header",
            "format": FORMAT,
            "institution": institution,
            "unit": unit,
            "relation": relation,
            "mode": mode,
            "fingerprint": fingerprint,
        }
        if not path.exists():
            storage.begin(path, seal(header, previous=GENESIS)[0])
        book = settled_book(path)
        check_owner(book, header)
        check_end(book, head, is_last=False)
        return cls(book, sync_every_line=sync_every_line)

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the ledger."""
        self.close()

    @property
    def head(self) -> str:
        """The digest of the last line: it stands for the whole ledger."""
        self._book.catch_up()
        return self._book.head

    def intend(self, release: Release, *, within: SpendingCap | None = None) -> None:
        """Charge a release before its first private gradient; its line is written when this returns.

        Args:
            release: what is about to happen. An identical release that is already here is free.
            within: what all releases of this name together may cost.

        Raises:
            InputError: if the release would pass ``within``, which charges nothing, or if the round is here with
                other inputs. Noise is named by name and round, so the two releases would share it and their
                difference would have none.
        """
        self._ready()
        if release in self._book.free:
            return
        if self._book.digests_of.get((release.name, release.server_round), release.digest) != release.digest:
            raise InputError(
                f"ledger {self._book.path}: round {release.server_round} of {release.name!r} is asked for again with "
                "other weights, or by another trainer than before; both answers would carry the same noise. Begin a "
                "run of its own: choose another seed or results_dir"
            )
        if within is not None and not within.permits([*self._book.events(release.name), release.event]):
            raise InputError(
                f"ledger {self._book.path}: round {release.server_round} of {release.name!r} would pass the cap of "
                f"epsilon {within.epsilon:g} at delta {within.delta:g}; raise privacy.epsilon_cap, or take fewer rounds"
            )
        self._book.append(intent_body(release), durable=self._sync_every_line)

    def commit(self, release: Release, num_noise_draws: int) -> None:
        """Note that an intended release has happened.

        Args:
            release: as intended.
            num_noise_draws: how often noise was drawn, as counted by the trainer. Not compared where
                the event has no noise: that costs infinity already.

        Raises:
            NoiseDrawsError: if the release was not intended, or drew noise another number of times
                than its event has steps; draws beyond the event are charged.
        """
        self._ready()
        if release not in self._book.free:
            raise NoiseDrawsError(f"release {release.name!r} of round {release.server_round} was never intended")
        intent = self._book.free[release]
        faulty = is_faulty(release, num_noise_draws)
        if faulty or intent not in self._book.committed:
            kind = "fault" if faulty else "commit"
            body = {"kind": kind, "intent": intent, "num_noise_draws": int(num_noise_draws)}
            self._book.append(body, durable=faulty and self._sync_every_line)
        if faulty:
            raise wrong_draws(release, num_noise_draws)

    def events(self, name: str | None = None, *, through_round: int | None = None) -> Events:
        """Return what was spent, for an accountant to price.

        Args:
            name: one kind of release, or None for all of them.
            through_round: the last round that counts, to say what had been spent by then; None for all of them.

        Returns:
            Merged events: every intent in full, and noise draws beyond an intent.
        """
        self._book.catch_up()
        return self._book.events(name, through_round=through_round)

    def check_holds(self, head: str) -> None:
        """Refuse a ledger that lost lines which something kept elsewhere knows of.

        Args:
            head: a digest that was the ledger's head when that was kept.

        Raises:
            BrokenLedgerError: if no line has it.
        """
        self._book.catch_up()
        check_end(self._book, head, is_last=False)

    def settled_head(self) -> str:
        """Return `head` when all lines up to it are on the disk, so that it may be kept elsewhere."""
        head = self.head
        storage.make_durable(self._book.path)
        return head

    def close(self) -> None:
        """Allow no more releases."""
        self._is_open = False

    def _ready(self) -> None:
        if not self._is_open:
            raise ValueError(f"ledger {self._book.path} is closed")
        self._book.catch_up()


def wrong_draws(release: Release, num_noise_draws: int) -> NoiseDrawsError:
    """Return the error for a release that drew noise another number of times than intended.

    Args:
        release: as intended.
        num_noise_draws: how often noise was drawn.

    Returns:
        The error, to be raised.
    """
    return NoiseDrawsError(
        f"release {release.name!r} of round {release.server_round} drew noise {num_noise_draws} times; "
        f"its event has {release.event.num_steps} steps"
    )


def read_ledger(path: Path, *, head: str | None = None, is_last: bool = False) -> LedgerContent:
    """Read and verify a ledger.

    Args:
        path: the file.
        head: a digest that the ledger must hold, kept elsewhere when the run wrote it.
        is_last: whether that must be the digest of the last line.

    Returns:
        Its content.

    Raises:
        BrokenLedgerError: if the file does not verify or does not end as it must, with the line's number.
        InputError: if there is no such file.
    """
    if not path.is_file():
        raise InputError(f"ledger {path}: there is no such file; name the ledger of a run's results folder")
    book = read_book(path)
    check_end(book, head, is_last=is_last)
    names = ("institution", "unit", "relation", "mode", "fingerprint", "dataset")
    return LedgerContent(
        entries=tuple(book.entries),
        settled=frozenset(book.committed),
        head=book.head,
        **{key: str(book.header.get(key, "")) for key in names},
    )


def ledger_path(folder: Path, institution: str) -> Path:
    """Name a lender's ledger file, whatever characters the lender's name has.

    Args:
        folder: the run's ledger folder.
        institution: the lender's name.

    Returns:
        The path: a readable part, and eight hexadecimal digits that keep names apart.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", institution.lower()).strip("-")[:40]
    return folder / f"{readable}-{hashlib.sha256(institution.encode()).hexdigest()[:8]}.jsonl"


def ledgers_in(folder: Path) -> list[Path]:
    """List the ledgers of a results folder.

    Args:
        folder: the results folder.

    Returns:
        The files that are there, sorted.
    """
    return sorted((folder / LEDGER_FOLDER).glob("*.jsonl"))
