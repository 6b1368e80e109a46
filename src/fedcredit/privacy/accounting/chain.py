"""Append-only JSON lines, each sealed with the digest of everything before it.

A line is a JSON object whose last member is ``"digest"``: the SHA-256 of the previous line's digest
(64 zeros before the first) followed by the exact bytes of the object without that member. So any
change to any byte of any line but the end of the file shows at its line. Lines cut off at the end
show only against a digest kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedcredit.errors import InputError

GENESIS = "0" * 64
_OPENING = b',"digest":"'
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_SUFFIX = len(_OPENING) + 64 + len(b'"}')


def seal(body: Mapping[str, object], *, previous: str) -> tuple[bytes, str]:
    """Write a line.

    Args:
        body: the members of the line, at least one; JSON values, no infinity.
        previous: digest of the line before, or `GENESIS`.

    Returns:
        The line, with its line feed, and its digest.
    """
    text = _ENCODER.encode(body).encode()
    digest = _digest(previous, text)
    return text[:-1] + _closing(digest) + b"\n", digest


def unseal(data: bytes, *, previous: str, first_line: int, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Read lines and verify them.

    Args:
        data: whole lines.
        previous: digest of the line before the first one, or `GENESIS`.
        first_line: number of the first line in its file, from 1.
        path: the file, for the message.

    Yields:
        Body and digest of each line.

    Raises:
        InputError: naming the first line that is truncated or does not verify.
    """
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], start=first_line):
        text, digest = _opened(line, previous)
        if line[-_SUFFIX:] != _closing(digest):
            raise broken(path, number, "was changed, or lines before it are missing")
        try:
            body = json.loads(text)
        except ValueError as error:
            raise broken(path, number, "is not JSON") from error
        yield body, digest
        previous = digest
    if lines[-1]:
        raise broken(path, first_line + len(lines) - 1, "is cut off")


def is_whole(line: bytes, *, previous: str) -> bool:
    """Say whether bytes are a line that verifies.

    Args:
        line: without a line feed.
        previous: digest of the line before, or `GENESIS`.

    Returns:
        Whether the digest at its end is its own.
    """
    return line[-_SUFFIX:] == _closing(_opened(line, previous)[1])


class BrokenLedgerError(InputError):
    """A ledger that does not verify.

    Attributes:
        line: number of the first line that cannot be trusted, from 1.
    """

    def __init__(self, message: str, *, line: int) -> None:
        """Keep the line's number beside the message."""
        super().__init__(message)
        self.line = line


def broken(path: Path, line: int, what: str) -> BrokenLedgerError:
    """Return the error for a ledger that cannot be trusted.

    Args:
        path: the file.
        line: number of the line, from 1.
        what: what is wrong with it.

    Returns:
        The error, to be raised.
    """
    return BrokenLedgerError(
        f"ledger {path}: line {line} {what}; nothing is priced from a ledger that does not verify. "
        "Restore the file from a copy, or run again into a new results folder",
        line=line,
    )


def _opened(line: bytes, previous: str) -> tuple[bytes, str]:
    """Return the object of a line without its digest, and the digest it should have."""
    text = line[:-_SUFFIX] + b"}"
    return text, _digest(previous, text)


def _closing(digest: str) -> bytes:
    return _OPENING + digest.encode() + b'"}'


def _digest(previous: str, text: bytes) -> str:
    return hashlib.sha256(previous.encode() + text).hexdigest()
