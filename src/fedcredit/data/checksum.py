"""The canonical checksum of a table: of its content, whatever file it came in."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


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
