from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import parse_schema
from fedcredit.data.segments import segment_names, segments_of
from fedcredit.data.tables import data_checksum
from fedcredit.errors import InputError


def _raw(segments: object) -> dict[str, Any]:
    return {
        "name": "small", "public": True, "row_norm_cap": 2.5, "borrower": "id",
        "default": {"column": "bad", "positive": [1], "negative": [0], "horizon": "12 months"},
        "columns": {
            "id": {"kind": "key"}, "opened": {"kind": "key", "missing": "allowed"},
            "age": {"kind": "number", "range": [18, 80], "missing": "allowed", "impute": 40},
            "sex": {"kind": "category", "categories": [1, 2]}, "owner": {"kind": "flag"},
            "note": {"kind": "ignored"},
        },
        "features": [{"kind": "linear", "of": "age"}],
        "segments": segments,
    }  # fmt: skip


def _portfolio(segments: object) -> Portfolio:
    table = pa.table({
        "id": ["a", "b", "c", "d"], "opened": ["3", "12", "x", "7"], "age": [25.0, 30.0, None, 61.0],
        "sex": [1, 2, 2, 3], "owner": [0, 1, 1, 0], "bad": [0, 1, 0, 1],
    })  # fmt: skip
    return portfolio_from_table(table, parse_schema(_raw(segments), source="small.yaml"))


def _of(segment: dict[str, Any]) -> list[str]:
    portfolio = _portfolio([segment])
    found: list[str] = segments_of(portfolio, portfolio.schema.segments[0], np.array([3, 2, 1, 0])).tolist()
    return found


def test_a_band_begins_at_its_cut_and_a_missing_cell_is_a_segment() -> None:
    assert _of({"of": "age", "cuts": [30, 60]}) == ["60 and above", "missing", "30 to 60", "below 30"]
    assert _of({"of": "age", "cuts": [30], "names": ["young", "old"]}) == ["old", "missing", "old", "young"]


def test_categories_flags_and_keys_are_parted_by_their_values() -> None:
    assert _of({"of": "sex"}) == ["not listed", "2", "2", "1"]
    assert _of({"of": "sex", "names": ["m", "f"]}) == ["not listed", "f", "f", "m"]
    assert _of({"of": "owner"}) == ["no", "yes", "yes", "no"]
    assert _of({"of": "opened"}) == ["7", "x", "12", "3"]
    assert _of({"of": "opened", "cuts": [6]}) == ["6 and above", "missing", "6 and above", "below 6"]


def test_names_of_bands_are_in_the_order_of_the_cuts() -> None:
    portfolio = _portfolio([{"of": "age", "cuts": [30, 50000]}])
    assert segment_names(portfolio.schema, portfolio.schema.segments[0]) == (
        "below 30", "30 to 50,000", "50,000 and above",
    )  # fmt: skip


def test_segments_change_no_number_and_so_no_checksum() -> None:
    assert data_checksum(_portfolio([])) == data_checksum(_portfolio([{"of": "sex", "group": True}]))


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ({"of": "agee", "cuts": [30]}, "there is no column 'agee'"),
        ({"of": "age"}, "a number needs cuts"),
        ({"of": "age", "cuts": [40, 30]}, "do not rise"),
        ({"of": "sex", "cuts": [2]}, "only numbers and keys are cut"),
        ({"of": "sex", "names": ["m"]}, "1 names for 2 segments"),
        ({"of": "id"}, "every borrower would be a segment"),
        ({"of": "note"}, "nothing of it is read"),
        ({"of": "sex", "grup": True}, "unknown key"),
    ],
)
def test_segments_that_cannot_be_had_are_refused(segment: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_schema(_raw([segment]), source="small.yaml")


def test_a_column_is_a_segment_once() -> None:
    with pytest.raises(InputError, match="sex is listed twice"):
        parse_schema(_raw([{"of": "sex"}, {"of": "sex"}]), source="small.yaml")
    with pytest.raises(InputError, match="must be a list"):
        parse_schema(_raw({"of": "sex"}), source="small.yaml")
