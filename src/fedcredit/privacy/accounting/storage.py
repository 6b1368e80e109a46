"""How the lines of a ledger reach the disk, and what an interrupted write leaves there.

A line is written by one call at the end of the file, with the file locked, and is on the disk when
`append` returns (where it was asked to be). If writing or fsync fails, the file is put back as it was.

So bytes after the last line feed are a line whose `append` never returned: what it was to announce never
began. `settle` moves such a rest out of the ledger into a file beside it. A rest that holds a whole line is
not cut: without its line feed it gets one, and with other bytes behind it the file was tampered with.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class CollisionError(RuntimeError):
    """Another process wrote to a ledger between this one's reading and writing."""


def begin(path: Path, line: bytes) -> None:
    """Create a file whole and durable; a process that was quicker is not overwritten.

    Args:
        path: the file; its folder is made.
        line: its first line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        try:
            _write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    _sync_folder(path.parent)


def append(path: Path, line: bytes, *, size: int, durable: bool) -> None:
    """Write a line at the end of a file, or leave the file as it was.

    Args:
        path: the file.
        line: the line, with its line feed.
        size: how large the file is, as far as the caller has read it.
        durable: whether the line must be on the disk, with all before it, when this returns.

    Raises:
        CollisionError: if the file has another size.
        OSError: if the line cannot be written; nothing of it is left.
    """
    with _held(path, os.O_WRONLY | os.O_APPEND) as handle:
        if os.fstat(handle).st_size != size:
            raise CollisionError(f"{path} has {os.fstat(handle).st_size} bytes; {size} were read")
        try:
            _write(handle, line)
            if durable:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise


def make_durable(path: Path) -> None:
    """Return when all that was written to a file is on the disk.

    Args:
        path: the file.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_durably(path: Path, content: bytes) -> None:
    """Write a file whole under another name, put it on the disk, and rename it over the one before.

    Args:
        path: the file; its folder exists.
        content: its new content.

    Raises:
        OSError: if it cannot be written; the file is as it was, and nothing is left beside it.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        try:
            _write(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def complete(path: Path, *, size: int) -> None:
    """Give a whole last line the line feed it lacks.

    Args:
        path: the file.
        size: its size.
    """
    append(path, b"\n", size=size, durable=True)


def set_aside(path: Path, *, start: int, size: int) -> Path:
    """Move what follows the last whole line into a file beside the ledger.

    Args:
        path: the ledger.
        start: where the rest begins.
        size: the size of the ledger.

    Returns:
        The file with the rest; its name holds the start and a digest.

    Raises:
        CollisionError: if the ledger has another size.
    """
    with _held(path, os.O_RDWR) as handle:
        if os.fstat(handle).st_size != size:
            raise CollisionError(f"{path} has {os.fstat(handle).st_size} bytes; {size} were read")
        rest = os.pread(handle, size - start, start)
        kept = path.with_name(f"{path.name}.torn-{start}-{hashlib.sha256(rest).hexdigest()[:8]}")
        if not kept.exists():
            begin(kept, rest)
        os.ftruncate(handle, start)
        os.fsync(handle)
    return kept


@contextmanager
def _held(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, flags)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
