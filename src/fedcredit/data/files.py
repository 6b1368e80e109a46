"""Strict readers of csv and parquet files: every mistake is one message without a cell."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fedcredit.errors import InputError

_MAX_LOANS = 50_000_000
_MAX_PARQUET_BYTES = 16 * 2**30
_MAX_COLUMNS = 10_000
_BLOCK_BYTES = 16 * 2**20
_DISGUISES = {
    b"\x1f\x8b": "gzip data; unpack it first",
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it or save it as csv first",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet; save it as csv first",
    b"PAR1": "a parquet file; write kind: parquet",
    b"BZh": "bzip2 data; unpack it first",
    b"\xfd7zXZ": "xz data; unpack it first",
    b"\x28\xb5\x2f\xfd": "zstandard data; unpack it first",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


def read_csv(path: Path) -> pa.Table:
    """Read a comma-separated file with a header line; cells stay as the bytes they are.

    Quotes, quoted newlines, CRLF and a UTF-8 byte-order mark are understood. An empty cell is a
    missing one; every other text is kept for ``portfolio`` to judge.

    Args:
        path: the file.

    Returns:
        A table of binary columns.

    Raises:
        InputError: for a file that is no such table, with counts and line numbers only.
    """
    first = _head(path, "csv")
    if b"\0" in first:
        raise InputError(f"csv file {path}: holds NUL bytes, so it is not text; save it as UTF-8 csv")
    names = _csv_header(path)
    table, skipped = _csv_rows(path, names)
    if skipped:
        where = "" if skipped[0] is None else f", the first in row {skipped[0]} (the header is row 1)"
        raise InputError(f"csv file {path}: {len(skipped)} rows do not have the header's {len(names)} fields{where}")
    return table


def _csv_rows(path: Path, names: list[str]) -> tuple[pa.Table, list[int | None]]:
    """Read the rows that fit the header, and note the places of those that do not."""
    skipped: list[int | None] = []

    def skip(row: pacsv.InvalidRow) -> str:
        skipped.append(row.number)
        return "skip"

    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.large_binary()), null_values=[""], strings_can_be_null=True
    )
    try:
        table = pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
            convert_options=convert,
        )
    except (pa.ArrowException, UnicodeDecodeError):
        raise InputError(
            f"csv file {path}: cannot be read as comma-separated text; look for an unclosed quote or a field of "
            f"more than {_BLOCK_BYTES} bytes"
        ) from None
    return table, skipped


def _csv_header(path: Path) -> list[str]:
    """Return the header's names; the first block alone is parsed, without its rows being looked at."""
    try:
        with pacsv.open_csv(
            path,
            read_options=pacsv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda _: "skip"),
            convert_options=pacsv.ConvertOptions(check_utf8=False),
        ) as reader:
            names = list(reader.schema.names)
    except (pa.ArrowException, UnicodeDecodeError):
        raise InputError(
            f"csv file {path}: has no readable header line; it must be UTF-8 text with comma-separated column names"
        ) from None
    if len(names) > _MAX_COLUMNS:
        raise InputError(f"csv file {path}: has {len(names)} columns; at most {_MAX_COLUMNS} are read")
    return names


def read_parquet(path: Path) -> pa.Table:
    """Read a parquet file of plain columns.

    Args:
        path: the file.

    Returns:
        The table.

    Raises:
        InputError: for a file that is damaged, nested, or far larger than a loan table.
    """
    _head(path, "parquet")
    try:
        with pq.ParquetFile(path) as file:
            _check_parquet(path, file)
            return file.read()
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise InputError(f"parquet file {path}: is damaged, cut short or not parquet; write it again") from None


def _check_parquet(path: Path, file: pq.ParquetFile) -> None:
    meta = file.metadata
    size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    if meta.num_rows > _MAX_LOANS or size > _MAX_PARQUET_BYTES or meta.num_columns > _MAX_COLUMNS:
        raise InputError(
            f"parquet file {path}: {meta.num_rows} rows, {meta.num_columns} columns and {size} bytes unpacked; at most "
            f"{_MAX_LOANS} rows, {_MAX_COLUMNS} columns and {_MAX_PARQUET_BYTES} bytes are read"
        )
    nested = [field.name for field in file.schema_arrow if pa.types.is_nested(field.type)]
    if nested:
        raise InputError(f"parquet file {path}: {_columns(nested)} nested values; one plain value per loan is needed")


def _columns(names: list[str]) -> str:
    return f"column {names[0]} holds" if len(names) == 1 else f"columns {', '.join(names)} hold"


def _head(path: Path, kind: str) -> bytes:
    """Check that there is a non-empty file of the right kind, and return its first bytes."""
    if path.is_dir():
        raise InputError(f"{kind} file {path}: is a folder; name the file in it")
    if not path.is_file():
        raise InputError(f"{kind} file {path}: {'is not a plain file' if path.exists() else 'does not exist'}")
    try:
        with path.open("rb") as file:
            first = file.read(65536)
    except OSError as error:
        raise InputError(f"{kind} file {path}: cannot be opened ({error.strerror})") from None
    if not first.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InputError(f"{kind} file {path}: is empty")
    if kind == "parquet" and not first.startswith(b"PAR1"):
        raise InputError(f"parquet file {path}: does not begin as parquet does; write kind: csv if it is text")
    for magic, what in _DISGUISES.items() if kind == "csv" else ():
        if first.startswith(magic):
            raise InputError(f"csv file {path}: is {what}")
    return first
