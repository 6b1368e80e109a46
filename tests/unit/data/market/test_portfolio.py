from __future__ import annotations

import numpy as np
import pytest

from fedcredit.data.encoding import encode
from fedcredit.data.institution import split
from fedcredit.data.market.portfolio import market_portfolio, market_schema, market_truth
from fedcredit.data.partition import partition
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.tables import load_portfolio
from fedcredit.experiment import spec

SMALL = spec.MarketPortfolio(num_borrowers=6000, market_seed=5)


@pytest.fixture(scope="module")
def loans() -> Portfolio:
    return load_portfolio(SMALL)


def test_the_market_is_ten_lenders_of_unequal_size_with_shared_borrowers(loans: Portfolio) -> None:
    lenders = partition(loans, spec.NaturalPartition(column="lender", min_loans=1), seed=1)
    assert len(lenders) == 10
    sizes = [len(rows) for rows in lenders.values()]
    assert max(sizes) > 5 * min(sizes)
    _, counts = np.unique(loans.borrower, return_counts=True)
    assert 0.15 < (counts > 1).mean() < 0.4
    assert 0.01 < loans.default.mean() < 0.04


def test_a_shared_borrower_falls_into_one_part_at_every_lender(loans: Portfolio) -> None:
    part = np.empty(loans.num_loans, dtype=np.int64)
    for place, rows in enumerate(split(loans, seed=3).values()):
        part[rows] = place
    order = np.argsort(loans.borrower, kind="stable")
    same = loans.borrower[order][1:] == loans.borrower[order][:-1]
    assert same.any()
    assert (part[order][1:] == part[order][:-1])[same].all()


@pytest.mark.parametrize("view", ["behaviour", "application"])
def test_no_value_of_a_market_is_outside_its_public_range(view: spec.MarketView) -> None:
    found = market_portfolio(SMALL.model_copy(update={"view": view}))
    clipped = [line for line in found.remarks if "several loans" not in line]
    assert clipped == []
    assert found.schema == market_schema(view)


def test_the_rows_fill_the_norm_cap_and_no_feature_is_constant(loans: Portfolio) -> None:
    features = encode(loans)
    norms = np.linalg.norm(features.astype(np.float64), axis=1)
    assert 0.6 * loans.schema.row_norm_cap < np.median(norms) <= loans.schema.row_norm_cap
    assert features.std(axis=0).min() > 0


def test_the_truth_lies_beside_the_rows_and_is_no_column_of_them(loans: Portfolio) -> None:
    truth = market_truth(SMALL)
    assert truth.pd.shape == loans.default.shape
    assert truth.hazard.shape == (12, loans.num_loans)
    assert truth.pd[loans.default == 1].mean() > 4 * truth.pd[loans.default == 0].mean()
    assert np.allclose(1.0 - np.prod(1.0 - truth.hazard, axis=0), truth.pd, atol=1e-4)
    for name, cells in loans.columns.items():
        if cells.dtype.kind == "f":
            assert not np.allclose(np.nan_to_num(cells), truth.pd), name
    assert not [column.name for column in loans.schema.columns if "true" in column.name or "hazard" in column.name]


def test_several_snapshot_months_stand_one_below_the_other() -> None:
    found = market_portfolio(SMALL.model_copy(update={"snapshot_months": (9, 23)}))
    assert set(found.column("snapshot_month")) == {"9", "23"}
    key = np.char.add(np.char.add(found.column("account"), "/"), found.column("snapshot_month"))
    assert len(np.unique(key)) == found.num_loans


@pytest.mark.parametrize(
    "change", [{"num_banks": 1, "num_bnpl": 0, "num_consumer_finance": 0}, {"snapshot_months": (17, 17)}]
)
def test_a_market_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"at least two|twice"):
        spec.MarketPortfolio(**change)  # type: ignore[arg-type]
