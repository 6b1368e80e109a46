"""New loans need what the encoding reads and nothing else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import yaml

from fedcredit.data.encoding import encode
from fedcredit.data.market.portfolio import market_schema
from fedcredit.data.new_loans import encoded_part, new_loans
from fedcredit.data.portfolio import portfolio_from_table
from fedcredit.data.schema import parse_schema
from fedcredit.data.tables import public_schema
from fedcredit.errors import InputError

SCHEMA = parse_schema(
    yaml.safe_load("""
name: loans
public: false
row_norm_cap: 1.5
borrower: person
time: month
default: {column: bad, positive: [1], negative: [0], horizon: a year}
columns:
  person: {kind: key}
  month: {kind: key}
  income: {kind: number, range: [0, 200000], missing: allowed, impute: 30000}
  debt: {kind: number, range: [-1000, 500000]}
  late: {kind: number, range: [0, 8], outside: error}
  spare: {kind: number, range: [0, 1]}
  bank: {kind: category, categories: [north, south], unknown: error}
  note: {kind: ignored}
derived:
  burden: {kind: ratio, of: [debt, income], otherwise: 5, range: [0, 5]}
  twice: {kind: sum, of: [burden, late], range: [0, 13]}
  unused: {kind: sum, of: [spare, late], range: [0, 13]}
features:
  - {kind: linear, of: twice, scale: 0.1}
  - {kind: one_hot, of: bank}
"""),
    source="loans",
)
FULL = {
    "person": ["p-secret", "q", "r"],
    "month": [1, 2, 3],
    "income": [1000.0, None, 50_000.0],
    "debt": [700.0, -2000.0, 3.5],
    "late": [0, 3, 8],
    "spare": [0.5, 0.1, 0.2],
    "bank": ["north", "south", "north"],
    "note": ["x", "y", "z"],
    "bad": [0, 1, 0],
}


def table(**changed: object) -> pa.Table:
    cells = {**FULL, **changed}
    return pa.table({name: column for name, column in cells.items() if column is not None})


def test_the_encoding_reads_the_closure_of_its_features() -> None:
    wanted = encoded_part(SCHEMA)
    assert [column.name for column in wanted.columns] == ["income", "debt", "late", "bank"]
    assert [item.name for item in wanted.derived] == ["burden", "twice"]


def test_loans_without_label_keys_and_unread_columns_get_the_code_that_training_gave_them() -> None:
    whole = encode(portfolio_from_table(table(), SCHEMA))
    bare = new_loans(table(person=None, month=None, spare=None, note=None, bad=None), SCHEMA)
    assert encode(bare).tobytes() == whole.tobytes()
    assert bare.keys == {}
    assert encode(bare.between(1, 3)).tobytes() == whole[1:].tobytes()
    assert bare.between(2, 99).num_loans == 1


def test_keys_are_carried_along_and_may_be_missing() -> None:
    found = new_loans(table(person=["p", None, "r"], month=None, extra=[1, 2, 3]), SCHEMA)
    assert list(found.keys) == ["person"]
    assert found.keys["person"].tolist() == ["p", "", "r"]
    assert found.not_read == ("spare", "note", "bad", "extra")
    assert found.remarks == ("column debt: 1 of 3 values are outside the public range [-1000, 500000] and clipped",)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"income": None}, "column income: is missing"),
        ({"income": None, "incomes": [1.0, 2.0, 3.0]}, "column income: is missing (nearest: incomes)"),
        ({"debt": ["12", "a lot", "3"]}, "column debt: 1 of 3 values are not plain decimal numbers"),
        ({"debt": [None, None, 3.0]}, "column debt: 2 of 3 values are missing"),
        ({"debt": [float("inf"), 1.0, 2.0]}, "column debt: 1 of 3 values are infinite"),
        ({"debt": [[1], [2], [3]]}, "column debt: is of type list"),
        ({"late": [1, 9, 99]}, "column late: 2 of 3 values are outside the public range [0, 8]"),
        ({"bank": ["north", "p-secret", "x"]}, "column bank: 2 of 3 values are none of the 2 declared categories"),
        ({"bank": [1.5, 2.0, 3.0]}, "column bank: 1 of 3 values are fractions"),
        ({"income": None, "debt": None, "late": None, "bank": None}, "none of the 4 columns that the run reads is"),
        ({"debt": pa.array([], pa.float64())}, "columns"),
    ],
)
def test_a_bad_table_is_told_by_column_and_count_and_never_by_cell(changed: dict[str, object], told: str) -> None:
    if changed.get("debt") is not None and len(changed["debt"]) == 0:  # type: ignore[arg-type]
        bad, told = table().slice(0, 0), "holds no loans, only a header"
    else:
        bad = table(**changed)
    with pytest.raises(InputError) as caught:
        new_loans(bad, SCHEMA)
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "a lot" not in str(caught.value)


def test_all_problems_are_told_at_once_and_a_doubled_column_is_one() -> None:
    doubled = table().append_column("late", pa.array([1, 2, 3]))
    with pytest.raises(InputError, match="column late: stands there 2 times"):
        new_loans(doubled, SCHEMA)
    with pytest.raises(InputError, match="2 problems"):
        new_loans(table(debt=["x", "y", "z"], late=[9, 9, 9]), SCHEMA)


@pytest.mark.parametrize("schema", [market_schema("behaviour"), public_schema("taiwan")], ids=["market", "taiwan"])
def test_shipped_schemas_ask_new_loans_for_no_key_and_no_label(schema: object) -> None:
    assert schema == market_schema("behaviour") or schema == public_schema("taiwan")
    wanted = encoded_part(schema)  # type: ignore[arg-type]
    names = {column.name for column in wanted.columns}
    assert not names & {"borrower", "lender", "snapshot_month", "default", "ID"}
    assert np.all([column.kind != "key" for column in wanted.columns])
