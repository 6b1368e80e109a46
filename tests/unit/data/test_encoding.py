from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.data.encoding import encode, feature_names, raw_matrix
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import Schema, parse_schema
from fedcredit.data.tables import load_portfolio
from fedcredit.experiment import spec

RICH = """
name: rich
public: false
row_norm_cap: 1.5
default: {column: bad, positive: [1], negative: [0], horizon: 90 days past due within 12 months}
columns:
  income: {kind: number, range: [0, 200000], missing: allowed, impute: 30000}
  debt: {kind: number, range: [-1000, 500000]}
  late_1: {kind: number, range: [0, 8]}
  late_2: {kind: number, range: [0, 8]}
  phone: {kind: flag, missing: allowed, impute: 0}
  bank: {kind: category, categories: [north, south], missing: allowed, impute: south}
derived:
  burden: {kind: ratio, of: [debt, income], otherwise: 5, range: [0, 5]}
  worst: {kind: max, of: [late_1, late_2], range: [0, 8]}
  best: {kind: min, of: [late_1, late_2], range: [0, 8]}
  total: {kind: sum, of: [late_1, late_2, burden], range: [0, 21]}
  average: {kind: mean, of: [late_1, late_2], range: [0, 8]}
  months_late: {kind: count_at_least, of: [late_1, late_2], value: 1}
  never: {kind: share_equal, of: [late_1, late_2], value: 0}
features:
  - {kind: log1p, of: income, centre: 10, scale: 0.5}
  - {kind: log1p, name: log_burden, of: burden, scale: 0.9}
  - {kind: linear, of: burden, centre: 0.3, scale: 0.2}
  - {kind: linear, of: worst, scale: 0.125}
  - {kind: linear, of: best, scale: 0.125}
  - {kind: linear, of: total, scale: 0.05}
  - {kind: linear, of: average, scale: 0.1}
  - {kind: linear, of: months_late, scale: 0.5}
  - {kind: linear, of: never}
  - {kind: thermometer, of: debt, cuts: [1000, 10000], scale: 0.3}
  - {kind: one_hot, of: bank, centre: 0.3, scale: 0.7}
  - {kind: equals, name: elsewhere, of: bank, values: [other]}
  - {kind: equals, name: two_late, of: late_1, values: [2, 3]}
  - {kind: at_least, of: phone, value: 1, centre: 0.5}
  - {kind: missing, of: income}
  - {kind: missing, name: no_bank, of: bank}
"""
SCHEMA = parse_schema(yaml.safe_load(RICH), source="rich")

_present = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 2.0, 1e-300, -1e15, 9e15, 200000.0, 1000.0]),
    st.floats(-1e6, 1e6, allow_nan=False),
)
_loan = st.fixed_dictionaries(
    {
        "income": st.none() | _present,
        "debt": _present,
        "late_1": st.integers(-3, 12).map(float),
        "late_2": st.integers(-3, 12).map(float),
        "phone": st.sampled_from([None, 0, 1]),
        "bank": st.sampled_from([None, "north", "south", "mars", "Ω"]),
        "bad": st.integers(0, 1),
    }
)


def table(loans: list[dict[str, object]]) -> pa.Table:
    kinds = {"phone": pa.int64(), "bad": pa.int64(), "bank": pa.string()}
    names = ["income", "debt", "late_1", "late_2", "phone", "bank", "bad"]
    return pa.table({n: pa.array([loan[n] for loan in loans], kinds.get(n, pa.float64())) for n in names})


def portfolio(loans: list[dict[str, object]], schema: Schema = SCHEMA) -> Portfolio:
    return portfolio_from_table(table(loans), schema)


@settings(max_examples=200)
@given(loans=st.lists(_loan, min_size=2, max_size=40), data=st.data())
def test_encoding_without_a_loan_is_the_encoding_without_its_row_to_the_bit(
    loans: list[dict[str, object]], data: st.DataObject
) -> None:
    whole = encode(portfolio(loans))
    i = data.draw(st.integers(0, len(loans) - 1))
    without = encode(portfolio(loans[:i] + loans[i + 1 :]))
    assert without.tobytes() == np.delete(whole, i, axis=0).tobytes()


@pytest.mark.long
@settings(max_examples=200)
@given(loans=st.lists(_loan, min_size=20, max_size=40))
def test_two_hundred_tables_are_encoded_the_same_without_each_of_twenty_loans(loans: list[dict[str, object]]) -> None:
    whole = encode(portfolio(loans))
    for i in range(20):
        assert encode(portfolio(loans[:i] + loans[i + 1 :])).tobytes() == np.delete(whole, i, axis=0).tobytes()


@settings(max_examples=100)
@given(loans=st.lists(_loan, min_size=1, max_size=30), data=st.data())
def test_a_loans_code_does_not_depend_on_its_place(loans: list[dict[str, object]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(loans))))
    whole = encode(portfolio(loans))
    assert encode(portfolio([loans[i] for i in order])).tobytes() == whole[list(order)].tobytes()


