"""From the cells of one table column to checked arrays.

Cells of private tables pass through here, so a problem is told as a count and never as a value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcredit.data.columns import LARGEST

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_MAX_TEXT = 1000


class CellError(ValueError):
    """What is wrong with a column; the text holds counts and types, never a cell."""


def number_cells(cells: pa.ChunkedArray, *, missing_texts: Sequence[str] = ()) -> NDArray[np.float64]:
    """Read a column of numbers; text must be a plain decimal number.

    Args:
        cells: the column.
        missing_texts: texts that mean a missing cell, beside the empty one.

    Returns:
        Numbers, ``[loans]``; NaN is a missing cell.

    Raises:
        CellError: for a type that holds no numbers, for other text, infinities, and numbers
            of 2**53 or more, which float64 cannot tell apart.
    """
    cells = _plain(cells)
    kind = cells.type
    if _is_text(kind):
        cells = _parsed(_texts(cells, missing_texts))
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise CellError(f"is of type {_type_name(kind)}; a number is needed")
    numbers = np.array(pc.fill_null(pc.cast(cells, pa.float64(), safe=False), np.nan), dtype=np.float64)
    _refuse(np.isinf(numbers), "are infinite or beyond the largest number; mend them")
    _refuse(np.abs(numbers) >= LARGEST, "are numbers of 2**53 or more, which lose digits; declare a key if it is one")
    return numbers


def label_cells(cells: pa.ChunkedArray, *, missing_texts: Sequence[str] = ()) -> NDArray[np.str_]:
    """Read a column of categories, keys, flags or labels as text; whole numbers lose their point.

    Args:
        cells: the column.
        missing_texts: texts that mean a missing cell, beside the empty one.

    Returns:
        Texts, ``[loans]``; the empty text is a missing cell.

    Raises:
        CellError: for a type that has no plain text, for fractions, and for texts that are not
            UTF-8, too long, or hold a NUL.
    """
    cells = _plain(cells)
    kind = cells.type
    if pa.types.is_floating(kind):
        numbers = number_cells(cells)
        _refuse(numbers % 1 != 0, "are fractions; a category, key, flag or label is text or a whole number", numbers)
        cells = pc.cast(pa.chunked_array([pa.array(numbers, from_pandas=True)]), pa.int64())
    elif not (_is_text(kind) or _is_discrete(kind)):
        raise CellError(f"is of type {_type_name(kind)}; text, whole numbers, booleans or dates are needed")
    texts = pc.fill_null(_texts(cells, missing_texts), "")
    _refuse(_flags(pc.greater(pc.utf8_length(texts), _MAX_TEXT)), f"are longer than {_MAX_TEXT} characters")
    _refuse(_flags(pc.match_substring(texts, "\0")), "hold a NUL character")
    return np.array(texts.to_pylist(), dtype=np.str_)


def _plain(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(cells.type):
        return pc.cast(cells, cells.type.value_type)
    return pc.cast(cells, pa.string()) if pa.types.is_null(cells.type) else cells


def _texts(cells: pa.ChunkedArray, missing_texts: Sequence[str]) -> pa.ChunkedArray:
    if _is_text(cells.type):
        _check_utf8(cells)
    texts = pc.cast(cells, pa.large_string())
    absent = pc.is_in(texts, value_set=pa.array(["", *missing_texts], pa.large_string()))
    return pc.if_else(absent, pa.scalar(None, pa.large_string()), texts)


def _parsed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = pc.utf8_trim_whitespace(texts)
    good = pc.match_substring_regex(texts, _NUMBER)
    _refuse(~_flags(pc.fill_null(good, True)), "are not plain decimal numbers such as 1234.5")
    return pc.cast(texts, pa.float64())


def _check_utf8(cells: pa.ChunkedArray) -> None:
    raw = pc.cast(cells, pa.large_binary())
    try:
        for chunk in raw.chunks:
            chunk.cast(pa.large_string()).validate(full=True)
    except pa.ArrowInvalid:
        _refuse(np.array([not _decodes(value) for value in raw.to_pylist()]), "are not UTF-8 text; save it as UTF-8")


def _decodes(value: bytes | None) -> bool:
    try:
        return value is None or value.decode() is not None
    except UnicodeDecodeError:
        return False


def _refuse(bad: NDArray[np.bool_], what: str, known: NDArray[np.float64] | None = None) -> None:
    """Raise with the count of bad cells, a NaN among ``known`` not being one."""
    count = int(np.count_nonzero(bad if known is None else bad & ~np.isnan(known)))
    if count:
        raise CellError(f"{count} of {len(bad)} values {what}")


def _flags(mask: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(mask, dtype=np.bool_)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _is_discrete(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    )


def _type_name(kind: pa.DataType) -> str:
    return f"{kind.id and str(kind).split('<')[0].split('[')[0]}"
