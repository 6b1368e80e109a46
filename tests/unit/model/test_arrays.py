from __future__ import annotations

import io

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord

from fedcredit.model.arrays import (
    PARAMETERS,
    from_record,
    parameters_from_record,
    parameters_to_record,
    rounded_parameters,
    to_record,
)

AWKWARD = np.array([0.0, -0.0, 1e-45, 3.4e38, np.inf, -np.inf, np.nan], dtype=np.float32)


def test_parameters_come_back_with_the_same_bits() -> None:
    back = parameters_from_record(parameters_to_record(AWKWARD), num_parameters=len(AWKWARD))
    assert back.tobytes() == AWKWARD.tobytes()
    assert not back.flags.writeable


@pytest.mark.parametrize(
    "array", [np.array([], dtype=np.float64), np.arange(5, dtype=np.int8), np.linspace(0, 1, 1001)]
)
def test_any_vector_comes_back_with_the_same_bits(array: np.ndarray) -> None:
    back = from_record(to_record({"x": array}), "x", dtype=str(array.dtype))
    assert back.tobytes() == array.tobytes()
    assert back.dtype == array.dtype


def test_flower_itself_reads_and_writes_the_same_bytes() -> None:
    ours = parameters_to_record(AWKWARD)[PARAMETERS]
    assert ours.numpy().tobytes() == AWKWARD.tobytes()
    assert ours == Array(AWKWARD)


def test_a_big_endian_or_strided_vector_is_packed_as_little_endian() -> None:
    strided = np.arange(10, dtype=">f4")[::2]
    back = from_record(to_record({"x": strided}), "x", dtype="float32")
    assert np.array_equal(back, strided)


def test_a_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        to_record({"x": np.zeros((2, 2))})


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


GOOD = np.zeros(4, dtype=np.float32)
HOSTILE = {
    "another dtype": Array(GOOD.astype(np.float64)),
    "another shape": Array(np.zeros(5, dtype=np.float32)),
    "two dimensions": Array(np.zeros((2, 2), dtype=np.float32)),
    "a lie about the shape": Array("float32", (4,), "numpy.ndarray", _npy(np.zeros(1, dtype=np.float32))),
    "a lie about the dtype": Array("float32", (4,), "numpy.ndarray", _npy(np.zeros(4, dtype=np.int32))),
    "other bytes": Array("float32", (4,), "numpy.ndarray", b"PK\x03\x04"),
    "truncated": Array("float32", (4,), "numpy.ndarray", _npy(GOOD)[:-1]),
    "bytes added": Array("float32", (4,), "numpy.ndarray", _npy(GOOD) + b"\0"),
    "another serialisation": Array("float32", (4,), "pickle", _npy(GOOD)),
    "fortran order": Array(
        "float32", (4,), "numpy.ndarray", _npy(GOOD).replace(b"'fortran_order': False", b"'fortran_order': True ")
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_record_that_is_not_exactly_as_expected_is_refused(kind: str) -> None:
    record = ArrayRecord({PARAMETERS: HOSTILE[kind]})
    with pytest.raises(ValueError, match=PARAMETERS):
        parameters_from_record(record, num_parameters=4)


@pytest.mark.parametrize("names", [(), ("other",), (PARAMETERS, "other")])
def test_a_record_with_other_arrays_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="other arrays"):
        parameters_from_record(to_record(dict.fromkeys(names, GOOD)), num_parameters=4)


def test_what_a_stock_strategy_computed_is_rounded_to_float32() -> None:
    exact = np.array([1.0 + 2.0**-30, np.pi])
    rounded = rounded_parameters(to_record({PARAMETERS: exact}))
    assert rounded.dtype == np.float32
    assert np.array_equal(rounded, exact.astype(np.float32))
