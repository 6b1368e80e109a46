"""Download a known public table once, verify it, and keep it in a folder."""

from __future__ import annotations

import http.client
import os
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fedcredit.data.checksum import canonical_checksum
from fedcredit.data.sources import Source

Report = Callable[[str, int, int], None]

_TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 65536
_MAX_BYTES = 256 * 2**20


class DownloadError(Exception):
    """Why no address gave the table: one line per address."""


def download(name: str, source: Source, folder: Path, *, progress: Report | None = None) -> Path:
    """Fetch a table from the first of its addresses that holds the known content.

    The file appears under its name only when it is whole and verified; nothing else is touched.

    Args:
        name: the table's name, for the progress bar.
        source: addresses, converter and checksum.
        folder: where the parquet file is to be.
        progress: told the table, the bytes done and the bytes there are (0 if unknown); without it
            a bar is drawn on the terminal.

    Returns:
        The parquet file.

    Raises:
        DownloadError: if no address gave it, with each one's reason.
    """
    reasons = []
    with _shown(progress) as report:
        for address in source.addresses:
            try:
                raw = _fetch(address, name, report)
                table = source.convert(raw)
            except (OSError, http.client.HTTPException, DownloadError) as error:
                reasons.append(f"{address}: {_reason(error)}")
            except (pa.ArrowException, KeyError, ValueError, IndexError):
                reasons.append(f"{address}: the file there ({len(raw)} bytes) is not the table it should be")
            else:
                found = verified_checksum(table, source)
                if found == source.checksum:
                    return _keep(table, folder / source.file_name)
                reasons.append(f"{address}: checksum {found[:12]}... instead of {source.checksum[:12]}...")
    raise DownloadError("\n".join(reasons))


def verified_checksum(table: pa.Table, source: Source) -> str:
    """Hash the columns of a table that its source vouches for.

    Args:
        table: the table.
        source: what it should be.

    Returns:
        The canonical checksum without the unverified columns.
    """
    return canonical_checksum(table.drop_columns([name for name in source.unverified if name in table.column_names]))


def _fetch(address: str, name: str, report: Report) -> bytes:
    if not address.startswith(("https://", "http://")):
        raise DownloadError("only http and https addresses are fetched")
    request = urllib.request.Request(address, headers={"User-Agent": "fedcredit"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as reply:
        total = int(reply.headers.get("Content-Length") or 0)
        chunks: list[bytes] = []
        done = 0
        report(name, 0, total)
        while chunk := reply.read(_CHUNK_BYTES):
            chunks.append(chunk)
            done += len(chunk)
            report(name, done, total)
            if done > _MAX_BYTES:
                raise DownloadError(f"more than {_MAX_BYTES} bytes; this is not the table")
    if total and done < total:
        raise DownloadError(f"cut short after {done} of {total} bytes")
    return b"".join(chunks)


def _reason(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError():
            return f"the server answers {error.code} {error.reason}"
        case urllib.error.URLError():
            return f"cannot be reached ({error.reason})"
        case http.client.IncompleteRead():
            return f"cut short after {len(error.partial)} bytes"
        case socket.timeout():
            return f"no answer within {_TIMEOUT_SECONDS:g} seconds"
    return str(error) or type(error).__name__


def _keep(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


@contextmanager
def _shown(progress: Report | None) -> Iterator[Report]:
    if progress is not None:
        yield progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("downloading {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total or None)

        yield report
