"""Flat vectors to Flower's ``ArrayRecord`` and back: the only converter between the two.

An array travels in NumPy's file format, little endian and one-dimensional. What comes back is
never parsed: its bytes must start with exactly the header that the expected dtype and length give,
and hold exactly as many numbers, so a hostile sender reaches no parser.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

PARAMETERS = "parameters"
_STYPE = "numpy.ndarray"


def to_record(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Pack named one-dimensional arrays.

    Args:
        arrays: name to array, ``[length]``, in the dtype that shall arrive.

    Returns:
        The record; it shares no memory with the arrays.

    Raises:
        ValueError: if an array is not one-dimensional.
    """
    record = ArrayRecord()
    for name, array in arrays.items():
        if array.ndim != 1:
            raise ValueError(f"array {name} has shape {array.shape}; allowed is one dimension")
        told, little = _told(array.dtype)
        data = _header(little.str, len(array)) + array.astype(little, copy=False).tobytes()
        record[name] = Array(told, (len(array),), _STYPE, data)
    return record


def from_record(record: ArrayRecord, name: str, *, dtype: str, length: int | None = None) -> NDArray[Any]:
    """Unpack one array and check that it is exactly what is expected.

    Args:
        record: the record.
        name: the array's name.
        dtype: the expected dtype, for example ``"float32"``.
        length: the expected length; ``None`` takes any.

    Returns:
        A read-only array, ``[length]``.

    Raises:
        ValueError: if the array is missing, or its dtype, shape or bytes are not as expected.
    """
    if name not in record:
        raise ValueError(f"array {name} is missing")
    array = record[name]
    if array.dtype != dtype or array.stype != _STYPE:
        raise ValueError(f"array {name} has another dtype than {dtype}")
    if len(array.shape) != 1 or (length is not None and array.shape[0] != length):
        raise ValueError(f"array {name} has another shape than ({'any' if length is None else length},)")
    little = np.dtype(dtype).newbyteorder("<")
    header = _header(little.str, array.shape[0])
    if len(array.data) != len(header) + array.shape[0] * little.itemsize or not array.data.startswith(header):
        raise ValueError(f"array {name} has other bytes than its dtype and shape say")
    return np.frombuffer(array.data, dtype=little, offset=len(header))


def parameters_to_record(parameters: NDArray[np.float32]) -> ArrayRecord:
    """Pack flat parameters.

    Args:
        parameters: ``[num_parameters]``.

    Returns:
        The record.
    """
    return to_record({PARAMETERS: parameters.astype(np.float32, copy=False)})


def parameters_from_record(record: ArrayRecord, *, num_parameters: int) -> NDArray[np.float32]:
    """Unpack flat parameters.

    Args:
        record: a record that holds them and nothing else.
        num_parameters: how many there must be.

    Returns:
        Read-only parameters, ``[num_parameters]``.

    Raises:
        ValueError: if the record holds anything else.
    """
    if set(record) != {PARAMETERS}:
        raise ValueError(f"the record holds other arrays than {PARAMETERS}")
    return from_record(record, PARAMETERS, dtype="float32", length=num_parameters)


def rounded_parameters(record: ArrayRecord) -> NDArray[np.float32]:
    """Unpack what a stock strategy computed here, which may be float64, rounded to float32.

    Args:
        record: the strategy's record; never one that a lender sent.

    Returns:
        Parameters, ``[num_parameters]``.
    """
    return record[PARAMETERS].numpy().astype(np.float32)


@lru_cache(maxsize=64)
def _told(dtype: np.dtype[Any]) -> tuple[str, np.dtype[Any]]:
    return dtype.name, dtype.newbyteorder("<")


@lru_cache(maxsize=64)
def _header(dtype: str, length: int) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": (length,)})
    return buffer.getvalue()