@settings(max_examples=200)
@given(loans=st.lists(_loan, min_size=1, max_size=30), cap=st.floats(0.01, 3.0))
def test_no_row_is_longer_than_the_cap_and_short_rows_are_not_touched(
    loans: list[dict[str, object]], cap: float
) -> None:
    raw = yaml.safe_load(RICH)
    open_rows = encode(portfolio(loans, parse_schema(raw | {"row_norm_cap": 1000000}, source="open")))
    capped = encode(portfolio(loans, parse_schema(raw | {"row_norm_cap": cap}, source="capped")))
    wide = capped.astype(np.float64)
    norms = np.sqrt((wide**2).sum(axis=1))
    assert (norms <= cap).all()
    assert (np.linalg.norm(wide, axis=1) <= cap).all()
    free = np.linalg.norm(open_rows.astype(np.float64), axis=1)
    short = free < cap * (1 - 1e-6)
    np.testing.assert_array_equal(capped[short], open_rows[short])
    long = free > cap * (1 + 1e-6)
    np.testing.assert_allclose(norms[long], cap, rtol=1e-6)
    np.testing.assert_allclose(wide[long], open_rows[long] * (cap / free[long])[:, None], rtol=1e-5, atol=1e-7)


def test_each_transform_gives_what_its_definition_says() -> None:
    loan = {"income": 50000.0, "debt": 5000.0, "late_1": 2.0, "late_2": 0.0, "phone": 1, "bank": "north", "bad": 1}
    strange = {"income": None, "debt": -5000.0, "late_1": 99.0, "late_2": 1.0, "phone": None, "bank": "mars", "bad": 0}
    absent = {"income": 0.0, "debt": 9e9, "late_1": 0.0, "late_2": 0.0, "phone": 0, "bank": None, "bad": 0}
    schema = parse_schema(yaml.safe_load(RICH) | {"row_norm_cap": 1000.0}, source="open")
    rows = encode(portfolio([loan, strange, absent], schema))
    names = feature_names(schema)
    code = [dict(zip(names, row.tolist(), strict=True)) for row in rows]
    expected_loan = {
        "log1p(income)": (np.log1p(50000) - 10) * 0.5, "log_burden": np.log1p(0.1) * 0.9, "burden": (0.1 - 0.3) * 0.2,
        "worst": 0.25, "best": 0.0, "total": 2.1 * 0.05, "average": 0.1, "months_late": 0.5, "never": 0.5,
        "debt>=1000": 0.3, "debt>=10000": 0.0, "bank=north": 0.49, "bank=south": -0.21, "bank=other": -0.21,
        "elsewhere": 0.0, "two_late": 1.0, "phone>=1": 0.5, "income missing": 0.0, "no_bank": 0.0,
    }  # fmt: skip
    assert code[0] == pytest.approx(expected_loan, abs=1e-6)
    assert code[1]["log1p(income)"] == pytest.approx((np.log1p(30000) - 10) * 0.5, abs=1e-6)
    assert code[1]["burden"] == pytest.approx(-0.06)
    assert code[1]["worst"] == 1.0
    assert (code[1]["bank=other"], code[1]["elsewhere"], code[1]["no_bank"]) == (pytest.approx(0.49), 1.0, 0.0)
    assert (code[1]["income missing"], code[1]["phone>=1"]) == (1.0, -0.5)
    assert code[2]["burden"] == pytest.approx((5 - 0.3) * 0.2), "no income: the declared constant"
    assert (code[2]["bank=south"], code[2]["no_bank"]) == (pytest.approx(0.49), 1.0)


def test_constant_columns_and_a_single_loan_are_encoded() -> None:
    loan = {"income": 0.0, "debt": 0.0, "late_1": 0.0, "late_2": 0.0, "phone": 0, "bank": "north", "bad": 0}
    rows = encode(portfolio([loan]))
    assert np.isfinite(rows).all()
    assert encode(portfolio([loan] * 3)).tobytes() == rows.tobytes() * 3


def test_the_raw_matrix_keeps_missing_cells_and_gives_categories_their_place() -> None:
    loans = [
        {"income": None, "debt": 9e9, "late_1": 0.0, "late_2": 0.0, "phone": None, "bank": bank, "bad": 0}
        for bank in ("north", "south", "mars", None)
    ]
    matrix, is_category = raw_matrix(portfolio(loans))
    assert is_category.tolist() == [False] * 5 + [True]
    np.testing.assert_array_equal(matrix[:, 5], [0.0, 1.0, 2.0, np.nan])
    assert np.isnan(matrix[:, [0, 4]]).all()
    assert (matrix[:, 1] == 9e9).all()


@pytest.mark.parametrize("name", ["taiwan", "german", "lending_club", "sba"])
def test_every_public_table_is_encoded_row_by_row_within_the_cap(
    name: str, credit_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDCREDIT_DATA", str(credit_data))
    loans = load_portfolio(spec.PublicTable(table=name))  # type: ignore[arg-type]
    whole = encode(loans)
    assert whole.dtype == np.float32
    assert whole.shape == (loans.num_loans, len(feature_names(loans.schema)))
    assert (np.linalg.norm(whole.astype(np.float64), axis=1) <= loans.schema.row_norm_cap).all()
    assert np.abs(whole).max() < 2.5
    some = np.arange(1, loans.num_loans, 7)
    assert encode(loans.take(some)).tobytes() == whole[some].tobytes()


def test_a_quotient_beyond_every_number_is_clipped_like_any_other() -> None:
    loan = {"income": 5e-324, "debt": 1.0, "late_1": 0.0, "late_2": 0.0, "phone": 0, "bank": "north", "bad": 0}
    open_schema = parse_schema(yaml.safe_load(RICH) | {"row_norm_cap": 1000.0}, source="open")
    row = dict(zip(feature_names(SCHEMA), encode(portfolio([loan], open_schema))[0].tolist(), strict=True))
    assert row["burden"] == pytest.approx((5 - 0.3) * 0.2)
