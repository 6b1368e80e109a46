"""One suite for every way to deal loans out to lenders."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.partition import partition
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import parse_schema
from fedcredit.data.tables import load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec

RAW = {
    "name": "toy",
    "public": False,
    "row_norm_cap": 2.5,
    "borrower": "customer",
    "default": {"column": "bad", "positive": [1], "negative": [0], "horizon": "90 days past due within 12 months"},
    "columns": {
        "customer": {"kind": "key"},
        "bank": {"kind": "key", "missing": "allowed"},
        "limit": {"kind": "number", "range": [0, 100], "missing": "allowed", "impute": 50},
        "purpose": {"kind": "category", "categories": ["car", "home"]},
    },
    "features": [{"kind": "linear", "of": "limit", "scale": 0.01}],
}
NUM_LOANS = 2000
BANKS = ["CALIFORNIA BANK & TRUST", "Ärzte/Apotheker, Bank", "u.s. bank", "tiny", None]


def toy(order: np.ndarray | None = None, *, bad_rate: float = 0.2) -> Portfolio:
    rng = np.random.default_rng(7)
    columns = {
        "customer": [f"c{i}" for i in range(NUM_LOANS)],
        "bank": rng.choice(np.array(BANKS, dtype=object), NUM_LOANS, p=[0.5, 0.3, 0.17, 0.01, 0.02]).tolist(),
        "limit": np.where(rng.random(NUM_LOANS) < 0.1, np.nan, np.round(rng.gamma(2, 15, NUM_LOANS))).clip(0, 100),
        "purpose": rng.choice(["car", "home"], NUM_LOANS),
        "bad": (rng.random(NUM_LOANS) < bad_rate).astype(int),
    }
    table = pa.table(columns)
    return portfolio_from_table(table if order is None else table.take(order), parse_schema(RAW, source="toy"))


PARTITIONS: dict[str, spec.Partition] = {
    "natural": spec.NaturalPartition(column="bank", min_loans=60),
    "natural category": spec.NaturalPartition(column="purpose"),
    "iid": spec.IidPartition(num_institutions=7),
    "dirichlet": spec.DirichletPartition(num_institutions=8),
    "dirichlet, near single-class": spec.DirichletPartition(num_institutions=12, concentration=0.01, min_loans=5),
    "dirichlet, near equal": spec.DirichletPartition(num_institutions=5, concentration=1e6, size_sigma=0.0),
    "quantity": spec.QuantityPartition(num_institutions=8),
    "quantity, extreme": spec.QuantityPartition(num_institutions=20, size_sigma=5.0, min_loans=60),
    "bands": spec.BandsPartition(column="limit", num_institutions=4),
}


@pytest.fixture(params=PARTITIONS)
def how(request: pytest.FixtureRequest) -> spec.Partition:
    return PARTITIONS[request.param]


def test_lenders_are_disjoint_rising_rows_and_cover_the_portfolio(how: spec.Partition) -> None:
    loans = toy()
    lenders = partition(loans, how, seed=3)
    rows = np.concatenate(list(lenders.values()))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() and len(part) for part in lenders.values())
    assert len(np.unique(rows)) == len(rows)
    assert list(lenders) == sorted(lenders)
    if not isinstance(how, spec.NaturalPartition) or how.column == "purpose":
        assert len(rows) == loans.num_loans
    if not isinstance(how, spec.NaturalPartition):
        assert len(lenders) == how.num_institutions


def test_the_deal_is_named_by_the_split_seed_alone(how: spec.Partition) -> None:
    np.random.seed(1)
    first = partition(toy(), how, seed=3)
    np.random.seed(2)
    again = partition(toy(), how, seed=3)
    assert list(first) == list(again)
    assert all((first[name] == again[name]).all() for name in first)
    other = partition(toy(), how, seed=4)
    draws = not isinstance(how, spec.NaturalPartition | spec.BandsPartition)
    same = list(first) == list(other) and all(np.array_equal(first[name], other[name]) for name in first)
    assert same is not draws


def test_the_deal_does_not_depend_on_the_order_of_the_rows(how: spec.Partition) -> None:
    order = np.random.default_rng(5).permutation(NUM_LOANS)
    straight, mixed = toy(), toy(order)
    first, second = partition(straight, how, seed=3), partition(mixed, how, seed=3)
    for name, rows in first.items():
        assert set(straight.borrower[rows]) == set(mixed.borrower[second[name]])


def test_no_lender_is_smaller_than_the_least_size(how: spec.Partition) -> None:
    least = getattr(how, "min_loans", 1)
    assert min(len(rows) for rows in partition(toy(), how, seed=9).values()) >= least


def test_natural_lenders_keep_their_names_and_small_or_nameless_ones_are_left_out() -> None:
    loans = toy()
    lenders = partition(loans, spec.NaturalPartition(column="bank", min_loans=60), seed=0)
    assert set(lenders) == {"CALIFORNIA BANK & TRUST", "Ärzte/Apotheker, Bank", "u.s. bank"}
    for name, rows in lenders.items():
        assert (loans.column("bank")[rows] == name).all()
        assert len(rows) == (loans.column("bank") == name).sum()
    assert list(partition(loans, spec.NaturalPartition(column="bank", max_institutions=1), seed=0)) == [BANKS[0]]


def test_iid_lenders_differ_by_one_loan_at_most_and_keep_the_bad_rate() -> None:
    loans = toy()
    lenders = partition(loans, spec.IidPartition(num_institutions=7), seed=1)
    sizes = [len(rows) for rows in lenders.values()]
    assert max(sizes) - min(sizes) <= 1
    rates = [float(loans.default[rows].mean()) for rows in lenders.values()]
    assert max(rates) - min(rates) < 0.12, "286 loans each at .2: five standard errors are .12"


def test_bands_share_no_value_and_rise() -> None:
    loans = toy()
    lenders = partition(loans, spec.BandsPartition(column="limit", num_institutions=4), seed=1)
    filled = np.where(np.isnan(loans.column("limit")), 50.0, loans.column("limit"))
    bounds = [(filled[rows].min(), filled[rows].max()) for rows in lenders.values()]
    assert all(before[1] < after[0] for before, after in pairwise(bounds))
    assert min(len(rows) for rows in lenders.values()) > NUM_LOANS / 4 * 0.7


def test_zero_size_sigma_gives_equal_sizes_and_a_large_one_gives_skew() -> None:
    equal = partition(toy(), spec.QuantityPartition(num_institutions=8, size_sigma=0.0), seed=1)
    assert Counter(len(rows) for rows in equal.values()) == {250: 8}
    skewed = partition(toy(), spec.QuantityPartition(num_institutions=8, size_sigma=1.5, min_loans=10), seed=1)
    assert max(map(len, skewed.values())) > 5 * min(map(len, skewed.values()))


@pytest.mark.parametrize("seed", range(5))
def test_dirichlet_skews_labels_more_the_lower_the_concentration_at_the_very_same_sizes(seed: int) -> None:
    loans = toy()
    spread, sizes = {}, {}
    for concentration in (0.1, 1.0, 1e6):
        how = spec.DirichletPartition(num_institutions=10, concentration=concentration)
        lenders = partition(loans, how, seed=seed)
        rates = np.array([loans.default[rows].mean() for rows in lenders.values()])
        sizes[concentration] = [len(rows) for rows in lenders.values()]
        spread[concentration] = float(np.average((rates - loans.default.mean()) ** 2, weights=sizes[concentration]))
    assert sizes[0.1] == sizes[1.0] == sizes[1e6]
    assert spread[0.1] > spread[1.0] > spread[1e6]
    assert spread[1e6] < 1e-3


def test_dirichlet_odds_follow_the_dirichlet_law() -> None:
    """Differences of the lenders' log odds lose the common factor; for Beta(1, 1) shares the log odds are logistic.

    So their within-market variance estimates pi**2 / 3 = 3.29. Over 300 markets of 2 large lenders the
    estimate's standard error is about .33 (logistic kurtosis 4.2): bounds at four of them; a Beta(2, 2) law
    has 1.29, a Beta(.5, .5) law 9.87.
    """
    loans = toy(bad_rate=0.5)
    how = spec.DirichletPartition(num_institutions=2, concentration=1.0, size_sigma=0.0)
    differences = []
    for seed in range(300):
        bad = [float(loans.default[rows].sum()) + 0.5 for rows in partition(loans, how, seed=seed).values()]
        odds = [count / (NUM_LOANS / 2 + 1 - count) for count in bad]
        differences.append(np.log(odds[0] / odds[1]))
    assert 3.29 - 1.3 < np.mean(np.square(differences)) / 2 < 3.29 + 1.3


@pytest.mark.parametrize("bad_rate", [0.0, 1.0])
def test_a_portfolio_of_one_outcome_is_dealt_out_all_the_same(bad_rate: float) -> None:
    lenders = partition(toy(bad_rate=bad_rate), spec.DirichletPartition(), seed=1)
    assert sum(map(len, lenders.values())) == NUM_LOANS


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (spec.NaturalPartition(column="bnk"), "nearest: bank"),
        (spec.NaturalPartition(column="limit"), "kind: bands"),
        (spec.NaturalPartition(column="bank", min_loans=5000), "the largest has"),
        (spec.BandsPartition(column="bank"), "kind: natural"),
        (spec.BandsPartition(column="limit", num_institutions=200), "too many equal values"),
        (spec.IidPartition(num_institutions=2001), "has 2000 loans"),
        (spec.DirichletPartition(num_institutions=50), "at least 60 loans each"),
        (spec.QuantityPartition(num_institutions=50), "at least 60 loans each"),
    ],
)
def test_a_deal_that_cannot_be_made_is_one_message(how: spec.Partition, says: str) -> None:
    with pytest.raises(InputError, match=says):
        partition(toy(), how, seed=1)


def test_sba_has_ten_banks_of_sixty_loans(credit_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDCREDIT_DATA", str(credit_data))
    loans = load_portfolio(spec.PublicTable(table="sba"))
    lenders = partition(loans, spec.NaturalPartition(column="Bank", min_loans=60), seed=1)
    assert len(lenders) == 10
    assert "CALIFORNIA BANK & TRUST" in lenders


def test_taiwan_lenders_span_sizes_and_bad_rates_by_an_order_of_magnitude(
    credit_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDCREDIT_DATA", str(credit_data))
    loans = load_portfolio(spec.PublicTable(table="taiwan"))
    lenders = partition(loans, spec.DirichletPartition(), seed=1)
    sizes = [len(rows) for rows in lenders.values()]
    rates = [float(loans.default[rows].mean()) for rows in lenders.values()]
    assert max(sizes) > 5 * min(sizes)
    assert max(rates) > 0.4
    assert min(rates) < 0.12
