from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fedcredit.data.encoding import feature_names
from fedcredit.data.schema import read_schema
from fedcredit.data.tables import public_schema
from fedcredit.errors import InputError

GOOD = """
name: toy
public: false
row_norm_cap: 2.5
borrower: customer
institution: bank
exposure_amount: income
default: {column: bad, positive: [1], negative: [0], horizon: 90 days past due within 12 months}
columns:
  customer: {kind: key}
  bank: {kind: category, categories: [north, south]}
  income: {kind: number, unit: EUR a year, range: [0, 200000], missing: allowed, impute: 30000}
  debt: {kind: number, unit: EUR, range: [0, 500000]}
  phone: {kind: flag}
derived:
  burden: {kind: ratio, of: [debt, income], otherwise: 5, range: [0, 5]}
features:
  - {kind: log1p, of: income, centre: 10, scale: 0.5}
  - {kind: linear, of: burden, scale: 0.2}
  - {kind: thermometer, of: debt, cuts: [1000, 10000]}
  - {kind: one_hot, of: bank}
  - {kind: equals, name: other bank, of: bank, values: [other]}
  - {kind: at_least, of: phone, value: 1}
  - {kind: missing, of: income}
"""


def test_a_good_schema_is_read_and_names_its_features(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(GOOD)
    schema = read_schema(path)
    assert schema.default.positive_labels == ("1",)
    assert schema.borrower == "customer"
    assert schema.column("income").impute == 30000.0  # type: ignore[union-attr]
    assert feature_names(schema) == (
        "log1p(income)",
        "burden",
        "debt>=1000",
        "debt>=10000",
        "bank=north",
        "bank=south",
        "bank=other",
        "other bank",
        "phone>=1",
        "income missing",
    )


@pytest.mark.parametrize("name", ["taiwan", "german", "lending_club", "sba"])
def test_every_public_schema_is_valid_and_says_that_it_is_public(name: str) -> None:
    schema = public_schema(name)
    assert schema.name == name
    assert schema.public
    assert schema.default.horizon


def test_taiwan_has_the_28_columns_of_the_frontier() -> None:
    assert len(feature_names(public_schema("taiwan"))) == 28


@pytest.mark.parametrize(
    "leak",
    ["Term", "daysterm", "RealEstate", "MIS_Status", "ChgOffDate", "ChgOffPrinGr", "DisbursementDate",
     "DisbursementGross", "Recession", "xx"],
)  # fmt: skip
def test_sba_ignores_what_is_known_only_after_the_decision(leak: str) -> None:
    assert public_schema("sba").column(leak).kind == "ignored"


def _edited(*path: str | int, value: object) -> str:
    raw = yaml.safe_load(GOOD)
    place = raw
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return yaml.safe_dump(raw)


MALFORMED: dict[str, tuple[str, list[str]]] = {
    "name is missing": (_edited("name", value=None), ["name: is missing"]),
    "cap is negative": (_edited("row_norm_cap", value=-1), ["row_norm_cap"]),
    "cap is not a number": (_edited("row_norm_cap", value=float("nan")), ["row_norm_cap"]),
    "public is text": (_edited("public", value="yes please"), ["public"]),
    "top-level key is misspelt": (_edited("borower", value="customer"), ["borower", "borrower"]),
    "no columns": (_edited("columns", value={}), ["columns", "at least one"]),
    "columns are a list": (_edited("columns", value=["income"]), ["columns", "mapping"]),
    "features are missing": (_edited("features", value=None), ["features", "at least one"]),
    "feature is text": (_edited("features", 0, value="income"), ["features[1]"]),
    "kind is missing": (_edited("columns", "debt", "kind", value=None), ["columns.debt", "no kind"]),
    "kind is unknown": (_edited("columns", "debt", "kind", value="nummer"), ["columns.debt", "nummer", "number"]),
    "range is missing": (_edited("columns", "debt", "range", value=None), ["columns.debt.range: is missing"]),
    "range is reversed": (_edited("columns", "debt", "range", value=[5, 1]), ["columns.debt.range", "[5, 1]"]),
    "range is infinite": (_edited("columns", "debt", "range", value=[0, float("inf")]), ["columns.debt.range"]),
    "range has three ends": (_edited("columns", "debt", "range", value=[0, 1, 2]), ["columns.debt.range"]),
    "range end is text": (_edited("columns", "debt", "range", value=[0, "1e6"]), ["columns.debt.range", "1e6"]),
    "column key is misspelt": (
        _edited("columns", "debt", "rnge", value=[0, 1]),
        ["columns.debt.rnge", "nearest: range"],
    ),
    "missing without a constant": (_edited("columns", "income", "impute", value=None), ["columns.income", "impute"]),
    "constant without missing": (_edited("columns", "debt", "impute", value=5), ["columns.debt", "missing"]),
    "constant outside the range": (
        _edited("columns", "income", "impute", value=-1),
        ["columns.income", "-1", "[0, 200000]"],
    ),
    "category listed twice": (_edited("columns", "bank", "categories", value=["a", "a"]), ["columns.bank", "twice"]),
    "category is a fraction": (
        _edited("columns", "bank", "categories", value=[1.5]),
        ["columns.bank.categories", "1.5"],
    ),
    "category is called other": (_edited("columns", "bank", "categories", value=["other"]), ["columns.bank", "other"]),
    "category is empty": (_edited("columns", "bank", "categories", value=[""]), ["columns.bank", "missing"]),
    "borrower is no column": (_edited("borrower", value="custmer"), ["borrower", "custmer", "nearest: customer"]),
    "borrower is a number": (_edited("borrower", value="debt"), ["borrower", "debt", "must be key"]),
    "borrower may be missing": (_edited("columns", "customer", "missing", value="allowed"), ["columns.customer"]),
    "label is also a column": (_edited("columns", "bad", value={"kind": "flag"}), ["default.column", "bad"]),
    "label value means both": (_edited("default", "negative", value=[1]), ["default", "1"]),
    "label without window": (_edited("default", "horizon", value=None), ["default.horizon"]),
    "no default at all": (_edited("default", value=None), ["default"]),
    "derived from nothing": (
        _edited("derived", "burden", "of", value=["debt", "incme"]),
        ["derived.burden", "nearest: income"],
    ),
    "derived from a key": (_edited("derived", "burden", "of", value=["debt", "customer"]), ["derived.burden", "key"]),
    "ratio of three": (_edited("derived", "burden", "of", value=["debt"] * 3), ["derived.burden.of"]),
    "derived takes a column's name": (
        _edited("derived", "debt", value={"kind": "sum", "of": ["income"], "range": [0, 1]}),
        ["derived.debt"],
    ),
    "derived is an expression": (_edited("derived", "burden", value="debt / income"), ["derived.burden"]),
    "feature of nothing": (_edited("features", 0, "of", value="incme"), ["features[1].of", "nearest: income"]),
    "log of a negative range": (
        _edited("features", 0, value={"kind": "log1p", "of": "debt", "range": [-1, 2]}),
        ["features[1]", "[-1, 2]"],
    ),
    "cuts outside the range": (_edited("features", 2, "cuts", value=[0, 9e9]), ["features[3]", "cuts"]),
    "cuts fall": (_edited("features", 2, "cuts", value=[5, 4]), ["features[3].cuts", "rise"]),
    "one_hot of a number": (_edited("features", 3, "of", value="debt"), ["features[4]", "category"]),
    "one_hot of an unknown value": (_edited("features", 3, "categories", value=["west"]), ["features[4]", "west"]),
    "equals an unknown value": (_edited("features", 4, "values", value=["west"]), ["features[5]", "west"]),
    "missing flag of a full column": (_edited("features", 6, "of", value="debt"), ["features[7]", "never missing"]),
    "scale of zero": (_edited("features", 0, "scale", value=0), ["features[1].scale"]),
    "a key as input": (_edited("features", 1, "of", value="customer"), ["features[2]", "key"]),
    "two features of one name": (
        _edited("features", 1, value={"kind": "linear", "of": "debt", "name": "log1p(income)"}),
        ["2 times"],
    ),
    "not yaml": ("name: [", ["not valid yaml", "line"]),
    "not a mapping": ("- a\n- b\n", ["mapping"]),
    "a key twice": (GOOD.replace("phone:", "debt:"), ["debt", "second time"]),
    "a key that is no text": (GOOD.replace("phone:", "no:"), ["not text"]),
    "an alias": ("a: &x [1]\nb: *x\n", ["alias"]),
    "a python object": ("name: !!python/object/apply:os.system ['true']\n", ["not valid yaml"]),
    "nested too deeply": ("[" * 3000, ["nested too deeply"]),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_schema_is_one_message_that_names_its_place(case: str, tmp_path: Path) -> None:
    text, expected = MALFORMED[case]
    path = tmp_path / "schema.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_schema(path)
    assert str(path) in str(caught.value)
    for words in expected:
        assert words in str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert path.read_text() == text


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    raw = yaml.safe_load(GOOD)
    raw["row_norm_cap"] = 0
    raw["columns"]["debt"]["range"] = [1, 1]
    raw["features"][0]["of"] = "nothing"
    raw["borrower"] = "nobody"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(InputError, match="4 mistakes") as caught:
        read_schema(path)
    for words in ("row_norm_cap", "columns.debt.range", "features[1].of", "borrower"):
        assert words in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_schema(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="not a file"):
        read_schema(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: café".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8 at byte"):
        read_schema(tmp_path / "latin.yaml")


def test_an_unknown_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest: LIMIT_BAL"):
        public_schema("taiwan").column("LIMIT_BALL")
