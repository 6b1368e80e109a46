"""The canonical checksum of a table: of its content, whatever file it came in."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedcredit.errors import InputError


def canonical_checksum(table: pa.Table) -> str:
    """Hash the typed values of a table, columns in the order of their names.

    The hash does not depend on the file format, its compression, chunks or integer widths; it does
    depend on the order of the rows, because a row's position can be a loan's key.

    Args:
        table: a table of numbers, booleans and text.

    Returns:
        SHA-256 as 64 hexadecimal digits.

    Raises:
        TypeError: for a column of another type.
    """
    digest = hashlib.sha256(b"fedcredit/table/1")
    digest.update(table.num_rows.to_bytes(8, "little"))
    for name in sorted(table.column_names):
        kind, valid, content = _canonical(table.column(name))
        for part in (name.encode(), kind.encode(), valid, content):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def with_typed_cells(table: pa.Table) -> pa.Table:
    """Give the cells of a csv file the type that all cells of their column can have.

    Args:
        table: columns of bytes, as they stood in the file.

    Returns:
        Columns of whole numbers, else of numbers, else of booleans, else of text.

    Raises:
        InputError: for a column that is not UTF-8 text.
    """
    return pa.table({name: _typed(name, table.column(name)) for name in table.column_names})


def _typed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        text = pc.cast(column, pa.large_string())
    except pa.ArrowInvalid:
        raise InputError(f"column {name}: is not UTF-8 text; save the file as UTF-8 csv") from None
    for kind in (pa.int64(), pa.float64(), pa.bool_()):
        with suppress(pa.ArrowInvalid):
            return pc.cast(text, kind)
    return text


def _canonical(column: pa.ChunkedArray) -> tuple[str, bytes, bytes]:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        numbers = np.array(pc.fill_null(pc.cast(column, pa.float64()), np.nan), dtype=np.float64)
        valid = ~np.isnan(numbers)
        return "float", _bits(valid), np.where(valid, numbers + 0.0, 0.0).astype("<f8").tobytes()
    valid = np.array(pc.is_valid(column), dtype=np.bool_)
    if pa.types.is_integer(column.type):
        return "integer", _bits(valid), np.array(pc.fill_null(column, 0)).astype("<i8").tobytes()
    if pa.types.is_boolean(column.type):
        return "boolean", _bits(valid), np.array(pc.fill_null(column, False)).astype("u1").tobytes()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = [(text or "").encode() for text in column.to_pylist()]
        lengths = np.array([len(text) for text in texts], dtype="<i8").tobytes()
        return "text", _bits(valid), lengths + b"".join(texts)
    raise TypeError(f"a column of type {column.type} has no canonical form")


def _bits(valid: np.ndarray) -> bytes:
    return np.packbits(valid, bitorder="little").tobytes()
