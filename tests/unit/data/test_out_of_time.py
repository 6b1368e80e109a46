from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from fedcredit.config import compose
from fedcredit.data.institution import build_institutions, count_train_loans, split
from fedcredit.data.out_of_time import known, months_of, windows
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import parse_schema
from fedcredit.errors import InputError
from fedcredit.experiment import spec
from fedcredit.experiment.fingerprint import fingerprint, meaning

MONTHS = np.arange(30)
EARLY_LATE = spec.OutOfTimeSplit(kind="out_of_time", train=(0, 5), test={"calm": (17, 19), "late": (22, 29)})


def book(times: list[str] | NDArray[np.int64], *, kind: str = "key", time: str | None = "month") -> Portfolio:
    """200 borrowers, each with one loan at every time."""
    count = 200
    raw = {
        "name": "book", "public": False, "row_norm_cap": 2.5, "borrower": "customer", "institution": "bank",
        "default": {"column": "bad", "positive": [1], "negative": [0], "horizon": "12 months"},
        "columns": {
            "customer": {"kind": "key"}, "bank": {"kind": "key"},
            "month": {"kind": "number", "range": [-1000, 1e6]} if kind == "number" else {"kind": kind},
            "limit": {"kind": "number", "range": [0, 1]},
        },
        "features": [{"kind": "linear", "of": "limit", "scale": 1}],
    }  # fmt: skip
    size = count * len(times)
    table = pa.table(
        {
            "customer": np.repeat(np.arange(count), len(times)),
            "bank": np.array(["east", "west"])[np.arange(size) % 2],
            "month": np.tile(times, count),
            "limit": np.random.default_rng(1).random(size),
            "bad": (np.arange(size) % 3 == 0).astype(np.int8),
        }
    )
    return portfolio_from_table(table, parse_schema(raw | ({"time": time} if time else {}), source="book"))


@pytest.fixture(scope="module")
def loans() -> Portfolio:
    return book(MONTHS)


def test_no_test_loan_is_earlier_than_a_gap_after_the_last_training_loan(loans: Portfolio) -> None:
    parts = split(loans, seed=3, how=EARLY_LATE)
    when = {name: months_of(loans, EARLY_LATE)[rows] for name, rows in parts.items()}
    assert set(when["train"]) == set(when["validation"]) == set(range(6))
    assert set(when["test"]) == {17, 18, 19, *range(22, 30)}
    assert when["test"].min() - when["train"].max() >= EARLY_LATE.gap_months
    everything = np.concatenate(list(parts.values()))
    assert len(np.unique(everything)) == len(everything)
    share = len(parts["validation"]) / (len(parts["train"]) + len(parts["validation"]))
    assert 0.05 < share < 0.2


def test_apart_keeps_every_borrower_on_one_side_and_shared_marks_those_on_both(loans: Portfolio) -> None:
    apart = split(loans, seed=3, how=EARLY_LATE.model_copy(update={"borrowers": "apart"}))
    sides = [set(loans.borrower[rows]) for rows in apart.values()]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert not known(loans, apart["train"])[apart["test"]].any()
    shared = split(loans, seed=3, how=EARLY_LATE)
    again = known(loans, shared["train"])[shared["test"]]
    assert np.array_equal(again, np.isin(loans.borrower[shared["test"]], loans.borrower[shared["train"]]))
    assert 0.8 < again.mean() < 1.0


def test_windows_part_the_test_loans(loans: Portfolio) -> None:
    found = windows(loans, EARLY_LATE)
    rows = split(loans, seed=3, how=EARLY_LATE)["test"]
    assert np.array_equal(found["calm"][rows].astype(int) + found["late"][rows], np.ones(len(rows)))
    assert windows(loans, spec.HashedSplit()) == {}


@pytest.mark.parametrize("kind", ["key", "number"])
def test_months_are_read_from_numbers_and_keys_alike(kind: str) -> None:
    assert np.array_equal(months_of(book(MONTHS, kind=kind), EARLY_LATE)[:30], MONTHS)


def test_calendar_months_are_counted_through_the_year() -> None:
    loans = book(["2019-11", "2019-12", "2020-01", "2021-02"])
    how = spec.OutOfTimeSplit(kind="out_of_time", train=("2019-11", "2020-01"), test={"later": ("2021-01", "2021-03")})
    assert np.array_equal(np.diff(months_of(loans, how)[:4]), [1, 1, 13])
    assert len(split(loans, seed=1, how=how)["test"]) == 200


def test_a_column_that_is_no_time_is_refused_by_count_and_never_by_value() -> None:
    with pytest.raises(InputError, match=r"month: 200 of 400 values are neither") as caught:
        split(book(["3", "March 1999"]), seed=1, how=EARLY_LATE)
    assert "1999" not in str(caught.value)
    with pytest.raises(InputError, match="names no time column; write time"):
        split(book(MONTHS, time=None), seed=1, how=EARLY_LATE)
    split(book(MONTHS, time=None), seed=1, how=EARLY_LATE.model_copy(update={"column": "month"}))


def test_a_window_without_a_loan_is_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"split.test.late is \[22, 29\].*from 0 to 19"):
        split(book(np.arange(20)), seed=1, how=EARLY_LATE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": (5, 0)}, r"train is \[5, 0\]; write \[first month, last month\]"),
        ({"test": {"soon": (10, 20)}}, "less than gap_months=12 later"),
        ({"test": {"one": (20, 24), "two": (24, 25)}}, "overlap"),
        ({"test": {}}, "at least 1"),
    ],
)
def test_a_split_that_leaks_or_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        spec.OutOfTimeSplit.model_validate({**EARLY_LATE.model_dump(), **change})


def test_lenders_train_early_and_are_tested_late(loans: Portfolio) -> None:
    experiment = spec.Experiment(
        portfolio=spec.PublicTable(table="taiwan"),
        partition=spec.NaturalPartition(column="bank"),
        split=EARLY_LATE,
        privacy=spec.Privacy(target_epsilon=1.0),
    )
    lenders = build_institutions(experiment, loans)
    when = months_of(loans, EARLY_LATE)
    assert all(when[lender.train.rows].max() <= 5 and when[lender.test.rows].min() >= 17 for lender in lenders)
    assert count_train_loans(experiment, loans) == {lender.name: lender.train.num_loans for lender in lenders}
    by_hash = build_institutions(experiment.model_copy(update={"split": spec.HashedSplit()}), loans)
    assert when[by_hash[0].train.rows].max() >= 28


def test_an_experiment_that_says_nothing_of_its_split_keeps_its_name() -> None:
    base, later = compose(), compose(None, ["split=out_of_time", "split.train=[6,8]", "split.test={later:[20,23]}"])
    assert "split" not in meaning(base)
    assert "split" in meaning(later)
    assert fingerprint(base, data_checksum="a") != fingerprint(later, data_checksum="a")
    assert isinstance(later.split, spec.OutOfTimeSplit)
    assert later.split.test == {"later": (20, 23)}
