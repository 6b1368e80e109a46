"""Opening a ledger: read and verify it, put right what a crash left, and check whose it is and how it ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fedcredit.errors import InputError
from fedcredit.privacy.accounting import storage
from fedcredit.privacy.accounting.book import Book
from fedcredit.privacy.accounting.chain import GENESIS, broken, is_whole

LOGGER = logging.getLogger("fedcredit.ledger")
_MAX_READINGS = 5


def read_book(path: Path) -> Book:
    """Read and verify a ledger.

    Args:
        path: the file, which exists.

    Returns:
        Its lines.

    Raises:
        BrokenLedgerError: if it is empty or does not verify, with the line's number.
    """
    book = Book(path)
    book.absorb(path.read_bytes())
    if not book.digests:
        raise broken(path, 1, "is missing: the file is empty")
    return book


def check_end(book: Book, head: str | None, *, is_last: bool) -> None:
    """Check a ledger against a digest that was kept elsewhere.

    Args:
        book: its lines.
        head: the digest; ``None`` checks nothing.
        is_last: whether it must be that of the last line, and not only of some line.

    Raises:
        BrokenLedgerError: naming the line where the ledger ends too early, or goes on.
    """
    if head is None or head == GENESIS:
        return
    if head not in book.digests:
        raise broken(book.path, len(book.digests), "is not the end of the ledger that the run had written")
    if is_last and head != book.head:
        raise broken(book.path, book.digests.index(head) + 2, "was added after the run had finished")


def settled_book(path: Path) -> Book:
    """Read a ledger that is to be written on: all that was read is durable, and a torn last line is set aside.

    Args:
        path: the file, which exists.

    Returns:
        Its lines.

    Raises:
        BrokenLedgerError: if it does not verify, with the line's number.
        InputError: if another process keeps writing to it.
    """
    for _ in range(_MAX_READINGS):
        with suppress(storage.CollisionError):
            return _settled_once(path)
    raise InputError(f"ledger {path} is being written by another process; wait for it, or give another results_dir")


def _settled_once(path: Path) -> Book:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    book = Book(path)
    book.absorb(data[:whole])
    if not book.digests:
        raise broken(path, 1, "is cut off" if data else "is missing: the file is empty")
    if data[whole:]:
        _settle_rest(book, data[whole:])
    storage.make_durable(path)
    return book


def _settle_rest(book: Book, rest: bytes) -> None:
    line, size = len(book.digests) + 1, book.size + len(rest)
    if is_whole(rest, previous=book.head):
        storage.complete(book.path, size=size)
        book.absorb(rest + b"\n")
        return
    if is_whole(rest[:-1], previous=book.head):
        raise broken(book.path, line, "was changed: it is whole but ends in another byte than a line feed")
    kept = storage.set_aside(book.path, start=book.size, size=size)
    LOGGER.warning(
        "ledger %s: line %d is torn, so its writing never returned and its release never began; %d bytes moved to %s",
        book.path, line, len(rest), kept.name,
    )  # fmt: skip


def check_owner(book: Book, header: Mapping[str, object]) -> None:
    """Check whose ledger it is.

    Args:
        book: its lines.
        header: what its header must say.

    Raises:
        InputError: naming the first entry that differs.
    """
    for key, expected in header.items():
        if book.header.get(key) != expected:
            raise InputError(
                f"ledger {book.path}: {key} is {book.header.get(key)!r}, this run has {expected!r}; "
                "a ledger belongs to one lender in one run: choose another results folder"
            )
