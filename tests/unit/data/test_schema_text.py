"""A schema's text reads back to the schema."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fedcredit.data.market.portfolio import market_schema
from fedcredit.data.schema import Schema, parse_schema, read_schema
from fedcredit.data.schema_text import schema_yaml
from fedcredit.data.tables import public_schema

EVERYTHING = """
name: all
public: false
row_norm_cap: 1.5
borrower: person
institution: bank_key
time: month
exposure_amount: debt
missing_texts: [NA, "-"]
default: {column: bad, positive: [true, "1", yes_it_is], negative: [false, 0], horizon: 90 days}
columns:
  person: {kind: key}
  bank_key: {kind: key, missing: allowed}
  month: {kind: key}
  income: {kind: number, unit: CNY, range: [0, 200000.5], missing: allowed, impute: 1.0e-05, outside: error}
  debt: {kind: number, range: [-1000, 500000]}
  phone: {kind: flag, missing: allowed, impute: 0}
  bank: {kind: category, categories: ["001", "1e3", "null", true, 7, Ω], unknown: error, missing: allowed, impute: 7}
  notes: {kind: ignored, reason: "free text: not read"}
derived:
  burden: {kind: ratio, of: [debt, income], otherwise: 5, range: [0, 5]}
  never: {kind: share_equal, of: [debt, income], value: 0}
features:
  - {kind: log1p, of: income, centre: 10, scale: 1.0e-12, range: [1, 7]}
  - {kind: thermometer, of: debt, cuts: [1000, 10000.25], scale: 0.3}
  - {kind: one_hot, of: bank, centre: 0.3, scale: 0.7, categories: ["001", 7], other: false}
  - {kind: equals, name: "yes", of: bank, values: [true, "null"]}
  - {kind: at_least, of: phone, value: 1, centre: 0.5}
  - {kind: missing, of: income}
  - {kind: linear, of: never}
  - {kind: linear, of: burden}
segments:
  - {of: debt, cuts: [0, 10], names: [a, b, c], group: true}
"""
SCHEMAS = {
    **{name: public_schema(name) for name in ("taiwan", "german", "lending_club", "sba")},
    "behaviour": market_schema("behaviour"),
    "application, another label": market_schema("application", "ring"),
    "everything": parse_schema(yaml.safe_load(EVERYTHING), source="everything"),
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_a_schema_reads_back_from_its_text_to_the_last_type(schema: Schema, tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    path.write_text(schema_yaml(schema), encoding="utf-8")
    again = read_schema(path)
    assert again == schema
    assert repr(again) == repr(schema)
    assert again.segments == schema.segments
    assert schema_yaml(again) == schema_yaml(schema)
