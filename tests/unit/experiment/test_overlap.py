from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.institution import build_institutions
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import parse_schema
from fedcredit.experiment import spec
from fedcredit.experiment.overlap import known_holdings, known_overlap
from fedcredit.privacy.accounting.statement import Overlap

NUM_LOANS = 400
EXPERIMENT = spec.Experiment(
    portfolio=spec.PublicTable(table="taiwan"),
    partition=spec.NaturalPartition(column="bank"),
    privacy=spec.Privacy(target_epsilon=1.0),
)


def toy(customers: list[str] | None) -> Portfolio:
    rng = np.random.default_rng(5)
    raw = {
        "name": "toy",
        "public": False,
        "row_norm_cap": 2.5,
        "default": {"column": "bad", "positive": [1], "negative": [0], "horizon": "90 days past due within 12 months"},
        "columns": {
            "customer": {"kind": "key"},
            "bank": {"kind": "key"},
            "limit": {"kind": "number", "range": [0, 100]},
        },
        "features": [{"kind": "linear", "of": "limit", "scale": 0.01}],
        **({} if customers is None else {"borrower": "customer"}),
    }
    table = pa.table(
        {
            "customer": customers or [str(number) for number in range(NUM_LOANS)],
            "bank": rng.choice(["west", "east", "north", "south"], NUM_LOANS),
            "limit": rng.integers(0, 100, NUM_LOANS),
            "bad": rng.integers(0, 2, NUM_LOANS),
        }
    )
    return portfolio_from_table(table, parse_schema(raw, source="toy"))


def overlap(portfolio: Portfolio) -> tuple[Overlap | None, Overlap]:
    """What the program counts, and what a slow obvious count says."""
    lenders = build_institutions(EXPERIMENT, portfolio)
    within = Counter((str(portfolio.borrower[row]), lender.name) for lender in lenders for row in lender.train.rows)
    across = Counter(borrower for borrower, _ in within)
    slow = Overlap(num_lenders=max(across.values()), num_loans=max(within.values()))
    return known_overlap(portfolio, lenders), slow


@pytest.mark.parametrize("num_borrowers", [2, 40, 150, 390, NUM_LOANS])
def test_counts_are_those_of_a_slow_count(num_borrowers: int) -> None:
    found, slow = overlap(toy([f"c{number % num_borrowers}" for number in range(NUM_LOANS)]))
    assert found == slow


def test_without_a_borrower_key_nothing_is_known() -> None:
    assert overlap(toy(None))[0] is None


@pytest.mark.parametrize("num_borrowers", [2, 40, 390])
def test_holdings_are_those_of_a_slow_count(num_borrowers: int) -> None:
    portfolio = toy([f"c{number % num_borrowers}" for number in range(NUM_LOANS)])
    lenders = build_institutions(EXPERIMENT, portfolio)
    held: dict[str, Counter[str]] = {}
    for lender in lenders:
        for row in lender.train.rows:
            held.setdefault(str(portfolio.borrower[row]), Counter())[lender.name] += 1
    assert known_holdings(portfolio, lenders) == {tuple(sorted(loans.items())) for loans in held.values()}
    assert known_holdings(toy(None), lenders) is None
