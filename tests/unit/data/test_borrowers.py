from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.borrowers import BorrowerCap, capped
from fedcredit.data.institution import build_institutions, count_train_loans
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import parse_schema
from fedcredit.errors import InputError
from fedcredit.experiment import spec

NUM_LOANS = 400


def toy(customers: Sequence[str] | None, *, num_loans: int = NUM_LOANS) -> Portfolio:
    rng = np.random.default_rng(5)
    raw = {
        "name": "toy",
        "public": False,
        "row_norm_cap": 2.5,
        "default": {"column": "bad", "positive": [1], "negative": [0], "horizon": "90 days past due within 12 months"},
        "columns": {
            "customer": {"kind": "key"}, "bank": {"kind": "key"}, "limit": {"kind": "number", "range": [0, 100]},
        },
        "features": [{"kind": "linear", "of": "limit", "scale": 0.01}],
        **({} if customers is None else {"borrower": "customer"}),
    }  # fmt: skip
    table = pa.table(
        {
            "customer": list(customers or map(str, range(num_loans))),
            "bank": rng.choice(["west", "east", "north"], num_loans),
            "limit": rng.integers(0, 100, num_loans),
            "bad": rng.integers(0, 2, num_loans),
        }
    )
    return portfolio_from_table(table, parse_schema(raw, source="toy"))


def borrower_level(mechanism: str | None, most: int = 2) -> spec.Experiment:
    unit = {"privacy_unit": "borrower", "borrower_mechanism": mechanism, "max_loans_per_borrower": most}
    privacy = spec.Privacy(target_epsilon=1.0, **(unit if mechanism else {}))
    return spec.Experiment(
        portfolio=spec.PublicTable(table="taiwan"), partition=spec.NaturalPartition(column="bank"), privacy=privacy
    )


def cap(most: int, *, is_joint: bool = True) -> BorrowerCap:
    return BorrowerCap(max_loans=most, is_joint=is_joint, seed=1)


KEYS = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=40)


@given(KEYS, st.integers(1, 5))
def test_each_borrower_keeps_as_many_loans_as_allowed_side_by_side(keys: list[str], most: int) -> None:
    portfolio = toy(keys, num_loans=len(keys))
    rows, starts = capped(np.arange(len(keys)), portfolio, cap(most))
    assert starts is not None
    assert (starts[0], starts[-1]) == (0, len(rows))
    groups = [rows[start:stop].tolist() for start, stop in pairwise(starts)]
    assert [{keys[row] for row in group} for group in groups] == [{key} for key in dict.fromkeys(keys)]
    assert {keys[group[0]]: len(group) for group in groups} == {k: min(n, most) for k, n in Counter(keys).items()}
    assert all(group == sorted(set(group)) for group in groups)
    alone, none = capped(np.arange(len(keys)), portfolio, cap(most, is_joint=False))
    assert none is None
    assert alone.tolist() == sorted(rows.tolist())


@given(KEYS, st.integers(1, 3), st.data())
def test_no_other_borrower_has_a_say_in_which_loans_are_kept(keys: list[str], most: int, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(keys))
    portfolio = toy(keys, num_loans=len(keys))
    everyone, _ = capped(np.arange(len(keys)), portfolio, cap(most))
    others = np.array([row for row, key in enumerate(keys) if key != gone], dtype=np.int64)
    without, _ = capped(others, portfolio, cap(most))
    assert without.tolist() == [row for row in everyone.tolist() if keys[row] != gone]


def test_kept_loans_are_not_always_the_first_and_change_with_the_seed() -> None:
    portfolio = toy([f"c{number % 40}" for number in range(NUM_LOANS)])
    first, _ = capped(np.arange(NUM_LOANS), portfolio, cap(3, is_joint=False))
    again, _ = capped(np.arange(NUM_LOANS), portfolio, BorrowerCap(max_loans=3, is_joint=False, seed=2))
    assert len(first) == len(again) == 120
    number_of_loan = Counter((first // 40).tolist())
    assert set(number_of_loan) == set(range(10))
    assert set(first.tolist()) != set(again.tolist())


@pytest.mark.parametrize("mechanism", ["borrower_sampling", "loan_sampling_capped"])
@pytest.mark.parametrize("most", [1, 2, 1000])
def test_only_training_loans_are_capped_and_contracts_count_what_is_sampled(mechanism: str, most: int) -> None:
    portfolio = toy([f"c{number % 90}" for number in range(NUM_LOANS)])
    whole = build_institutions(borrower_level(None), portfolio)
    found = build_institutions(borrower_level(mechanism, most), portfolio)
    for before, after in zip(whole, found, strict=True):
        for part in ("validation", "test"):
            assert np.array_equal(getattr(before, part).rows, getattr(after, part).rows)
        borrowers = Counter(portfolio.borrower[before.train.rows].tolist())
        assert Counter(portfolio.borrower[after.train.rows].tolist()) == {k: min(n, most) for k, n in borrowers.items()}
        assert np.array_equal(after.train.default, portfolio.default[after.train.rows])
        sampled = len(borrowers) if mechanism == "borrower_sampling" else after.train.num_loans
        assert after.train.num_sampled == sampled
    counts = count_train_loans(borrower_level(mechanism, most), portfolio)
    assert counts == {lender.name: lender.train.num_sampled for lender in found}


def test_a_table_without_a_borrower_key_is_refused_by_name() -> None:
    for ask in (build_institutions, count_train_loans):
        with pytest.raises(InputError, match=r"toy names no borrower key.*privacy=loan_level"):
            ask(borrower_level("borrower_sampling"), toy(None))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"privacy_unit": "borrower"}, "borrower_mechanism and max_loans_per_borrower"),
        ({"privacy_unit": "borrower", "borrower_mechanism": "borrower_sampling"}, "needs max_loans_per_borrower"),
        ({"max_loans_per_borrower": 2}, "is for privacy_unit borrower"),
        ({"borrower_mechanism": "borrower_sampling"}, "is for privacy_unit borrower"),
        (
            {"privacy_unit": "borrower", "borrower_mechanism": "borrower_sampling", "max_loans_per_borrower": 0},
            "greater than or equal to 1",
        ),
        (
            {
                "privacy_unit": "borrower", "borrower_mechanism": "borrower_sampling", "max_loans_per_borrower": 100,
                "clipping_norm": 1e-5,
            },
            "raise clipping_norm or lower max_loans_per_borrower",
        ),
    ],
)  # fmt: skip
def test_a_unit_that_is_not_bounded_is_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spec.Privacy.model_validate({"target_epsilon": 1.0, **changed})


def test_loan_level_experiments_say_nothing_of_borrowers_in_their_dump() -> None:
    assert not any("borrower" in key for key in spec.Privacy(target_epsilon=1.0).model_dump())
